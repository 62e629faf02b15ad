"""The contract of what takes received bytes (transports/sink.pxd), for each of its kinds.

bytes     data_received() of a Protocol
buffer    the memory of a BufferedProtocol
reader    a StreamReader
"""

import asyncio
import contextlib
import os
import socket

import pytest

from tests.support import settle, wait_until

from .protocols import Recorder

SIZES = (1, 100, 511, 512, 4096, 4097, 70_000, 300_000, 3, 100_000, 1)


class Bytes(Recorder):
    """Keeps what it gets or not, as it is told."""

    name = "data_received"
    keeps = False

    def __init__(self):
        super().__init__()
        self.kept = []

    def data_received(self, data):
        assert type(data) is bytes and data
        assert hash(data) == hash(bytes(bytearray(data)))
        self.data += data
        if self.keeps:
            self.kept.append((data, bytes(bytearray(data))))


class Keeping(Bytes):
    keeps = True


class Buffer(Recorder, asyncio.BufferedProtocol):
    """A buffer of 1,000 bytes, again and again."""

    name = "buffer_updated"

    def __init__(self):
        super().__init__()
        self.memory = bytearray(1000)

    def get_buffer(self, sizehint):
        assert sizehint == -1
        self.memory[:] = bytes(1000)
        return self.memory

    def buffer_updated(self, nbytes):
        assert 0 < nbytes <= 1000
        self.data += self.memory[:nbytes]
        # Nothing was put behind it.
        assert not any(self.memory[nbytes:])


class Reader(asyncio.StreamReaderProtocol):
    """A reader that is read by a task of its own."""

    def __init__(self):
        self.reader = asyncio.StreamReader()
        super().__init__(self.reader)
        self.data = bytearray()
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self.read())

    async def read(self):
        with contextlib.suppress(ConnectionError):
            while data := await self.reader.read(50_000):
                assert type(data) is bytes
                self.data += data
            self.calls.append("eof")

    def connection_lost(self, error):
        super().connection_lost(error)
        self.lost.set_result(error)


@contextlib.asynccontextmanager
async def sink(factory):
    """A protocol over one end of a socket pair, its transport, and the other end."""
    here, there = socket.socketpair()
    there.setblocking(False)
    transport, protocol = await asyncio.get_running_loop().create_connection(factory, sock=here)
    with there:
        try:
            yield protocol, transport, there
        finally:
            transport.abort()
            await protocol.lost
            if isinstance(protocol, Reader):
                await protocol.task


async def send(sock, data):
    view = memoryview(data)
    while view:
        with contextlib.suppress(BlockingIOError):
            view = view[sock.send(view) :]
        await asyncio.sleep(0)


def messages():
    """So that what comes is not what was there before."""
    return [bytes([i + 1]) + os.urandom(size - 1) for i, size in enumerate(SIZES)]


kinds = pytest.mark.parametrize("factory", [Bytes, Keeping, Buffer, Reader])


# ---- room, received


@kinds
def test_all_that_comes_in_order(run, factory):
    async def main():
        async with sink(factory) as (protocol, _, there):
            expected = b""
            for message in messages() * 2:
                await send(there, message)
                expected += message
                await wait_until(lambda: len(protocol.data) == len(expected))  # noqa: B023
            if factory is Keeping:
                assert all(data == copy for data, copy in protocol.kept)
                # CPython has but one object for each single byte.
                kept = [id(data) for data, _ in protocol.kept if len(data) > 1]
                assert len({*kept}) == len(kept)
            return protocol.data == expected

    assert run(main()) is True


@kinds
def test_all_that_comes_at_once(run, factory):
    async def main():
        async with sink(factory) as (protocol, _, there):
            expected = b"".join(messages())
            await send(there, expected)
            await wait_until(lambda: len(protocol.data) == len(expected))
            return protocol.data == expected

    assert run(main()) is True


@kinds
def test_two_of_one_loop(run, factory):
    """Which receive into the same memory, in the same turn."""

    async def main():
        async with sink(factory) as (one, _, to_one), sink(factory) as (other, _, to_other):
            expected = [b"", b""]
            for i, message in enumerate(messages()):
                for n, sock in enumerate((to_one, to_other)):
                    data = message + b"%d" % (i + n)
                    await send(sock, data)
                    expected[n] += data
                await settle(2)
            await wait_until(lambda: len(one.data) + len(other.data) == sum(map(len, expected)))
            return [one.data, other.data] == expected

    assert run(main()) is True


# ---- nothing_came


@kinds
def test_nothing_came(run, factory):
    """The system call says that there is nothing after all; with every size that the sink may expect."""

    async def main():
        async with sink(factory) as (protocol, transport, there):
            expected = b""
            for message in messages():
                transport._read_ready()
                transport._read_ready()
                assert protocol.data == expected
                await send(there, message)
                expected += message
                await wait_until(lambda: len(protocol.data) == len(expected))  # noqa: B023
            return protocol.data == expected and not protocol.lost.done()

    assert run(main()) is True


@kinds
@pytest.mark.parametrize("before", [0, 100, 3000])
def test_the_end_comes(run, factory, before):
    async def main():
        async with sink(factory) as (protocol, _, there):
            if before:
                await send(there, bytes(before))
                await wait_until(lambda: len(protocol.data) == before)
            there.shutdown(socket.SHUT_WR)
            await protocol.lost if factory is not Reader else await protocol.task
            return "eof" in protocol.calls

    assert run(main()) is True


@kinds
@pytest.mark.parametrize("before", [0, 100, 3000])
def test_the_connection_fails(run, factory, before):
    async def main():
        async with sink(factory) as (protocol, transport, there):
            if before:
                await send(there, bytes(before))
                await wait_until(lambda: len(protocol.data) == before)
            # What the peer has not read makes a reset of its close.
            transport.write(b"unread")
            await asyncio.sleep(0)
            there.close()
            return type(await protocol.lost)

    assert run(main()) is ConnectionResetError


# ---- received_bytes: what came before the callbacks of the turn


@kinds
@pytest.mark.parametrize("size", [1, 999, 1000, 4000])
def test_what_was_received_before_its_turn(run, factory, size):
    """By an entry that comes before it in the same turn nobody is told."""

    async def main():
        async with sink(Bytes) as (first, _, to_first), sink(factory) as (protocol, _, there):
            for sock in (to_first, there):
                await send(sock, b"small")
            await wait_until(lambda: len(protocol.data) == 5)
            seen = []
            first.data_received = lambda data: seen.append(bytes(protocol.data))
            data = os.urandom(size)
            there.send(data)
            to_first.send(b"x")
            await wait_until(lambda: len(protocol.data) == 5 + size)
            return protocol.data == b"small" + data and len(seen)

    assert run(main()) == 1


@pytest.mark.parametrize("to", [Bytes, Keeping, Buffer])
@pytest.mark.parametrize("by", [Bytes, Buffer])
def test_another_sink_takes_what_was_received_for_the_one_before(run, by, to):
    async def main():
        async with sink(Bytes) as (first, _, to_first), sink(by) as (protocol, transport, there):
            for sock in (to_first, there):
                await send(sock, b"small")
            await wait_until(lambda: len(protocol.data) == 5)
            other = to()
            other.lost.cancel()
            first.data_received = lambda data: transport.set_protocol(other)
            # The other end of `first` before, so that its entry is the first one.
            to_first.send(b"x")
            data = os.urandom(2500)
            there.send(data)
            await wait_until(lambda: len(protocol.data) + len(other.data) == 5 + 2500)
            transport.set_protocol(protocol)
            return protocol.data + other.data == b"small" + data, bool(other.data)

    assert run(main()) == (True, True)


# ---- What a protocol's method raises


@pytest.mark.parametrize(
    ("factory", "method"),
    [(Bytes, "data_received"), (Buffer, "get_buffer"), (Buffer, "buffer_updated")],
)
@pytest.mark.parametrize("before", [0, 100, 3000])
def test_the_method_that_failed_is_named(run, reports, factory, method, before):
    async def main():
        async with sink(factory) as (protocol, _, there):
            if before:
                await send(there, bytes(before))
                await wait_until(lambda: len(protocol.data) == before)

            def broken(*args):
                raise KeyError(method)

            setattr(protocol, method, broken)
            await send(there, b"data")
            return await protocol.lost

    error = run(main())
    report = reports.take_one()
    assert isinstance(error, KeyError) and report["exception"] is error
    assert report["message"] == f"Fatal error: protocol.{method}() call failed."
