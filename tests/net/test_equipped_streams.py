"""Which streams are compiled ones on cloop's loops, and which stay asyncio's; what is private in either."""

import asyncio
import os
import subprocess
import sys

import pytest

import cloop
from cloop.api import streamio

from .streams import echo, finish, sending

PLAIN = [asyncio.StreamReader, asyncio.StreamWriter]
COMPILED = [streamio.StreamReader, streamio.StreamWriter]


def kind_of(stream):
    """Asyncio's class or ours; of ours there is a variant for streams that were made as such."""
    return next(base for base in type(stream).__mro__ if base in PLAIN + COMPILED)


async def classes(wire):
    """Of the client's and of the server's streams; all of them work."""
    found = []

    async def tell(reader, writer):
        found.extend([kind_of(reader), kind_of(writer)])
        await echo(reader, writer)

    async with wire.talking(tell) as (reader, writer):
        writer.write(b"there and back\n")
        await writer.drain()
        assert await reader.readline() == b"there and back\n"
        assert isinstance(reader, asyncio.StreamReader)
        assert isinstance(writer, asyncio.StreamWriter)
        return [kind_of(reader), kind_of(writer)], found


def test_both_ends_are_compiled_on_cloop(run, impl, wire):
    """With what is asyncio's on its own loop, by cloop's functions too."""
    expected = COMPILED if impl.is_cloop else PLAIN
    assert run(classes(wire)) == (expected, expected)


def test_in_debug_mode(run, loop, impl, wire):
    loop.set_debug(True)
    expected = COMPILED if impl.is_cloop else PLAIN
    assert run(classes(wire)) == (expected, expected)


def test_switched_off_on_one_loop(tcp_wire):
    with asyncio.Runner(loop_factory=cloop.new_event_loop) as runner:
        runner.get_loop().equips_streams = False
        assert runner.run(classes(tcp_wire)) == (PLAIN, PLAIN)


@pytest.mark.parametrize(("value", "module"), [("asyncio", "asyncio.streams"), ("", "cloop.api.streamio")])
def test_switched_off_by_the_environment(value, module):
    program = """
import asyncio, cloop
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        for connect in (asyncio.open_connection, cloop.open_connection):
            reader, writer = await connect(*address)
            print(type(reader).__module__, type(writer).__module__)
            writer.close()
            await writer.wait_closed()
cloop.run(main())
"""
    environment = {**os.environ, "CLOOP_STREAMS": value}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([module] * 4, "")


@pytest.mark.parametrize("owner", [asyncio.StreamReader, asyncio.StreamWriter])
def test_a_method_that_was_replaced_is_called(monkeypatch, tcp_wire, owner):
    """Ours would hide it."""
    name = "readline" if owner is asyncio.StreamReader else "drain"
    original = getattr(owner, name)
    calls = []

    async def noted(self):
        calls.append(name)
        return await original(self)

    monkeypatch.setattr(owner, name, noted)
    with asyncio.Runner(loop_factory=cloop.new_event_loop) as runner:
        assert runner.run(classes(tcp_wire)) == (PLAIN, PLAIN)
    assert calls


def test_subclasses_and_protocols_made_by_hand(run, tcp_wire):
    class Reader(asyncio.StreamReader):
        fed = 0

        def feed_data(self, data):
            self.fed += len(data)
            super().feed_data(data)

    async def main():
        loop = asyncio.get_running_loop()
        async with tcp_wire.serving(echo) as server:
            address = server.sockets[0].getsockname()
            for kind in (asyncio.StreamReader, Reader):
                reader = kind(loop=loop)
                protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
                transport, _ = await loop.create_connection(lambda made=protocol: made, *address)
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                writer.write(b"data\n")
                await writer.drain()
                assert await reader.readline() == b"data\n"
                assert [type(reader), type(writer)] == [kind, asyncio.StreamWriter]
                await finish(writer)
            assert reader.fed == 5

    run(main())


class WrappingLoop(cloop.Loop):
    """Connects in a task of its own."""

    async def create_connection(self, *args, **kwargs):
        task = self.create_task(super().create_connection(*args, **kwargs))
        await asyncio.sleep(0)
        return await task


class CountingLoop(cloop.Loop):
    """Makes its futures by a method of its own."""

    made = 0

    def create_future(self):
        self.made += 1
        return super().create_future()


@pytest.mark.parametrize("loop_type", [WrappingLoop, CountingLoop])
def test_loops_that_do_it_in_another_way(tcp_wire, loop_type):
    """The writer may then be asyncio's; it works."""
    with asyncio.Runner(loop_factory=loop_type) as runner:
        (reader, _), server = runner.run(classes(tcp_wire))
        assert [reader, *server] == [streamio.StreamReader, *COMPILED]
        assert runner.get_loop().writer_protocol is None


def test_a_writer_made_by_somebody_else_at_that_moment(tcp_wire):
    """Only the one of the connection is changed."""

    async def main():
        loop = asyncio.get_running_loop()
        async with tcp_wire.serving(echo) as server:
            _, writer = await tcp_wire.connect(server)
            loop.writer_protocol = writer._protocol
            reader = asyncio.StreamReader(loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            loop.writer_protocol = writer._protocol
            other = asyncio.StreamWriter(writer.transport, protocol, reader, loop)
            await finish(writer)
            return type(other)

    with asyncio.Runner(loop_factory=cloop.new_event_loop) as runner:
        assert runner.run(main()) is asyncio.StreamWriter


def test_what_is_private(run, wire):
    """As libraries use it."""

    async def main():
        async with wire.talking(sending(b"abcdef", b"gh"), limit=1234) as (reader, writer):
            assert await reader.readexactly(1) == b"a"
            assert reader._buffer == b"bcdef"
            assert reader._limit == 1234
            assert reader._eof is False
            assert reader._transport is writer._transport is writer.transport
            assert writer._reader is reader
            assert reader._loop is writer._loop is asyncio.get_running_loop()
            assert isinstance(writer._protocol, asyncio.StreamReaderProtocol)
            assert writer._protocol._stream_reader is reader
            assert reader._exception is reader._waiter is None
            assert reader._paused is False
            assert [type(reader).__name__, type(writer).__name__] == ["StreamReader", "StreamWriter"]
            del reader._buffer[:2]
            reader._buffer.extend(b"!")
            assert await reader.read(100) == b"def!"
            writer.write(b".")
            assert await reader.read() == b"gh"
            assert reader._eof is True
            reader._limit = 5
            assert (reader._limit, "limit=5" in repr(reader)) == (5, True)

    run(main())


def test_the_buffer_is_the_same_one_while_somebody_has_it(run, wire):
    async def main():
        async with wire.talking(sending(b"abc", b"def")) as (reader, writer):
            assert await reader.readexactly(1) == b"a"
            buffer = reader._buffer
            writer.write(b".")
            assert await reader.readexactly(3) == b"bcd"
            assert buffer is reader._buffer
            assert await reader.readexactly(2) == b"ef"
            assert buffer == b""

    run(main())
