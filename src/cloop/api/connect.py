"""create_connection and connect_accepted_socket: resolve, open, race, wrap.

A socket is closed here if anything goes wrong before a transport has it, once.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

import contextvars
import socket
import sys
from asyncio import staggered
from asyncio.base_events import _check_ssl_socket
from asyncio.log import logger

from cloop.api import dns
from cloop.transports.base import is_claimed
from cloop.transports.stream import StreamTransport

# From 3.15 on all callbacks of a connection run in one context.
ONE_CONTEXT = sys.version_info >= (3, 15)


async def create_connection(
    loop,
    protocol_factory,
    host=None,
    port=None,
    *,
    ssl=None,
    family=0,
    proto=0,
    flags=0,
    sock=None,
    local_addr=None,
    server_hostname=None,
    ssl_handshake_timeout=None,
    ssl_shutdown_timeout=None,
    happy_eyeballs_delay=None,
    interleave=None,
    all_errors=False,
):
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
    loop, protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
):
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


def name_server(host, ssl, server_hostname):
    """The name that the server's certificate must have, or None without TLS."""
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    if server_hostname is None and ssl:
        # An empty name, which turns the check off, has to be given on purpose.
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        return host
    return server_hostname


def check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout):
    """ValueError for a time-out of TLS without TLS."""
    if ssl_handshake_timeout is not None and not ssl:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if ssl_shutdown_timeout is not None and not ssl:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def check_stream(sock):
    """ValueError for a socket that is no stream socket, of whatever family."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A Stream Socket was expected, got {sock!r}")


# ---- Resolve


async def resolve(loop, host, port, family, proto, flags, local_addr):
    """The address infos of the server, and those to bind to or None."""
    options = {"family": family, "type": socket.SOCK_STREAM, "proto": proto, "flags": flags}
    found = [None, None]
    for i, address in enumerate([(host, port), local_addr]):
        if address is not None:
            found[i] = await dns.ensure_resolved(loop, address, **options)
            if not found[i]:
                raise OSError("getaddrinfo() returned empty list")
    return found


# ---- Open


async def open_any(loop, infos, local_infos, delay, all_errors):
    """A socket connected to the first address that lets us: in turn, or with a delay in a race."""
    errors = []
    sock = None
    try:
        if delay is not None:
            attempts = [lambda info=info: open_one(loop, errors, info, local_infos) for info in infos]
            # Not unpacked: what else it returns refers to the exceptions.
            sock = (await staggered.staggered_race(attempts, delay, loop=loop))[0]
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
        errors = None


async def open_one(loop, errors, info, local_infos):
    """Create, bind and connect one socket; OSErrors are raised and also added to `errors`."""
    attempt = []
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
            sock.close()
        raise
    finally:
        errors = attempt = None


def bind_local(sock, family, local_infos, attempt):
    """Bind to the first local address of the family that works."""
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


def bind_error(exc, address):
    """The OSError of a failed bind() with the address in its text."""
    # 3.13 has the number in it too.
    reason = exc.strerror if exc.strerror and sys.version_info < (3, 13) else str(exc)
    return OSError(exc.errno, f"error while attempting to bind on address {address!r}: {reason.lower()}")


def raise_errors(errors, all_errors):
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
        errors = None


# ---- Wrap


async def wrap(
    loop,
    sock,
    protocol_factory,
    ssl,
    server_hostname,
    server_side,
    ssl_handshake_timeout=None,
    ssl_shutdown_timeout=None,
):
    """A protocol and the transport over a connected socket, once connection_made was called."""
    options = {"context": contextvars.copy_context()} if ONE_CONTEXT else {}
    try:
        sock.setblocking(False)
        protocol = protocol_factory()
        waiter = loop.create_future()
        if ssl:
            transport = loop._make_ssl_transport(
                sock,
                protocol,
                None if isinstance(ssl, bool) else ssl,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
                **options,
            )
        else:
            transport = loop._make_socket_transport(sock, protocol, waiter, **options)
    except BaseException:
        # Unless it is another transport's, which is what the error is then about.
        if not is_claimed(loop, sock):
            sock.close()
        raise
    try:
        await waiter
    except BaseException:
        transport.close()
        # The exception's traceback must not keep the connection alive.
        waiter = None
        raise
    return transport, protocol


def make_socket_transport(loop, sock, protocol, waiter=None, *, extra=None, server=None, context=None):
    """asyncio's private `_make_socket_transport`, which some libraries call."""
    return StreamTransport(loop, sock, protocol, waiter, extra, server, context)
