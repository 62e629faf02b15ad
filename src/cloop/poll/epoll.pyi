from typing import final

from cloop.poll.poller import Poller

@final
class EpollPoller(Poller): ...

def new_poller() -> Poller: ...
