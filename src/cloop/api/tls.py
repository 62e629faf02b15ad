"""TLS on top of a stream transport, from the beginning or from some point on.

Derived from CPython's asyncio/base_events.py and selector_events.py (PSF License Agreement).
"""

from __future__ import annotations

from asyncio import constants
from asyncio.streams import StreamReaderProtocol
from typing import TYPE_CHECKING, Any

from cloop.api.opening import Opening
from cloop.transports.stream import StreamTransport
from cloop.transports.tls.records import context_of
from cloop.transports.tls.transport import TlsTransport

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future, Server, Transport
    from collections.abc import Mapping
    from contextvars import Context
    from socket import socket

    from cloop.loop import Loop
    from cloop.transports.tls.machine import TlsMachine

try:
    import ssl
except ImportError:  # a Python that was built without OpenSSL
    ssl = None  # type: ignore[assignment]


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
    transport = TlsTransport(
        loop,
        protocol,
        sslcontext,
        waiter,
        server_side,
        server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
    )
    try:
        StreamTransport(loop, rawsock, transport._ssl_protocol, None, extra, server, context)
    except BaseException:
        transport._ssl_protocol._disown()
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
) -> Transport | None:
    """Upgrade a connection to TLS. Returns the transport that `protocol` is to use from now on.

    None where the connection is closed, or was before the handshake could end.
    """
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    if not getattr(transport, "_start_tls_compatible", False):
        raise TypeError(f"transport {transport!r} is not supported by start_tls()")
    opening = Opening(loop)
    tls = TlsTransport(
        loop,
        protocol,
        sslcontext,
        opening.waiter,
        server_side,
        server_hostname,
        ssl_handshake_timeout=ssl_handshake_timeout,
        ssl_shutdown_timeout=ssl_shutdown_timeout,
        call_connection_made=False,
    )
    machine = tls._ssl_protocol
    before = transport.get_protocol()
    if before is None and transport.is_closing():
        # Its connection_lost is over, and asyncio would wait for ever.
        machine._disown()
        return None
    # No data may reach the new protocol before its connection_made.
    transport.pause_reading()
    move_read_ahead(protocol, machine, server_side)
    transport.set_protocol(machine)
    if getattr(transport, "_protocol_paused", False):
        machine._stay_paused(before is protocol)
    context = context_of(transport)
    made = loop.call_soon(machine.connection_made, transport, context=context)
    resumed = loop.call_soon(transport.resume_reading, context=context)
    try:
        await opening.wait(transport)
    except BaseException:
        made.cancel()
        resumed.cancel()
        raise
    return None if machine._transport is None else tls


def move_read_ahead(protocol: BaseProtocol, machine: TlsMachine, server_side: bool) -> None:
    """Hand what a StreamReader has read already to the handshake, to which it belongs.

    A client's first bytes may come in one segment with what made the server start TLS.
    https://github.com/python/cpython/issues/142352
    """
    if not isinstance(protocol, StreamReaderProtocol):
        return
    reader = getattr(protocol, "_stream_reader", None)
    if reader is not None and reader._buffer and server_side:
        machine._feed(reader._buffer)
        reader._buffer.clear()
