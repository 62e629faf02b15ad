"""create_connection and connect_accepted_socket: resolve, open, race, wrap.

A socket is closed here if anything goes wrong before a transport has it, once.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import contextlib
import contextvars
import socket
import sys
from asyncio import staggered
from asyncio.base_events import _check_ssl_socket  # type: ignore[attr-defined]
from asyncio.log import logger
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from cloop.api import dns, streams
from cloop.api.opening import Opening
from cloop.transports.base import is_claimed
from cloop.transports.stream import StreamTransport

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Future, Server, Transport
    from collections.abc import Callable, Mapping, Sequence

    from cloop.api.hints import AddressInfo, SSLArgument
    from cloop.loop import Loop

_P = TypeVar("_P", bound="BaseProtocol")

# From 3.15 on all callbacks of a connection run in one context.
ONE_CONTEXT = sys.version_info >= (3, 15)


async def create_connection(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    host: str | None = None,
    port: int | None = None,
    *,
    ssl: SSLArgument = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[Transport, _P]:
    """Connect to a TCP server, or use the connected stream socket `sock`.

    Returns (transport, protocol). With `ssl` (a context, or True for a default one) the connection
    is made when the handshake is over. `happy_eyeballs_delay` races the addresses of the host.
    Raises OSError where no address can be connected, with `all_errors` an ExceptionGroup of them.
    """
    server_hostname = name_server(host, ssl, server_hostname)
    check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        _check_ssl_socket(sock)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if happy_eyeballs_delay is not None and interleave is None:
            interleave = 1
        infos, local_infos = await resolve(loop, host, port, family, proto, flags, local_addr)
        if interleave:
            infos = dns.interleave(infos, interleave)
        sock = await open_any(loop, infos, local_infos, happy_eyeballs_delay, all_errors)
    else:
        if sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        check_stream(sock)
    transport, protocol = await wrap(
        loop, sock, protocol_factory, ssl, server_hostname, False, ssl_handshake_timeout, ssl_shutdown_timeout
    )
    if loop.get_debug():
        sock = transport.get_extra_info("socket")
        logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
    return transport, protocol


async def connect_accepted_socket(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    sock: socket.socket,
    *,
    ssl: SSLArgument = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[Transport, _P]:
    """Make a transport of a connection that was accepted elsewhere. Returns (transport, protocol)."""
    check_stream(sock)
    check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    _check_ssl_socket(sock)
    transport, protocol = await wrap(
        loop, sock, protocol_factory, ssl, "", True, ssl_handshake_timeout, ssl_shutdown_timeout
    )
    if loop.get_debug():
        sock = transport.get_extra_info("socket")
        logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
    return transport, protocol


# ---- Arguments


def name_server(host: str | None, ssl: SSLArgument, server_hostname: str | None) -> str | None:
    """The name that the server's certificate must have, or None without TLS."""
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    if server_hostname is None and ssl:
        # An empty name, which turns the check off, has to be given on purpose.
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        return host
    return server_hostname


def check_timeouts(
    ssl: SSLArgument, ssl_handshake_timeout: float | None, ssl_shutdown_timeout: float | None
) -> None:
    """ValueError for a time-out of TLS without TLS."""
    if ssl_handshake_timeout is not None and not ssl:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if ssl_shutdown_timeout is not None and not ssl:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def check_stream(sock: socket.socket) -> None:
    """ValueError for a socket that is no stream socket, of whatever family."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


# ---- Resolve


async def resolve(
    loop: Loop,
    host: str | None,
    port: int | None,
    family: int,
    proto: int,
    flags: int,
    local_addr: tuple[str, int] | None,
) -> list[Any]:
    """The address infos of the server, and those to bind to or None."""
    options = {"family": family, "type": socket.SOCK_STREAM, "proto": proto, "flags": flags}
    found: list[Any] = [None, None]
    for i, address in enumerate([(host, port), local_addr]):
        if address is not None:
            found[i] = await dns.ensure_resolved(loop, address, **options)
            if not found[i]:
                raise OSError("getaddrinfo() returned empty list")
    return found


# ---- Open


async def open_any(
    loop: Loop,
    infos: Sequence[AddressInfo],
    local_infos: Sequence[AddressInfo] | None,
    delay: float | None,
    all_errors: bool,
) -> socket.socket:
    """A socket connected to the first address that lets us: in turn, or with a delay in a race."""
    errors: list[list[OSError]] = []
    sock: socket.socket | None = None
    try:
        if delay is not None:
            attempts = [lambda info=info: open_one(loop, errors, info, local_infos) for info in infos]
            sock, *_, raised = await staggered.staggered_race(attempts, delay, loop=loop)
            # The list of exceptions, whose tracebacks refer to the race's frames, which refer to the list.
            raised.clear()
        else:
            for info in infos:
                try:
                    sock = await open_one(loop, errors, info, local_infos)
                    break
                except OSError:
                    continue
        if sock is None:
            raise_errors([exc for attempt in errors for exc in attempt], all_errors)
        return sock
    finally:
        # The exceptions' tracebacks refer to this frame.
        errors = None  # type: ignore[assignment]


async def open_one(
    loop: Loop,
    errors: list[list[OSError]],
    info: AddressInfo,
    local_infos: Sequence[AddressInfo] | None,
) -> socket.socket:
    """Create, bind and connect one socket; OSErrors are raised and also added to `errors`."""
    attempt: list[OSError] = []
    errors.append(attempt)
    family, type, proto, _, address = info
    sock = None
    try:
        try:
            sock = socket.socket(family=family, type=type, proto=proto)
            sock.setblocking(False)
            if local_infos is not None:
                bind_local(sock, family, local_infos, attempt)
            await loop.sock_connect(sock, address)
            return sock
        except OSError as exc:
            attempt.append(exc)
            raise
    except BaseException:
        if sock is not None:
            # What is raised already matters more than an error of close().
            with contextlib.suppress(OSError):
                sock.close()
        raise
    finally:
        errors = attempt = None  # type: ignore[assignment]


def bind_local(
    sock: socket.socket, family: int, local_infos: Sequence[AddressInfo], attempt: list[OSError]
) -> None:
    """Bind to the first local address of the family that works."""
    try:
        for local_family, _, _, _, address in local_infos:
            if local_family != family:
                continue
            try:
                sock.bind(address)
                return
            except OSError as exc:
                attempt.append(bind_error(exc, address))
        if attempt:
            raise attempt.pop()
        raise OSError(f"no matching local address with {family=} found")
    finally:
        # It will have the exception, whose traceback refers to this frame.
        attempt = None  # type: ignore[assignment]


def bind_error(exc: OSError, address: object) -> OSError:
    """The OSError of a failed bind() with the address in its text."""
    # 3.13 has the number in it too.
    reason = exc.strerror if exc.strerror and sys.version_info < (3, 13) else str(exc)
    return OSError(exc.errno, f"error while attempting to bind on address {address!r}: {reason.lower()}")


def raise_errors(errors: list[OSError], all_errors: bool) -> NoReturn:
    """One exception for all of them."""
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if not errors:
            raise TimeoutError("create_connection failed")
        if all(str(exc) == str(errors[0]) for exc in errors):
            raise errors[0]
        raise OSError(f"Multiple exceptions: {', '.join(str(exc) for exc in errors)}")
    finally:
        errors = None  # type: ignore[assignment]


# ---- Wrap


async def wrap(
    loop: Loop,
    sock: socket.socket,
    protocol_factory: Callable[[], _P],
    ssl: SSLArgument,
    server_hostname: str | None,
    server_side: bool,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[Transport, _P]:
    """A protocol and the transport over a connected socket, once connection_made was called."""
    options: dict[str, Any] = {"context": contextvars.copy_context()} if ONE_CONTEXT else {}
    factory = streams.factory_for(loop, protocol_factory)
    try:
        sock.setblocking(False)
        protocol = factory()
        opening = Opening(loop)
        if ssl:
            transport = loop._make_ssl_transport(
                sock,
                protocol,
                None if isinstance(ssl, bool) else ssl,
                opening.waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                **options,
            )
        else:
            transport = loop._make_socket_transport(sock, protocol, opening.waiter, **options)
    except BaseException:
        # Unless it is another transport's, which is what the error is then about.
        if not is_claimed(loop, sock):
            sock.close()
        raise
    await opening.wait(transport)
    if factory is not protocol_factory:
        # The writer is made next.
        loop.writer_protocol = protocol
    return transport, protocol


def make_socket_transport(
    loop: Loop,
    sock: socket.socket,
    protocol: BaseProtocol,
    waiter: Future[None] | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    server: Server | None = None,
    context: contextvars.Context | None = None,
) -> StreamTransport:
    """asyncio's private `_make_socket_transport`, which some libraries call."""
    return StreamTransport(loop, sock, protocol, waiter, extra, server, context)
