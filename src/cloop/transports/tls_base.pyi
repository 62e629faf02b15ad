import asyncio
import ssl
from asyncio.constants import _SendfileMode
from contextvars import Context
from typing import ClassVar, Self

from cloop.core.reactor import Reactor
from cloop.transports.tls_flow import TlsFlow

def context_of(transport: asyncio.BaseTransport) -> Context: ...

# An asyncio.Transport to isinstance(), and the protocol of another; it is derived from neither.
class TlsBase(TlsFlow, asyncio.Transport, asyncio.Protocol):
    _start_tls_compatible: ClassVar[bool]
    @property
    def _sendfile_compatible(self) -> _SendfileMode: ...
    def __new__(
        cls,
        loop: Reactor,
        protocol: asyncio.BaseProtocol,
        sslcontext: ssl.SSLContext | None,
        waiter: asyncio.Future[None] | None = None,
        server_side: bool = False,
        server_hostname: str | None = None,
        call_connection_made: bool = True,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Self: ...
    @property
    def _ssl_protocol(self) -> Self: ...
    @property
    def _app_protocol(self) -> asyncio.BaseProtocol | None: ...
    @property
    def _app_transport(self) -> Self | None: ...
    @property
    def _sslobj(self) -> ssl.SSLObject: ...
    @property
    def _sslcontext(self) -> ssl.SSLContext: ...
    @property
    def _server_side(self) -> bool: ...
    @property
    def _server_hostname(self) -> str | None: ...
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def _feed(self, data: bytes | bytearray) -> None: ...
    def _disown(self) -> None: ...
