from typing import final

from cloop.core.reactor import Reactor

@final
class Receiver:
    def __new__(cls, loop: Reactor) -> Receiver: ...
