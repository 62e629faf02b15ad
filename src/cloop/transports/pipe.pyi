import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, final

from cloop.core.reactor import Reactor
from cloop.transports.base import BaseTransport
from cloop.transports.intake import Intake

def made_for_child(transport: asyncio.BaseTransport, may_grow: bool) -> None: ...
def receive_into(transport: asyncio.BaseTransport, intake: Intake | None) -> bool: ...

@final
class Absent:
    def __new__(cls, name: str) -> Absent: ...
    def __get__(self, instance: object, owner: type | None = ..., /) -> NoReturn: ...

@final
class GrownPipes:
    def __new__(cls, loop: Reactor) -> GrownPipes: ...

class PipeTransport(BaseTransport): ...

@final
class ReadPipeTransport(PipeTransport):
    max_size: ClassVar[int]

    def __new__(
        cls,
        loop: Reactor,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> ReadPipeTransport: ...

@final
class WritePipeTransport(PipeTransport):
    def __new__(
        cls,
        loop: Reactor,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> WritePipeTransport: ...
