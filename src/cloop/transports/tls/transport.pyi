import asyncio
import ssl
from asyncio.constants import _SendfileMode
from contextvars import Context
from typing import ClassVar, Self, final

from cloop.core.reactor import Reactor
from cloop.transports.sender import Sender
from cloop.transports.tls.machine import HandshakeObserver, TlsMachine

# An asyncio.Transport to isinstance(); it is not derived from it.
@final
class TlsTransport(Sender, asyncio.Transport):
    _start_tls_compatible: ClassVar[bool]
    _sendfile_compatible: ClassVar[_SendfileMode]
    def __new__(
        cls,
        loop: Reactor,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | HandshakeObserver | None = None,
        server_side: bool = False,
        server_hostname: str | None = None,
        call_connection_made: bool = True,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Self: ...
    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_read_buffer_limits(self) -> tuple[int, int]: ...
    def get_read_buffer_size(self) -> int: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_limits(self) -> tuple[int, int]: ...
    def get_write_buffer_size(self) -> int: ...
    @property
    def _ssl_protocol(self) -> TlsMachine: ...
    @property
    def _context(self) -> Context | None: ...
    def _force_close(self, exc: BaseException | None) -> None: ...
