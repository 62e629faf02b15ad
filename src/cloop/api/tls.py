"""TLS over the standard library's SSLProtocol, on top of a stream transport.

Derived from CPython's asyncio/base_events.py and selector_events.py (PSF License Agreement).
"""

# What mypy knows of SSLProtocol is less than it takes.
# mypy: disable-error-code="arg-type,attr-defined"

from __future__ import annotations

from asyncio import constants, sslproto
from asyncio.streams import StreamReaderProtocol
from typing import TYPE_CHECKING, Any

from cloop.transports.stream import StreamTransport

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future, Server, Transport
    from collections.abc import Mapping
    from contextvars import Context
    from socket import socket

    from cloop.api.hints import Acceptor, ProtocolFactory
    from cloop.loop import Loop

try:
    import ssl
except ImportError:  # a Python that was built without OpenSSL
    ssl = None  # type: ignore[assignment]


class SSLProtocol(sslproto.SSLProtocol):
    """asyncio's, which loses data where a protocol's buffer is no memoryview.

    It receives into a slice of the buffer, and a bytearray's slice is a copy.
    https://github.com/python/cpython/issues/156275
    """

    def _set_app_protocol(self, app_protocol: BaseProtocol) -> None:
        super()._set_app_protocol(app_protocol)
        if self._app_protocol_is_buffer:
            get_buffer = app_protocol.get_buffer
            self._app_protocol_get_buffer = lambda size: memoryview(get_buffer(size)).cast("B")


def make_ssl_transport(
    loop: Loop,
    rawsock: socket,
    protocol: BaseProtocol,
    sslcontext: ssl.SSLContext | None,
    waiter: Future[None] | None = None,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    extra: Mapping[str, Any] | None = None,
    server: Server | None = None,
    ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
    ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    context: Context | None = None,
) -> Transport:
    """A TLS transport over a connected socket; `waiter` is told when the handshake is over."""
    ssl_protocol = SSLProtocol(
        loop,
        protocol,
        sslcontext,
        waiter,
        server_side,
        server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    transport = ssl_protocol._app_transport
    try:
        StreamTransport(loop, rawsock, ssl_protocol, None, extra, server, context)
    except BaseException:
        # It has no connection to warn of.
        transport._closed = True
        raise
    return transport


async def start_tls(
    loop: Loop,
    transport: Transport,
    protocol: BaseProtocol,
    sslcontext: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Transport:
    """Upgrade a connection to TLS. Returns the transport that `protocol` is to use from now on."""
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    waiter = loop.create_future()
    ssl_protocol = SSLProtocol(
        loop,
        protocol,
        sslcontext,
        waiter,
        server_side,
        server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        call_connection_made=False,
    )
    # No data may reach the new protocol before its connection_made.
    transport.pause_reading()
    move_read_ahead(protocol, ssl_protocol)
    transport.set_protocol(ssl_protocol)
    made = loop.call_soon(ssl_protocol.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        transport.close()
        made.cancel()
        resumed.cancel()
        # The exception's traceback must not keep the connection alive.
        waiter = None  # type: ignore[assignment]
        raise
    return ssl_protocol._app_transport


def move_read_ahead(protocol: BaseProtocol, ssl_protocol: sslproto.SSLProtocol) -> None:
    """Hand what a StreamReader has read already to the handshake, to which it belongs.

    A client's first bytes may come in one segment with what made the server start TLS.
    https://github.com/python/cpython/issues/142352
    """
    if not isinstance(protocol, StreamReaderProtocol):
        return
    reader = getattr(protocol, "_stream_reader", None)
    if reader is not None and reader._buffer and ssl_protocol._server_side:
        ssl_protocol._incoming.write(reader._buffer)
        reader._buffer.clear()


def acceptor(
    loop: Loop,
    protocol_factory: ProtocolFactory,
    sslcontext: ssl.SSLContext,
    server: Server | None,
    ssl_handshake_timeout: float | None,
    ssl_shutdown_timeout: float | None,
) -> Acceptor:
    """What a listener calls with each connection: a task that sees its handshake through."""

    def accept(sock: socket, peername: object, context: Context | None) -> None:
        connection = accept_tls(
            loop,
            protocol_factory,
            sock,
            sslcontext,
            extra={"peername": peername},
            server=server,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            context=context,
        )
        if context is None:
            loop.create_task(connection)
        else:
            loop.create_task(connection, context=context)

    return accept


async def accept_tls(
    loop: Loop, protocol_factory: ProtocolFactory, sock: socket, sslcontext: ssl.SSLContext, **options: Any
) -> None:
    """Make the transport of a connection that was accepted; failures show in debug mode only."""
    protocol = transport = None
    try:
        try:
            protocol = protocol_factory()
            waiter = loop.create_future()
            transport = make_ssl_transport(
                loop, sock, protocol, sslcontext, waiter, server_side=True, **options
            )
        except BaseException:
            sock.close()
            raise
        try:
            await waiter
        except BaseException:
            transport.close()
            # The exception's traceback must not keep the connection alive.
            waiter = None  # type: ignore[assignment]
            raise
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        if not loop.get_debug():
            return
        context = {
            "message": "Error on transport creation for incoming connection",
            "exception": exc,
        }
        if protocol is not None:
            context["protocol"] = protocol
        if transport is not None:
            context["transport"] = transport
        loop.call_exception_handler(context)
