from typing import final

from cloop.poll.poller import Poller

@final
class Inbox:
    def __new__(cls, poller: Poller) -> Inbox: ...
