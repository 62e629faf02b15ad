"""create_unix_connection and create_unix_server: streams between processes of one machine.

Derived from CPython's asyncio/unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, TypeVar

from cloop.api import connect, serve, socketfile

if TYPE_CHECKING:
    from asyncio import BaseProtocol, Server, Transport
    from collections.abc import Callable

    from cloop.api.hints import ProtocolFactory, SSLArgument, UnixPath
    from cloop.loop import Loop

_P = TypeVar("_P", bound="BaseProtocol")

# From 3.13 on a server removes its socket's file when it closes, unless it is told not to.
CLEANS_UP = sys.version_info >= (3, 13)


async def create_unix_connection(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    path: UnixPath | None = None,
    *,
    ssl: SSLArgument = None,
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> tuple[Transport, _P]:
    """Connect to the Unix server at `path`, or use the connected Unix stream socket `sock`.

    A path that begins with a NUL is a name in Linux's abstract namespace. Returns (transport,
    protocol). Raises OSError where there is no such server, ValueError for arguments that make no
    sense together.
    """
    assert server_hostname is None or isinstance(server_hostname, str)
    if ssl and server_hostname is None:
        raise ValueError("you have to pass server_hostname when using ssl")
    if server_hostname is not None and not ssl:
        raise ValueError("server_hostname is only meaningful with ssl")
    connect.check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        sock = await open_path(loop, os.fspath(path))
    else:
        if sock is None:
            raise ValueError("no path and sock were specified")
        check_unix_stream(sock)
    return await connect.wrap(
        loop, sock, protocol_factory, ssl, server_hostname, False, ssl_handshake_timeout, ssl_shutdown_timeout
    )


async def create_unix_server(
    loop: Loop,
    protocol_factory: ProtocolFactory,
    path: UnixPath | None = None,
    *,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: SSLArgument = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
    cleanup_socket: bool | None = None,
) -> Server:
    """Serve at `path` of the file system, or on the Unix stream socket `sock`. Returns a Server.

    A socket that an earlier server left at `path` is replaced. A path that begins with a NUL is a
    name in Linux's abstract namespace. With `cleanup_socket`, the socket's file is removed when the
    server closes, if it is still the same; by default from 3.13 on, unless `sock` listens already. Raises
    OSError where the address is in use.
    """
    serve.check_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    made = path is not None
    if path is not None:
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        sock = bind_path(os.fspath(path))
    else:
        if sock is None:
            raise ValueError("path was not specified, and no sock specified")
        check_unix_stream(sock)
    try:
        if cleanup_socket is None:
            cleanup_socket = CLEANS_UP and not listens(sock)
        if cleanup_socket:
            remember_file(loop, sock)
        return await serve.make_server(
            loop,
            [sock],
            made,
            protocol_factory,
            ssl,
            backlog,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            start_serving,
        )
    except BaseException:
        loop._unix_server_sockets.pop(sock, None)
        if made:
            sock.close()
        raise


def check_unix_stream(sock: socket.socket) -> None:
    """ValueError for a socket of another kind."""
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def listens(sock: socket.socket) -> bool:
    """Whether somebody has it listen already, as systemd: who goes on to do so when the server has ended."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


async def open_path(loop: Loop, path: str | bytes) -> socket.socket:
    """A socket connected to the server at a path."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_path(path: str | bytes) -> socket.socket:
    """A socket bound to a path, where a socket that nobody may listen on any more has made way."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        socketfile.bind(sock, path)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


# ---- The file of a server that closes


def remember_file(loop: Loop, sock: socket.socket) -> None:
    """Note by its inode which file is to be removed when the server closes."""
    path = sock.getsockname()
    if socketfile.is_abstract(path):
        return
    inode = socketfile.inode_of(path)
    if inode is not None:
        loop._unix_server_sockets[sock] = inode


def stop_serving(loop: Loop, sock: socket.socket) -> None:
    """asyncio's private `_stop_serving`: close a listening socket of any family, and remove its file."""
    inode = loop._unix_server_sockets.pop(sock, None)
    # Of a socket that somebody else has closed there is no name to be had.
    path = sock.getsockname() if inode is not None and sock.fileno() >= 0 else None
    serve.stop_serving(loop, sock)
    if path is not None and inode is not None:
        socketfile.remove_own(path, inode)
