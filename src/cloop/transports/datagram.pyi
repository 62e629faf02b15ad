import asyncio
from collections.abc import Mapping
from socket import _Address, socket
from typing import Any, ClassVar, NoReturn, final

from cloop.core.reactor import Reactor
from cloop.transports.base import BaseTransport

@final
class Batch:
    def __new__(cls, loop: Reactor) -> Batch: ...

# An asyncio.DatagramTransport to isinstance() as well.
@final
class DatagramTransport(BaseTransport, asyncio.DatagramTransport):
    max_size: ClassVar[int]

    def __new__(
        cls,
        loop: Reactor,
        sock: socket,
        protocol: asyncio.BaseProtocol,
        address: _Address | None = None,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> DatagramTransport: ...
    def write(self, data: object) -> NoReturn: ...
    def writelines(self, list_of_data: object) -> NoReturn: ...
    def write_eof(self) -> NoReturn: ...
    def can_write_eof(self) -> NoReturn: ...
