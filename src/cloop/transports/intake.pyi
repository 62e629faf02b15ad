from asyncio import AbstractEventLoop, Future, StreamReader, Transport
from typing import final

from cloop.transports.sink import Sink

@final
class Intake(Sink):
    def __new__(cls, limit: float, loop: AbstractEventLoop) -> Intake: ...
    def belong(self, reader: StreamReader) -> None: ...
    def divert(self, owner: object = None, method: str = ...) -> None: ...
    def feed(self, data: bytes | bytearray | memoryview) -> None: ...
    _buffer: bytearray
    _limit: float
    _loop: AbstractEventLoop
    waiter: Future[None] | None
    eof: bool
    exception: BaseException | None
    transport: Transport | None
    paused: bool
