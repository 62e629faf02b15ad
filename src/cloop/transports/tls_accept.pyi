import ssl
from asyncio import BaseProtocol, Future, Server
from collections.abc import Callable
from contextvars import Context
from socket import socket
from typing import Any, final

from cloop.core.reactor import Reactor

@final
class TlsAcceptor:
    def __new__(
        cls,
        loop: Reactor,
        protocol_factory: Callable[[], BaseProtocol],
        sslcontext: ssl.SSLContext,
        server: Server | None,
        listening: socket,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> TlsAcceptor: ...
    def __call__(self, sock: socket, peername: Any, context: Context, no_delay: bool) -> None: ...

# What is asked of a future that a transport is to wake.
@final
class Admission(Future[None]):
    def set_result(self, result: None) -> None: ...
    def set_exception(self, exception: BaseException | type[BaseException]) -> None: ...

def end_admissions(loop: Reactor, listening: socket | None = None) -> None: ...
