"""`loop._csock` and `loop._ssock`: a pair of sockets, whose first wakes the loop that reads the second.

asyncio wakes a loop by these; cloop does not, and makes them for who asks for them: a byte that is
sent wakes the loop, and signal.set_wakeup_fd() can be given the descriptor.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloop.loop import Loop


def read_end(loop: Loop) -> socket.socket | None:
    """The one that the loop reads; None once it is closed."""
    pair = pair_of(loop)
    return pair and pair[0]


def write_end(loop: Loop) -> socket.socket | None:
    """The one that is for others; None once the loop is closed."""
    pair = pair_of(loop)
    return pair and pair[1]


def pair_of(loop: Loop) -> tuple[socket.socket, socket.socket] | None:
    """The pair, made when it is asked for first."""
    if loop._self_pipe is None and not loop.is_closed():
        loop._self_pipe = reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        # What is sent before the loop runs is read then.
        loop.call_soon_threadsafe(loop._add_reader, reader, drain, reader)
    return loop._self_pipe


def drain(reader: socket.socket) -> None:
    """Take what was sent: it has done what it is for."""
    try:
        while reader.recv(4096):
            pass
    except BlockingIOError:
        pass


def close(loop: Loop) -> None:
    """Close the pair, at the loop's end or in a forked child."""
    pair, loop._self_pipe = loop._self_pipe, None
    for end in pair or ():
        end.close()
