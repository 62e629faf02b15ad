"""The loop's sock_ methods: operations on the user's own non-blocking sockets.

Derived from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

from __future__ import annotations

import socket
from asyncio.base_events import _check_ssl_socket  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from cloop.api import dns

if TYPE_CHECKING:
    from asyncio import Future

    from cloop.loop import Loop

INTERNET = {socket.AF_INET, getattr(socket, "AF_INET6", socket.AF_INET)}


def check(loop: Loop, sock: socket.socket) -> None:
    """TypeError or ValueError for a socket that these methods can't serve."""
    _check_ssl_socket(sock)
    if loop.get_debug() and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")


async def sock_connect(loop: Loop, sock: socket.socket, address: Any) -> None:
    """Connect a socket. The host of an internet address may be a name. Raises OSError."""
    check(loop, sock)
    if sock.family in INTERNET:
        infos = await dns.ensure_resolved(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    try:
        sock.connect(address)
        return
    except (BlockingIOError, InterruptedError):
        # Interrupted by a signal, it goes on in the background too.
        pass
    connected = loop.create_future()
    fd = sock.fileno()
    loop.add_writer(fd, on_connected, connected, sock, address)
    try:
        await connected
    finally:
        # Now, and not in a later turn: the caller may close the socket at once.
        loop.remove_writer(fd)
        # The exception's traceback refers to this frame.
        connected = None  # type: ignore[assignment]


def on_connected(connected: Future[None], sock: socket.socket, address: object) -> None:
    """The socket is writable: the connection is made or has failed."""
    if connected.done():
        return
    try:
        errno = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if errno:
            raise OSError(errno, f"Connect call failed {address}")
    except (BlockingIOError, InterruptedError):
        # Not yet; it fires again.
        pass
    except OSError as exc:
        connected.set_exception(exc)
    else:
        connected.set_result(None)
    finally:
        connected = None  # type: ignore[assignment]
