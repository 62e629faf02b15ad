import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from cloop.core.reactor import Reactor
from cloop.transports.base import BaseTransport

class PipeTransport(BaseTransport): ...

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

class WritePipeTransport(PipeTransport):
    def __new__(
        cls,
        loop: Reactor,
        pipe: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> WritePipeTransport: ...
