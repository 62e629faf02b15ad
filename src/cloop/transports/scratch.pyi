from typing import final

from cloop.core.reactor import Reactor

@final
class Scratch:
    def __new__(cls, loop: Reactor) -> Scratch: ...
