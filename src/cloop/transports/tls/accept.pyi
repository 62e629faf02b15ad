import ssl
from asyncio import BaseProtocol, Server
from collections.abc import Callable
from contextvars import Context
from socket import socket
from typing import Any, final

from cloop.core.reactor import Reactor
from cloop.transports.tls.machine import HandshakeObserver

@final
class TlsAcceptor(HandshakeObserver):
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
    def end_handshakes(self) -> None: ...
