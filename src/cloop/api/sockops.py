"""The loop's sock_ methods: operations on the user's own non-blocking sockets.

`sockio` does them; here they become coroutines, as asyncio's are.

Derived from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from cloop.api import dns, sockio
from cloop.api.sockio import Operation

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from cloop.loop import Loop

# Seconds, between attempts to connect to a Unix server whose queue is full.
FIRST_PAUSE = 0.001
LAST_PAUSE = 0.05

INTERNET = {socket.AF_INET, getattr(socket, "AF_INET6", socket.AF_INET)}


async def sock_recv(loop: Loop, sock: socket.socket, n: int) -> bytes:
    """Receive up to `n` bytes; b"" once the peer has ended. Raises OSError."""
    value = sockio.recv(loop, sock, n)
    return await value if type(value) is Operation else value


async def sock_recv_into(loop: Loop, sock: socket.socket, buf: WriteableBuffer) -> int:
    """Receive into a writable buffer. Returns the number of bytes. Raises OSError."""
    value = sockio.recv_into(loop, sock, buf)
    return await value if type(value) is Operation else value


async def sock_recvfrom(loop: Loop, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
    """Receive a datagram of up to `bufsize` bytes. Returns it and its sender's address. Raises OSError."""
    value = sockio.recvfrom(loop, sock, bufsize)
    return await value if type(value) is Operation else value


async def sock_recvfrom_into(
    loop: Loop, sock: socket.socket, buf: WriteableBuffer, nbytes: int = 0
) -> tuple[int, Any]:
    """Receive a datagram into a writable buffer, up to `nbytes` bytes or, if that is 0, as it has room for.

    Returns the number of bytes and the sender's address. Raises OSError.
    """
    value = sockio.recvfrom_into(loop, sock, buf, nbytes)
    return await value if type(value) is Operation else value


async def sock_sendall(loop: Loop, sock: socket.socket, data: ReadableBuffer) -> None:
    """Send all of a bytes-like object, which must not change meanwhile.

    Raises OSError; then nobody knows how much was sent.
    """
    operation = sockio.sendall(loop, sock, data)
    if operation is not None:
        await operation


async def sock_sendto(loop: Loop, sock: socket.socket, data: ReadableBuffer, address: Any) -> int:
    """Send a datagram to an address. Returns the number of bytes that were sent. Raises OSError."""
    value = sockio.sendto(loop, sock, data, address)
    return await value if type(value) is Operation else value


async def sock_connect(loop: Loop, sock: socket.socket, address: Any) -> None:
    """Connect a socket. The host of an internet address may be a name. Raises OSError."""
    sockio.refuse(loop, sock)
    if sock.family in INTERNET:
        infos = await dns.ensure_resolved(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    pause = FIRST_PAUSE
    while True:
        try:
            operation = sockio.connect(loop, sock, address)
            break
        except BlockingIOError:
            if sock.family != socket.AF_UNIX:
                raise
        # The server's queue is full, and nothing tells when it is not. A socket that blocks would wait, too.
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE)
    if operation is not None:
        try:
            await operation
        finally:
            # Its exception's traceback refers to this frame.
            operation = None


async def sock_accept(loop: Loop, sock: socket.socket) -> tuple[socket.socket, Any]:
    """Accept a connection of a listening socket.

    Returns its socket, which does not block, and the peer's address. Raises OSError.
    """
    value = sockio.accept(loop, sock)
    return await value if type(value) is Operation else value
