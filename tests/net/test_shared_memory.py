"""What connections of one loop receive into, and are sent from, in common: nothing of one reaches another.

Up to CPython 3.11 the collector may run whenever an object is made, in the middle of a write, and with it
finalizers that write themselves. A debug build of cloop ends the process wherever that could be.
"""

import asyncio
import contextlib
import gc
import os

from tests.support import tcp_pair, wait_until

from .protocols import Recorder
from .tls import tls_connected

FULL = 64  # with one more, the loop has to allocate
TURNS = 80  # so many that a loop has tried what pays: to hold small writes until the end of the turn


class Trash:
    """Garbage that writes when the collector comes."""

    def __init__(self, write, data):
        self.itself = self
        self.write, self.data = write, data

    def __del__(self):
        self.write(self.data)


@contextlib.contextmanager
def collecting():
    """Collect garbage at the first chance."""
    before = gc.get_threshold()
    gc.collect()
    yield lambda: gc.set_threshold(1)
    gc.set_threshold(*before)
    gc.collect()


@contextlib.asynccontextmanager
async def connections(count):
    """Protocols whose transports write to sockets, which come with them."""
    loop = asyncio.get_running_loop()
    made = []
    for _ in range(count):
        ours, theirs = tcp_pair()
        theirs.setblocking(False)
        _, protocol = await loop.create_connection(Recorder, sock=ours)
        made.append((protocol, theirs))
    try:
        yield made
    finally:
        for protocol, theirs in made:
            protocol.transport.abort()
            await protocol.lost
            theirs.close()


async def receive(sock, size):
    """So much, of a non-blocking socket."""
    data = bytearray()

    def has_all():
        with contextlib.suppress(BlockingIOError):
            data.extend(sock.recv(100_000))
        return len(data) >= size

    await wait_until(has_all)
    return data


async def write_while_garbage_writes(mine, method, data, other, its_data, others):
    """In each turn, behind writes on all the others; the garbage may come in the middle of ours."""
    loop = asyncio.get_running_loop()
    for _ in range(TURNS):
        loop.call_soon(int)
        with collecting() as begin:
            Trash(getattr(other, method), its_data)
            for protocol, _ in others:
                protocol.transport.write(b".")
            write = getattr(mine, method)
            begin()
            write(data)
        await asyncio.sleep(0)


def test_a_finalizer_writes_in_the_middle_of_writelines(run):
    """Small pieces, which are joined."""

    async def main():
        async with connections(FULL + 2) as [(mine, my_peer), (other, its_peer), *others]:
            pieces, its_pieces = [b"mi", b"ne"] * 10, [b"their", b"s"] * 10
            await write_while_garbage_writes(
                mine.transport, "writelines", pieces, other.transport, its_pieces, others
            )
            assert await receive(my_peer, 40 * TURNS) == b"mine" * 10 * TURNS
            assert await receive(its_peer, 60 * TURNS) == b"theirs" * 10 * TURNS

    run(main())


def test_a_finalizer_writes_in_the_middle_of_a_write_by_tls(run):
    """Records, which are made in memory that the loop's connections share."""

    async def main():
        async with (
            connections(FULL) as others,
            tls_connected() as (mine, my_peer),
            tls_connected() as (other, its_peer),
        ):
            await write_while_garbage_writes(
                mine.transport, "write", b"mine" * 10, other.transport, b"theirs" * 10, others
            )
            await wait_until(lambda: len(my_peer.data) == 40 * TURNS and len(its_peer.data) == 60 * TURNS)
            assert my_peer.data == b"mine" * 10 * TURNS
            assert its_peer.data == b"theirs" * 10 * TURNS
            assert mine.calls == other.calls == ["made"]

    run(main())


class Looking:
    """A protocol whose methods are looked up by code that receives on another connection."""

    def __init__(self):
        self.data = bytearray()
        self.look = lambda: None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        pass

    def eof_received(self):
        pass

    @property
    def data_received(self):
        self.look()
        return self.data.extend


def test_a_pipe_whose_protocol_reads_another_when_it_is_looked_at(run):
    """What has come is the pipe's own by then."""

    async def main():
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            ends = []
            for _ in range(2):
                reader, writer = os.pipe()
                stack.callback(os.close, writer)
                transport, protocol = await loop.connect_read_pipe(Looking, os.fdopen(reader, "rb", 0))
                stack.callback(transport.close)
                ends.append((protocol, writer))
            (first, to_first), (second, to_second) = ends
            first.look = second.transport._read_ready
            os.write(to_second, b"second " * 10)
            os.write(to_first, b"first. " * 10)
            await wait_until(lambda: len(first.data) == len(second.data) == 70)
            first.look = lambda: None
            assert first.data == b"first. " * 10 and second.data == b"second " * 10
        await asyncio.sleep(0)

    run(main())
