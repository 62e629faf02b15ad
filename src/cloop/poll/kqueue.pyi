from typing import final

from cloop.poll.poller import Poller

@final
class KqueuePoller(Poller): ...

def new_poller() -> Poller: ...
