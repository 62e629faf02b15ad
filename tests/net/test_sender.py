"""The contract of a transport's sender (transports/sender.pxd): its states, and what leads to another.

    idle       nothing is queued
    waiting    for the end of the turn, where another callback follows; only a peer can tell that
    full       the kernel takes nothing more for now

asyncio's transports have no second state: what is written there is with the peer at once.
"""

import asyncio
import contextlib
import errno
import os
import socket
import time

import pytest

from tests.support import beside_another, settle

from .pipes import open_pipe, take
from .protocols import Recorder
from .test_when_writes_leave import all_of

FULL = 1 << 20  # more than a socket pair holds


class Noting(Recorder):
    """Notes the size of the buffer when it is told of it."""

    def pause_writing(self):
        self.calls.append(("pause", self.transport.get_write_buffer_size()))

    def resume_writing(self):
        self.calls.append(("resume", self.transport.get_write_buffer_size()))


@contextlib.asynccontextmanager
async def sender(room=200_000):
    """A transport over one end of a socket pair, its protocol, and a function: what the other end gets."""
    here, there = socket.socketpair()
    there.setblocking(False)
    # Systems differ in how much it holds by itself.
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    transport, protocol = await asyncio.get_running_loop().create_connection(Noting, sock=here)
    with there:
        try:
            yield transport, protocol, lambda: all_of(there.recv)
        finally:
            if not protocol.lost.done():
                transport.abort()
                await protocol.lost


def fill(transport):
    """Write so much that the kernel takes nothing more: how much."""
    transport.write(bytes(FULL))
    assert transport.get_write_buffer_size()
    return FULL


async def everything(got, size):
    """All that comes, which is so much."""
    data = b""
    async with asyncio.timeout(10):
        while len(data) < size:
            data += got()
            await asyncio.sleep(0)
    await settle()
    return data + got()


# ---- From idle


def test_a_write_alone_leaves_at_once(run):
    async def main():
        async with sender() as (transport, _, got):
            transport.write(b"one")
            seen = [got()]
            transport.writelines([b"two", b"three"])
            return [*seen, got(), transport.get_write_buffer_size()]

    assert run(main()) == [b"one", b"twothree", 0]


@pytest.mark.parametrize("write", ["write", "writelines"])
def test_a_write_beside_another_callback_waits(run, impl, write):
    seen = []

    async def main():
        async with sender() as (transport, _, got):

            def write_and_look():
                getattr(transport, write)(b"one" if write == "write" else [b"o", b"n", b"e"])
                seen.append(got())

            await beside_another(write_and_look)
            seen.append(got())

    run(main())
    assert seen == ([b"", b"one"] if impl.is_cloop else [b"one", b""])


def test_more_than_the_kernel_takes(run):
    async def main():
        async with sender() as (transport, protocol, got):
            data = os.urandom(FULL)
            transport.write(data)
            size = transport.get_write_buffer_size()
            assert 0 < size < FULL
            assert protocol.calls == ["made", ("pause", size)]
            assert await everything(got, FULL) == data
            return transport.get_write_buffer_size(), len(protocol.calls)

    assert run(main()) == (0, 3)


def test_memory_that_changes_is_copied(run):
    async def main():
        async with sender() as (transport, _, got):
            data = bytearray(b"before")

            def write_and_change():
                transport.write(data)
                transport.write(memoryview(data)[3:])
                data[:] = b"after!"

            await beside_another(write_and_change)
            seen = [got()]
            written = fill(transport)
            write_and_change()
            return [*seen, (await everything(got, written + 9))[written:]]

    assert run(main()) == [b"beforeore", b"after!er!"]


def test_what_is_large_and_may_change_is_not_copied_to_wait(run):
    seen = []

    async def main():
        async with sender() as (transport, _, got):

            def write_and_look():
                transport.write(bytearray(20_000))
                seen.append(len(got()))

            await beside_another(write_and_look)

    run(main())
    assert seen == [20_000]


# ---- From waiting


@pytest.mark.parametrize(
    "ask",
    [
        lambda transport: transport.get_write_buffer_size(),
        lambda transport: transport.get_extra_info("socket"),
        lambda transport: transport.set_write_buffer_limits(high=5),
        lambda transport: transport.set_protocol(transport.get_protocol()),
        lambda transport: transport._make_empty_waiter() and transport._reset_empty_waiter(),
        lambda transport: transport.write_eof(),
        lambda transport: transport.close(),
        lambda transport: transport.abort(),
    ],
    ids=["size", "info", "limits", "protocol", "sendfile", "write_eof", "close", "abort"],
)
def test_it_leaves_before_whatever_is_asked(run, ask):
    seen = []

    async def main():
        async with sender() as (transport, protocol, got):

            def write_and_ask():
                transport.write(b"one")
                transport.write(b"two")
                ask(transport)
                seen.append(got())

            await beside_another(write_and_ask)
            return [call for call in protocol.calls if call[0] == "pause"]

    assert run(main()) == []
    assert seen == [b"onetwo"]


@pytest.mark.parametrize(
    ("limits", "sizes", "left"),
    [
        ({}, [15_000] * 4, 0),
        ({}, [15_000] * 5, 75_000),
        ({}, [30_000], 30_000),
        ({"high": 100}, [50, 50], 0),
        ({"high": 100}, [50, 50, 1], 101),
    ],
)
def test_much_does_not_wait(run, impl, limits, sizes, left):
    """More than 64 KiB, or than the high mark, when it is known at once whether the protocol is paused;
    and a single write of more than 16 KiB."""
    seen = []

    async def main():
        async with sender() as (transport, protocol, got):
            transport.set_write_buffer_limits(**limits)

            def write_and_look():
                for size in sizes:
                    transport.write(bytes(size))
                seen.append(len(got()))

            await beside_another(write_and_look)
            seen.append(len(got()))
            return protocol.calls[:]

    assert run(main()) == ["made"]
    if impl.is_cloop:
        assert seen == [left, sum(sizes) - left]
    assert sum(seen) == sum(sizes)


def test_a_long_callback_is_the_last_that_it_waits_for(run):
    """What has waited for a millisecond leaves before the next callback, though the turn goes on."""
    seen = []

    async def main():
        async with sender() as (transport, _, got):
            loop = asyncio.get_running_loop()

            def write():
                transport.write(b"one")
                time.sleep(0.002)

            loop.call_soon(write)
            await beside_another(lambda: seen.append(got()))

    run(main())
    assert seen == [b"one"]


def test_the_kernel_takes_a_part_of_what_waited(run):
    async def main():
        async with sender(room=8192) as (transport, protocol, got):
            pieces = [bytes([i]) * 600 for i in range(100)]

            def write():
                for piece in pieces:
                    transport.write(piece)

            await beside_another(write)
            left = transport.get_write_buffer_size()
            assert 0 < left < 60_000
            # Below the high mark.
            assert protocol.calls == ["made"]
            return await everything(got, 60_000) == b"".join(pieces)

    assert run(main()) is True


def test_the_peer_has_gone_when_it_leaves(run):
    async def main():
        here, there = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().create_connection(Noting, sock=here)

        def write():
            there.close()
            for _ in range(3):
                transport.write(b"one")

        await beside_another(write)
        error = await protocol.lost
        return transport.get_write_buffer_size(), error.errno, len(protocol.calls)

    assert run(main()) == (0, errno.EPIPE, 2)


# ---- From full


@pytest.mark.parametrize("many", [1, 3, 300, 1500])
def test_what_is_written_follows_what_is_queued(run, many):
    """By batches of so many pieces as one system call takes."""

    async def main():
        async with sender() as (transport, _, got):
            pieces = [b"%d," % i * (1 + i % 50) for i in range(many)]

            def write():
                for i, piece in enumerate(pieces):
                    if i % 3:
                        transport.write(piece)
                    else:
                        transport.writelines([piece[:1], b"", piece[1:]])

            written = fill(transport)
            # Also where others wait: the kernel is full.
            await beside_another(write)
            expected = bytes(written) + b"".join(pieces)
            return await everything(got, len(expected)) == expected

    assert run(main()) is True


def test_the_water_marks(run):
    async def main():
        async with sender() as (transport, protocol, got):
            fill(transport)
            size = transport.get_write_buffer_size()
            while len(protocol.calls) < 3:
                got()
                await asyncio.sleep(0)
            paused, resumed = protocol.calls[1:]
            return paused == ("pause", size), resumed[0], 0 <= resumed[1] <= 16_384

    assert run(main()) == (True, "resume", True)


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_the_end_comes_after_what_is_queued(run, end):
    async def main():
        async with sender() as (transport, protocol, got):
            size = fill(transport)
            getattr(transport, end)()
            data = await everything(got, size)
            if end == "write_eof":
                assert not protocol.lost.done()
                transport.close()
            assert await protocol.lost is None
            return len(data) == size

    assert run(main()) is True


def test_abort_drops_what_is_queued(run):
    async def main():
        async with sender() as (transport, protocol, got):
            with_kernel = fill(transport) - transport.get_write_buffer_size()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            assert await protocol.lost is None
            return len(got()) == with_kernel

    assert run(main()) is True


def test_the_peer_goes_while_it_is_full(run):
    async def main():
        here, there = socket.socketpair()
        transport, protocol = await asyncio.get_running_loop().create_connection(Noting, sock=here)
        fill(transport)
        there.close()
        error = await protocol.lost
        return transport.get_write_buffer_size(), isinstance(error, ConnectionError)

    assert run(main()) == (0, True)


def test_resume_writing_writes_on(run):
    async def main():
        async with sender() as (transport, protocol, got):
            more = [bytes([i]) * FULL for i in range(1, 4)]

            def resume():
                if more:
                    transport.write(more.pop(0))

            protocol.resume_writing = resume
            size = fill(transport)
            expected = bytes(size) + b"".join(more)
            return await everything(got, len(expected)) == expected

    assert run(main()) is True


# ---- Once it is lost


def test_writes_to_a_lost_connection_are_counted(run, caplog):
    async def main():
        async with sender() as (transport, protocol, got):
            transport.abort()
            for _ in range(7):
                transport.write(b"one")
            await protocol.lost
            return got(), transport.get_write_buffer_size()

    assert run(main()) == (b"", 0)
    assert [record.message for record in caplog.records] == ["socket.send() raised exception."] * 3


# ---- A pipe's, which others write to as well: it has no second state


def test_a_pipe_does_not_wait(run):
    seen = []

    async def main():
        reader, writer = open_pipe()
        os.set_blocking(reader.fileno(), False)
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Noting, writer)

        def write_and_look():
            transport.write(b"one")
            seen.append(reader.read(100))

        with reader:
            await beside_another(write_and_look)
            pieces = [bytes([i % 256]) * 1000 for i in range(700)]
            transport.writelines(pieces[:100])
            for piece in pieces[100:]:
                transport.write(piece)
            assert transport.get_write_buffer_size()
            transport.close()
            data = await take(reader, 1 << 30)
            assert await protocol.lost is None
        return data == b"".join(pieces)

    assert run(main()) is True
    assert seen == [b"one"]
