import asyncio
from asyncio.constants import _SendfileMode
from collections.abc import Mapping
from contextvars import Context
from socket import socket
from typing import Any, ClassVar, final

from cloop.core.reactor import Reactor
from cloop.transports.base import BaseTransport

@final
class StreamTransport(BaseTransport):
    max_size: ClassVar[int]
    _start_tls_compatible: ClassVar[bool]
    _sendfile_compatible: ClassVar[_SendfileMode]

    def __new__(
        cls,
        loop: Reactor,
        sock: socket,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        extra: Mapping[str, Any] | None = None,
        server: asyncio.Server | None = None,
        context: Context | None = None,
        no_delay: bool = False,
    ) -> StreamTransport: ...

    # For sendfile, as asyncio's transports have it.
    @property
    def _sock(self) -> socket | None: ...
    def _make_empty_waiter(self) -> asyncio.Future[None]: ...
    def _wait_with(self, future: asyncio.Future[None]) -> None: ...
    def _reset_empty_waiter(self) -> None: ...
