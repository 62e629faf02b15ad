"""A method that a program replaces on a connected stream is called, as asyncio calls it."""

import asyncio
import contextlib

import pytest

from .replacing import counted, passing
from .streams import echo, finish

PATCHES = [
    "feed_data",
    "_wait_for_data",
    "_maybe_resume_transport",
    "_wakeup_waiter",
    "read",
    "readuntil",
    "exception",
]


async def line(reader, writer, data=b"data\n"):
    writer.write(data)
    await writer.drain()
    return await reader.readline()


def test_bytes_are_decrypted_on_their_way_to_the_reader(run, wire):
    """As pproxy does it: what has come already, and what comes from then on."""

    async def main():
        async with wire.talking(echo) as (reader, writer):
            assert await line(reader, writer) == b"data\n"
            writer.write(b"early\n")
            while not reader._buffer:
                await asyncio.sleep(0.001)
            feed = reader.feed_data

            def decrypted(data):
                feed(data.upper())

            reader.feed_data = decrypted
            reader._buffer, before = bytearray(), reader._buffer
            decrypted(before)
            assert await reader.readline() == b"EARLY\n"
            # Large enough to be received into the reader's own memory.
            for size in (10, 100_000, 5, 300_000):
                writer.write(b"x" * size + b"\n")
                assert await reader.readexactly(size) == b"X" * size
                assert await reader.readline() == b"\n"

    run(main())


@pytest.mark.parametrize("name", PATCHES)
def test_a_method_of_a_reader(run, wire, name):
    """Whichever of its methods asyncio's reader calls by name."""

    async def main():
        calls = []
        async with wire.talking(echo) as (reader, writer):
            assert await line(reader, writer) == b"data\n"
            counted(calls, reader, name)
            assert await line(reader, writer) == b"data\n"
            writer.write(b"all that is left")
            writer.write_eof() if writer.can_write_eof() else None
            if writer.can_write_eof():
                assert await reader.read() == b"all that is left"
            else:
                assert await reader.readexactly(16) == b"all that is left"
                await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=0.01)
        return calls

    calls = run(main())
    assert calls == [name] * len(calls)
    # How often is a matter of how much comes at once; read() is what read() to the end calls.
    assert calls or (name == "read" and wire.kind == "tls")


def test_a_reader_that_waits_is_woken_by_the_new_method(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            waiting = asyncio.create_task(reader.readexactly(8))
            await asyncio.sleep(0.01)
            feed = reader.feed_data
            reader.feed_data = lambda data: feed(bytes(data) * 2)
            writer.write(b"data")
            assert await waiting == b"datadata"

    run(main())


def test_what_a_protocol_receives(run, wire):
    """A meter, or a tee: the protocol's method."""

    async def main():
        seen = []
        async with wire.talking(echo) as (reader, writer):
            assert await line(reader, writer) == b"data\n"
            protocol = writer.transport.get_protocol()
            received = protocol.data_received

            def metered(data):
                seen.append(bytes(data))
                received(data)

            protocol.data_received = metered
            assert await line(reader, writer, b"more\n") == b"more\n"
            # Both, the protocol's before the reader's.
            feed = reader.feed_data
            reader.feed_data = lambda data: feed(data.upper())
            assert await line(reader, writer, b"much\n") == b"MUCH\n"
        return b"".join(seen)

    assert run(main()) == b"more\nmuch\n"


def test_a_protocol_that_gets_another_reader(run, wire):
    async def main():
        loop = asyncio.get_running_loop()
        async with wire.talking(echo) as (reader, writer):
            assert await line(reader, writer) == b"data\n"
            other = asyncio.StreamReader(loop=loop)
            writer.transport.get_protocol()._stream_reader_wr = lambda: other
            writer.write(b"for another\n")
            assert await other.readline() == b"for another\n"
            assert not reader._buffer

    run(main())


def test_what_drain_waits_for(run, wire):
    """A throttle: the protocol's helper, on the client's side and on the server's."""

    async def main():
        calls = []

        async def slow(helper):
            calls.append("drain")
            await helper()

        def throttle(writer):
            protocol = writer.transport.get_protocol()
            helper = protocol._drain_helper
            protocol._drain_helper = lambda: slow(helper)

        async def handler(reader, writer):
            writer.write(await reader.readline())
            throttle(writer)
            await writer.drain()
            await finish(writer)

        async with wire.talking(handler) as (reader, writer):
            throttle(writer)
            assert await line(reader, writer) == b"data\n"
        return calls

    assert run(main()) == ["drain", "drain"]


def test_a_writer_with_another_protocol_or_reader(run, wire):
    """Drain() asks those."""

    class Helper:
        calls = 0

        async def _drain_helper(self):
            self.calls += 1

    class Broken:
        def exception(self):
            return ValueError("broken")

    async def main():
        async def handler(reader, writer):
            await reader.readline()
            await check(writer)
            writer.write(b"done\n")
            await finish(writer)

        async def check(writer):
            protocol, writer._protocol = writer._protocol, Helper()
            await writer.drain()
            assert writer._protocol.calls == 1
            writer._protocol = protocol
            reader, writer._reader = writer._reader, Broken()
            with pytest.raises(ValueError, match="broken"):
                await writer.drain()
            writer._reader = reader
            await writer.drain()

        async with wire.talking(handler) as (reader, writer):
            await check(writer)
            assert await line(reader, writer) == b"done\n"

    run(main())


def test_a_transport_whose_method_was_replaced(run, wire):
    """Drain() asks the transport whether it closes; the reader has it pause."""

    async def main():
        calls = []
        async with wire.talking(echo) as (reader, writer):
            counted(calls, writer.transport, "is_closing")
            assert await line(reader, writer) == b"data\n"
        return calls

    assert "is_closing" in run(main())


def test_before_the_connection_is_made(run, loop, tcp_wire):
    """By a protocol made by hand, with a method of its own."""

    async def main():
        seen = []
        async with tcp_wire.serving(echo) as server:
            reader = asyncio.StreamReader(loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            counted(seen, protocol, "data_received")
            transport, _ = await loop.create_connection(lambda: protocol, *server.sockets[0].getsockname())
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            assert await line(reader, writer) == b"data\n"
            await finish(writer)
        return seen

    assert run(main()) == ["data_received"]


def test_a_method_of_a_class(run, wire, monkeypatch):
    """For connections that are made from then on, also where the class was known already."""

    async def main():
        calls = []
        original = asyncio.StreamReaderProtocol.data_received

        def noted(protocol, data):
            calls.append(bytes(data))
            original(protocol, data)

        async with wire.serving(echo) as server:
            for patched in (False, True, False):
                with monkeypatch.context() as patch:
                    if patched:
                        patch.setattr(asyncio.StreamReaderProtocol, "data_received", noted)
                    reader, writer = await wire.connect(server)
                    assert await line(reader, writer) == b"data\n"
                    await finish(writer)
            return calls

    # Of both ends.
    assert run(main()) == [b"data\n"] * 2


def test_a_method_that_is_taken_away_again(run, wire):
    async def main():
        calls = []
        async with wire.talking(echo) as (reader, writer):
            counted(calls, reader, "feed_data")
            assert await line(reader, writer) == b"data\n"
            del reader.feed_data
            assert await line(reader, writer) == b"data\n"
            assert reader.at_eof() is False
        return calls

    assert run(main()) == ["feed_data"]


def test_what_it_raises_ends_the_connection(run, plain_wire, reports):
    """As an exception of the protocol's data_received()."""

    async def main():
        async with plain_wire.serving(echo) as server:
            reader, writer = await plain_wire.connect(server)
            assert await line(reader, writer) == b"data\n"

            def broken(data):
                raise ValueError("broken")

            reader.feed_data = broken
            writer.write(b"data\n")
            with pytest.raises(ValueError, match="broken"):
                await reader.readline()
            with pytest.raises(ValueError, match="broken"):
                await writer.wait_closed()

    run(main())
    (report,) = reports.take()
    assert report["message"] == "Fatal error: protocol.data_received() call failed."
    assert isinstance(report["exception"], ValueError)


def of_both_sides(wire, use):
    """What runs `use(reader, writer)` with the streams of a server and of its client, one after the other."""

    async def handler(reader, writer):
        try:
            await reader.readline()
            await use(reader, writer)
            writer.write(b"done\n")
        finally:
            await finish(writer)

    async def main():
        async with wire.talking(handler) as (reader, writer):
            await use(reader, writer)
            writer.write(b"done\n")
            assert (await reader.readline()).endswith(b"done\n")

    return main()


async def waits(writer):
    """Whether drain() has something to wait for."""
    writer.write(b"x")
    task = asyncio.create_task(writer.drain())
    await asyncio.sleep(0.01)
    if task.done():
        assert task.result() is None
        return False
    task.cancel()
    await asyncio.wait([task])
    return True


def test_drain_asks_the_protocol_whether_it_is_paused(run, wire):
    """Whoever has paused it, and after the transport has done so too."""

    async def use(reader, writer):
        protocol = writer.transport.get_protocol()
        assert not await waits(writer)
        protocol.pause_writing()
        assert await waits(writer)
        writer.write(b"x")
        task = asyncio.create_task(writer.drain())
        await asyncio.sleep(0.01)
        assert not task.done()
        protocol.resume_writing()
        await task
        assert not await waits(writer)
        protocol._paused = True
        assert await waits(writer)
        protocol._paused = False
        assert not await waits(writer)
        # As by the transport, which knows nothing of the above.
        writer.transport.set_write_buffer_limits(0)
        writer.write(b"x" * 1000)
        await writer.drain()
        writer.transport.set_write_buffer_limits()
        assert not await waits(writer)

    run(of_both_sides(wire, use))


@pytest.mark.parametrize("by", ["connection_lost", "_connection_lost"])
def test_drain_asks_the_protocol_whether_its_connection_is_lost(run, wire, by):
    """Also where somebody else has told it so."""

    async def handler(reader, writer):
        assert await reader.readline() == b"data\n"
        await lose(writer)
        writer.transport.abort()

    async def lose(writer):
        protocol = writer.transport.get_protocol()
        await writer.drain()
        if by == "connection_lost":
            protocol.connection_lost(None)
        else:
            protocol._connection_lost = True
        with pytest.raises(ConnectionResetError, match="Connection lost"):
            await writer.drain()

    async def main():
        async with wire.serving(handler) as server:
            _reader, writer = await wire.connect(server)
            writer.write(b"data\n")
            await lose(writer)
            writer.transport.abort()

    run(main())


@pytest.mark.parametrize(
    ("owner", "name"),
    [(asyncio.StreamReader, name) for name in PATCHES]
    + [(asyncio.streams.FlowControlMixin, "_drain_helper"), (asyncio.StreamReaderProtocol, "_drain_helper")],
)
def test_a_method_of_a_class_that_was_replaced_before_the_connection(run, wire, owner, name):
    """Of both ends, until it is put back."""

    async def main():
        calls = []
        for patched in (True, False):
            with passing(owner, name, calls) if patched else contextlib.nullcontext():
                async with wire.talking(echo) as (reader, writer):
                    writer.write(b"data\n")
                    await writer.drain()
                    assert await reader.readuntil(b"\n") == b"data\n"
                    writer.write(b"data")
                    assert await reader.read(4) == b"data"
            if patched:
                assert calls == [name] * len(calls)
                assert calls
                calls.clear()
        assert not calls

    run(main())
