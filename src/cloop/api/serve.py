"""create_server: addresses, sockets, listeners.

The Server is the running version's own class, asyncio.base_events.Server: its rules of closing and
waiting differ from version to version and so come exactly right. It starts and stops its sockets
through the loop's `_start_serving` and `_stop_serving`, which are here. Its set of clients is ours.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import collections.abc
import errno
import itertools
import os
import socket
import sys
from asyncio import constants
from asyncio.base_events import Server, _check_ssl_socket, _set_reuseport  # type: ignore[attr-defined]
from asyncio.log import logger
from typing import TYPE_CHECKING

from cloop.api import dns, streams
from cloop.api.connect import bind_error, check_stream
from cloop.transports.clients import ClientSet
from cloop.transports.listener import start_listening, stop_listening
from cloop.transports.tls.accept import TlsAcceptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextvars import Context
    from ssl import SSLContext

    from cloop.api.hints import AddressInfo, ProtocolFactory, SSLArgument
    from cloop.loop import Loop

# From then on an address that this machine does not have is left out. (CPython issue 75128)
SKIPS_FOREIGN_ADDRESSES = sys.version_info >= (3, 12, 5)


async def create_server(
    loop: Loop,
    protocol_factory: ProtocolFactory,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: SSLArgument = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    keep_alive: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
) -> Server:
    """Serve on the addresses of `host` (a name, several, or None for all) or on `sock`.

    An address that several hosts have is bound once. Returns a Server.
    """
    check_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if sock is not None:
        _check_ssl_socket(sock)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if reuse_address is None:
            reuse_address = os.name == "posix" and sys.platform != "cygwin"
        infos = await resolve_hosts(loop, host, port, family, flags)
        sockets = bind_all(loop, infos, reuse_address, reuse_port, keep_alive)
    else:
        if sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        check_stream(sock)
        sockets = [sock]
    server = await make_server(
        loop,
        sockets,
        host is not None or port is not None,
        protocol_factory,
        ssl,
        backlog,
        ssl_handshake_timeout,
        ssl_shutdown_timeout,
        start_serving,
    )
    if loop.get_debug():
        logger.info("%r is serving", server)
    return server


async def make_server(
    loop: Loop,
    sockets: list[socket.socket],
    made: bool,
    protocol_factory: ProtocolFactory,
    ssl: SSLArgument,
    backlog: int,
    ssl_handshake_timeout: float | None,
    ssl_shutdown_timeout: float | None,
    start_serving: bool,
) -> Server:
    """The Server of bound sockets. If it is not to be, those that were `made` for it are closed."""
    try:
        for sock in sockets:
            sock.setblocking(False)
        server = Server(
            loop, sockets, protocol_factory, ssl, backlog, ssl_handshake_timeout, ssl_shutdown_timeout
        )
        if hasattr(server, "_clients"):
            server._clients = ClientSet()
        if start_serving:
            server._start_serving()  # type: ignore[attr-defined]
            # asyncio lets a turn pass here, and programs see that.
            await asyncio.sleep(0)
        return server
    except BaseException:
        # listen() failed, or the caller was cancelled and nobody will ever close the server.
        for sock in sockets:
            if made:
                loop._stop_serving(sock)
            else:
                stop_listening(loop, sock)
        raise


def check_arguments(
    ssl: SSLArgument, ssl_handshake_timeout: float | None, ssl_shutdown_timeout: float | None
) -> None:
    """TypeError or ValueError for what does not go together."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    if ssl_handshake_timeout is not None and ssl is None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if ssl_shutdown_timeout is not None and ssl is None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


# ---- Addresses


async def resolve_hosts(
    loop: Loop, host: str | Sequence[str] | None, port: int | None, family: int, flags: int
) -> list[AddressInfo]:
    """The address infos of all hosts, each once."""
    hosts: Iterable[str | None]
    if host == "":
        hosts = [None]
    elif isinstance(host, str) or not isinstance(host, collections.abc.Iterable):
        hosts = [host]
    else:
        hosts = host
    found = await asyncio.gather(*(resolve_host(loop, host, port, family, flags) for host in hosts))
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))


async def resolve_host(
    loop: Loop, host: str | None, port: int | None, family: int, flags: int
) -> Sequence[AddressInfo]:
    """The address infos of one host; OSError where there are none."""
    infos = await dns.ensure_resolved(loop, (host, port), family=family, type=socket.SOCK_STREAM, flags=flags)
    if not infos:
        raise OSError(f"getaddrinfo({host!r}) returned empty list")
    return infos


# ---- Sockets


def bind_all(
    loop: Loop,
    infos: Sequence[AddressInfo],
    reuse_address: bool | None,
    reuse_port: bool | None,
    keep_alive: bool | None,
) -> list[socket.socket]:
    """A bound socket for each address; on an error none."""
    sockets = []
    try:
        for info in infos:
            sock = bind_one(loop, info, reuse_address, reuse_port, keep_alive)
            if sock is not None:
                sockets.append(sock)
        if not sockets and SKIPS_FOREIGN_ADDRESSES:
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_one(
    loop: Loop,
    info: AddressInfo,
    reuse_address: bool | None,
    reuse_port: bool | None,
    keep_alive: bool | None,
) -> socket.socket | None:
    """A bound socket; None where the system has no such family or address."""
    family, type, proto, _, address = info
    try:
        sock = socket.socket(family, type, proto)
    except OSError:
        # A combination of family, type and protocol that is not supported.
        if loop.get_debug():
            logger.warning(
                "create_server() failed to create socket.socket(%r, %r, %r)",
                family,
                type,
                proto,
                exc_info=True,
            )
        return None
    try:
        set_options(sock, reuse_address, reuse_port, keep_alive)
        try:
            sock.bind(address)
        except OSError as exc:
            if exc.errno == errno.EADDRNOTAVAIL and SKIPS_FOREIGN_ADDRESSES:
                # IPv6 may be compiled in and switched off.
                sock.close()
                if loop.get_debug():
                    logger.warning(bind_error(exc, address).strerror)
                return None
            # Not by way of a local name: the traceback refers to this frame.
            raise bind_error(exc, address) from None
    except BaseException:
        sock.close()
        raise
    return sock


def set_options(
    sock: socket.socket, reuse_address: bool | None, reuse_port: bool | None, keep_alive: bool | None
) -> None:
    """The socket's options, before it is bound."""
    if reuse_address:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    # Linux 6.12.9 refuses it for other families.
    if reuse_port and sock.family in (socket.AF_INET, getattr(socket, "AF_INET6", None)):
        _set_reuseport(sock)
    if keep_alive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
    # One socket for each family, also where Linux would let an IPv6 one serve both.
    if sock.family == getattr(socket, "AF_INET6", None) and hasattr(socket, "IPPROTO_IPV6"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)


# ---- What the Server calls


def start_serving(
    loop: Loop,
    protocol_factory: ProtocolFactory,
    sock: socket.socket,
    sslcontext: SSLContext | None = None,
    server: Server | None = None,
    backlog: int = 100,
    ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
    ssl_shutdown_timeout: float | None = constants.SSL_SHUTDOWN_TIMEOUT,
    context: Context | None = None,
) -> None:
    """Accept connections of a listening socket: asyncio's private `_start_serving`."""
    acceptor = None
    protocol_factory = streams.factory_for(loop, protocol_factory)
    if sslcontext:
        acceptor = TlsAcceptor(
            loop, protocol_factory, sslcontext, server, sock, ssl_handshake_timeout, ssl_shutdown_timeout
        )
    start_listening(
        loop, sock, protocol_factory, server=server, backlog=backlog, accept=acceptor, context=context
    )
    if acceptor is not None:
        loop._tls_acceptors[sock] = acceptor


def stop_serving(loop: Loop, sock: socket.socket) -> None:
    """Accept no more connections of a socket and close it: asyncio's private `_stop_serving`.

    Handshakes of TLS that are under way are ended: these connections are nobody's clients yet.
    """
    stop_listening(loop, sock)
    sock.close()
    acceptor = loop._tls_acceptors.pop(sock, None)
    if acceptor is not None:
        acceptor.end_handshakes()
