"""connect_write_pipe and its transport."""

import asyncio
import errno
import os
import re
import socket
import struct

import pytest

from tests.support import settle, tcp_pair, wait_until

from .pipes import open_pipe, take, take_some, write_pipe
from .protocols import Recorder, fill, read_all

# ---- What the transport is


def test_it_is_a_write_transport(run):
    async def main():
        async with write_pipe() as (protocol, _):
            transport = protocol.transport
            assert isinstance(transport, asyncio.WriteTransport)
            assert isinstance(transport, asyncio.BaseTransport)
            assert transport.get_protocol() is protocol
            assert transport.is_closing() is False
            assert transport.get_write_buffer_size() == 0
            assert transport.get_write_buffer_limits() == (16_384, 65_536)
            pipe = transport.get_extra_info("pipe")
            assert not pipe.closed
            assert transport.get_extra_info("socket", "none") == "none"
            transport.close()
            await protocol.lost
            await settle(1)
            assert transport.get_extra_info("pipe") is pipe and pipe.closed
            return transport.can_write_eof()

    assert run(main()) is True


@pytest.mark.parametrize("method", ["is_reading", "pause_reading", "resume_reading"])
def test_it_does_not_read(run, method):
    async def main():
        async with write_pipe() as (protocol, _):
            with pytest.raises(NotImplementedError):
                getattr(protocol.transport, method)()

    run(main())


def test_repr(run):
    async def main():
        async with write_pipe() as (protocol, _reader):
            transport = protocol.transport
            fd = transport.get_extra_info("pipe").fileno()
            seen = [repr(transport)]
            fill(transport)
            size = transport.get_write_buffer_size()
            seen.append(repr(transport))
            transport.close()
            seen.append(repr(transport))
            transport.abort()
            seen.append(repr(transport))
            await protocol.lost
            await settle(1)
            seen.append(repr(transport))
            return [text.split(" ", 1)[1] for text in seen] == [
                f"fd={fd} idle bufsize=0>",
                f"fd={fd} polling bufsize={size}>",
                f"closing fd={fd} polling bufsize={size}>",
                f"closing fd={fd} idle bufsize=0>",
                f"closed fd={fd} closed>",
            ] or seen

    assert run(main()) is True


# ---- Writing


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_types(run, kind):
    async def main():
        async with write_pipe() as (protocol, reader):
            protocol.transport.write(kind(b"one"))
            protocol.transport.write(kind(b""))
            written = fill(protocol.transport)
            protocol.transport.write(kind(b"last"))
            protocol.transport.close()
            data = await take(reader, written + 100)
            return data[:3], data[-5:], len(data) - written

    assert run(main()) == (b"one", b"\0last", 7)


@pytest.mark.parametrize("data", ["text", 5, None, [b"list"]], ids=repr)
def test_other_types(run, data):
    async def main():
        async with write_pipe() as (protocol, _):
            with pytest.raises(AssertionError, match=f"^{re.escape(repr(data))}$"):
                protocol.transport.write(data)
            return protocol.transport.is_closing()

    assert run(main()) is False


def test_memory_that_is_not_contiguous(run, reports):
    async def main():
        async with write_pipe() as (protocol, _):
            protocol.transport.write(memoryview(b"abcdef")[::2])
            assert protocol.transport.is_closing()
            return await protocol.lost

    error = run(main())
    context = reports.take_one()
    assert isinstance(error, BufferError) and context["exception"] is error
    assert context["message"] == "Fatal write error on pipe transport"


def test_the_caller_may_change_what_it_wrote(run):
    async def main():
        async with write_pipe() as (protocol, reader):
            written = fill(protocol.transport)
            data = bytearray(b"before")
            protocol.transport.write(data)
            protocol.transport.write(memoryview(data))
            data[:] = b"change"
            data += b"d"
            protocol.transport.close()
            return (await take(reader, written + 100))[written:]

    assert run(main()) == b"beforebefore"


def test_writelines(run):
    async def main():
        async with write_pipe() as (protocol, reader):
            transport = protocol.transport
            transport.writelines([b"one", bytearray(b"two"), memoryview(b"three"), b""])
            transport.writelines(iter((b"four",)))
            transport.writelines([])
            with pytest.raises(TypeError):
                transport.writelines([b"five", "text"])
            return await take_some(reader)

    assert run(main()) == b"onetwothreefour"


def test_huge_writes_to_a_slow_reader(run):
    data = os.urandom(5_000_000)

    async def main():
        async with write_pipe() as (protocol, reader):
            transport = protocol.transport
            for start in range(0, len(data), 1_000_000):
                transport.write(data[start : start + 1_000_000])
            sizes = [transport.get_write_buffer_size()]
            assert sizes[0] > 4_000_000
            transport.close()
            received = bytearray()
            while more := await take_some(reader, 30_000):
                received += more
                sizes.append(transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 0
            assert await protocol.lost is None
            return received == data, protocol.calls

    assert run(main()) == (True, ["made", "pause", "resume", ("lost", None)])


def test_many_small_pieces_keep_their_order(run):
    pieces = [b"%d;" % number for number in range(20_000)]

    async def main():
        async with write_pipe() as (protocol, reader):
            written = fill(protocol.transport)
            for piece in pieces:
                protocol.transport.write(piece)
            protocol.transport.close()
            received = await take(reader, 1 << 30)
            return received[written:] == b"".join(pieces)

    assert run(main()) is True


class Marks(Recorder):
    """Notes the size of the buffer at each call."""

    def pause_writing(self):
        self.calls.append(("pause", self.transport.get_write_buffer_size()))

    def resume_writing(self):
        self.calls.append(("resume", self.transport.get_write_buffer_size()))


def test_water_marks(run):
    """Resumed only once nothing is left, whatever the low mark."""

    async def main():
        async with write_pipe(Marks) as (protocol, reader):
            transport = protocol.transport
            fill(transport)
            transport.set_write_buffer_limits(high=200_000)
            assert transport.get_write_buffer_limits() == (50_000, 200_000)
            transport.write(bytes(200_000 - transport.get_write_buffer_size()))
            assert protocol.calls == ["made"]
            transport.write(b"x")
            assert protocol.calls == ["made", ("pause", 200_001)]
            while len(protocol.calls) == 2:
                await take_some(reader, 10_000)
                await asyncio.sleep(0)
            return protocol.calls[2:]

    assert run(main()) == [("resume", 0)]


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_an_exception_in_them_is_reported_and_no_more(run, reports, method):
    class Broken(Recorder):
        pass

    def broken(self):
        raise KeyError("broken")

    setattr(Broken, method, broken)

    async def main():
        async with write_pipe(Broken) as (protocol, reader):
            written = fill(protocol.transport, bytes(300_000))
            protocol.transport.close()
            assert len(await take(reader, 1 << 30)) == written
            return await protocol.lost

    assert run(main()) is None
    assert reports.take_one()["message"] == f"protocol.{method}() failed"


def test_writing_in_resume_writing(run):
    class WritesOn(Recorder):
        rounds = 0

        def resume_writing(self):
            super().resume_writing()
            self.rounds += 1
            if self.rounds < 4:
                self.transport.write(b"%d" % self.rounds * 300_000)

    async def main():
        async with write_pipe(WritesOn) as (protocol, reader):
            protocol.transport.write(b"0" * 300_000)
            received = await take(reader, 1_200_000)
            await wait_until(lambda: protocol.rounds == 4)
            return received == b"".join(b"%d" % number * 300_000 for number in range(4)), protocol.calls[:]

    assert run(main()) == (True, ["made", *(["pause", "resume"] * 4)])


# ---- The end


@pytest.mark.parametrize("method", ["close", "write_eof"])
def test_what_is_queued_is_written_before_the_end(run, method):
    async def main():
        async with write_pipe() as (protocol, reader):
            transport = protocol.transport
            written = fill(transport)
            getattr(transport, method)()
            getattr(transport, method)()
            assert transport.is_closing() and transport.get_write_buffer_size()
            transport.write(b"too late")
            assert len(await take(reader, 1 << 30)) == written
            return await protocol.lost

    assert run(main()) is None


@pytest.mark.parametrize("queued", [False, True])
def test_abort(run, queued):
    async def main():
        async with write_pipe() as (protocol, reader):
            transport = protocol.transport
            transport.write(b"gone out")
            written = 8 + (fill(transport) - transport.get_write_buffer_size() if queued else 0)
            transport.abort()
            assert transport.get_write_buffer_size() == 0 and transport.is_closing()
            assert await protocol.lost is None
            return len(await take(reader, 1 << 30)) == written

    assert run(main()) is True


@pytest.mark.parametrize("method", ["close", "abort", "write_eof"])
@pytest.mark.parametrize("callback", ["connection_made", "connection_lost", "pause_writing"])
def test_closing_in_callbacks(run, callback, method, impl):
    if (callback, method) == ("connection_lost", "abort") and not impl.is_cloop:
        pytest.skip("asyncio tells it of the loss a second time, and fails")

    class Closes(Recorder):
        pass

    def closing(self, *args):
        getattr(Recorder, callback)(self, *args)
        getattr(self.transport, method)()

    setattr(Closes, callback, closing)

    async def main():
        async with write_pipe(Closes) as (protocol, reader):
            protocol.transport.write(bytes(500_000))
            if callback == "connection_lost":
                protocol.transport.close()
            received = len(await take(reader, 1 << 30))
            assert await protocol.lost is None
            await settle()
            return received, [call for call in protocol.calls if call not in ("pause", "resume")]

    received, calls = run(main())
    assert calls == ["made", ("lost", None)]
    if callback == "connection_made":
        assert received == 0
    elif method == "abort" and callback == "pause_writing":
        assert 0 < received < 500_000
    else:
        assert received == 500_000


@pytest.mark.parametrize("method", ["close", "abort", "write_eof"])
def test_closing_in_resume_writing(run, impl, method):
    if not impl.is_cloop:
        pytest.skip("asyncio tells the protocol of the loss a second time, and fails")

    class Closes(Recorder):
        def resume_writing(self):
            super().resume_writing()
            self.transport.write(b"last words")
            getattr(self.transport, method)()

    async def main():
        async with write_pipe(Closes) as (protocol, reader):
            protocol.transport.write(bytes(500_000))
            received = await take(reader, 1 << 30)
            assert await protocol.lost is None
            return received[500_000:], protocol.calls

    assert run(main()) == (b"last words", ["made", "pause", "resume", ("lost", None)])


def test_closing_in_resume_writing_what_was_queued_there(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio drops it")

    class Closes(Recorder):
        def resume_writing(self):
            if "resume" not in self.calls:
                self.calls.append("resume")
                self.transport.write(b"x" * 500_000)
                self.transport.close()

    async def main():
        async with write_pipe(Closes) as (protocol, reader):
            protocol.transport.write(bytes(500_000))
            received = await take(reader, 1 << 30)
            assert await protocol.lost is None
            return received[500_000:] == b"x" * 500_000

    assert run(main()) is True


def test_calls_after_the_end_do_nothing(run, impl):
    async def main():
        async with write_pipe() as (protocol, _):
            transport = protocol.transport
            transport.close()
            await protocol.lost
            await settle(1)
            transport.close()
            transport.write_eof()
            transport.write(b"data")
            transport.writelines([b"data"])
            transport.set_write_buffer_limits(high=5)
            if impl.is_cloop:  # asyncio fails with AttributeError
                transport.abort()
            await settle()
            return transport.is_closing(), transport.get_write_buffer_size(), protocol.calls

    assert run(main()) == (True, 0, ["made", ("lost", None)])


def test_writes_after_close_warn_from_the_sixth_on(run, caplog):
    async def main():
        async with write_pipe() as (protocol, _):
            protocol.transport.close()
            for _ in range(10):
                protocol.transport.write(b"data")
            protocol.transport.write(b"")
            await protocol.lost

    run(main())
    text = "pipe closed by peer or os.write(pipe, data) raised exception."
    assert [record.getMessage() for record in caplog.records] == [text] * 5


# ---- The reader goes


def test_the_reader_goes(run):
    async def main():
        async with write_pipe() as (protocol, reader):
            reader.close()
            assert await protocol.lost is None
            return protocol.calls, protocol.transport.is_closing()

    assert run(main()) == (["made", ("lost", None)], True)


def test_the_reader_goes_with_data_unread(run):
    """What the pipe holds is the reader's business, what we hold is lost, and an error."""

    async def main():
        async with write_pipe() as (protocol, reader):
            protocol.transport.write(b"unread")
            reader.close()
            return await protocol.lost

    assert run(main()) is None


@pytest.mark.parametrize("closing", [False, True])
def test_the_reader_goes_while_data_is_queued(run, closing):
    async def main():
        async with write_pipe() as (protocol, reader):
            fill(protocol.transport)
            if closing:
                protocol.transport.close()
            await settle(1)
            reader.close()
            error = await protocol.lost
            assert protocol.transport.get_write_buffer_size() == 0
            return type(error), error.args

    assert run(main()) == (BrokenPipeError, ())


def test_writing_before_the_loop_knows_that_the_reader_is_gone(run, caplog):
    async def main():
        async with write_pipe() as (protocol, reader):
            reader.close()
            for _ in range(10):
                protocol.transport.write(b"data")
            assert protocol.transport.is_closing()
            error = await protocol.lost
            return type(error), error.errno, protocol.calls == ["made", ("lost", error)]

    assert run(main()) == (BrokenPipeError, errno.EPIPE, True)
    text = "pipe closed by peer or os.write(pipe, data) raised exception."
    assert [record.getMessage() for record in caplog.records] == [text] * 5


def test_a_socket_whose_peer_goes(run, loop):
    async def main():
        mine, peer = socket.socketpair()
        transport, protocol = await loop.connect_write_pipe(Recorder, mine)
        transport.write(b"data")
        peer.setblocking(False)
        peer.shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        with peer:
            return await read_all(peer)

    assert run(main()) == b"data"


def test_a_socket_that_data_comes_in_on(run, loop):
    """Nobody reads, so whatever is to be read is taken for the end, as asyncio does."""

    async def main():
        mine, peer = socket.socketpair()
        with peer:
            transport, protocol = await loop.connect_write_pipe(Recorder, mine)
            peer.send(b"data")
            return await protocol.lost, transport.is_closing()

    assert run(main()) == (None, True)


def test_a_socket_that_is_reset(run, loop):
    async def main():
        mine, peer = tcp_pair()
        transport, protocol = await loop.connect_write_pipe(Recorder, mine)
        fill(transport, bytes(1_000_000))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        return type(await protocol.lost)

    assert run(main()) is BrokenPipeError


# ---- The protocol and the connecting call


def test_set_protocol(run):
    async def main():
        async with write_pipe() as (first, _reader):
            second = Recorder()
            first.transport.set_protocol(second)
            assert first.transport.get_protocol() is second
            fill(first.transport, bytes(300_000))
            first.transport.abort()
            await second.lost
            first.lost.set_result(None)
            return first.calls, second.calls

    assert run(main()) == (["made"], ["pause", ("lost", None)])


@pytest.mark.parametrize("callback", ["connection_made", "connection_lost"])
def test_an_exception_is_reported_and_changes_nothing(run, reports, callback):
    class Raises(Recorder):
        pass

    def raising(self, *args):
        getattr(Recorder, callback)(self, *args)
        raise KeyError(callback)

    setattr(Raises, callback, raising)

    async def main():
        async with write_pipe(Raises) as (protocol, reader):
            protocol.transport.write(b"data")
            protocol.transport.close()
            await protocol.lost
            await settle(1)
            return await take_some(reader), protocol.calls, protocol.transport.get_extra_info("pipe").closed

    assert run(main()) == (b"data", ["made", ("lost", None)], True)
    context = reports.take_one()
    assert context["message"].startswith("Exception in callback ")
    assert context["exception"].args == (callback,)


def test_cancelled_while_connecting(run, loop):
    async def main():
        reader, pipe = open_pipe()
        with reader:
            made = []
            task = asyncio.ensure_future(
                loop.connect_write_pipe(lambda: made.append(Recorder()) or made[0], pipe)
            )
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await made[0].lost is None
            await settle(1)
            return made[0].calls, pipe.closed, reader.read()

    assert run(main()) == (["made", ("lost", None)], True, b"")


def test_many_at_once(run, loop):
    async def main():
        pairs = [open_pipe() for _ in range(100)]
        connected = await asyncio.gather(*(loop.connect_write_pipe(Recorder, pipe) for _, pipe in pairs))
        for number, (transport, _) in enumerate(connected):
            transport.write(bytes([number]) * 200_000)
            transport.close()
        for number, (reader, _) in enumerate(pairs):
            os.set_blocking(reader.fileno(), False)
            assert await take(reader, 1 << 20) == bytes([number]) * 200_000
            reader.close()
        for _, protocol in connected:
            assert await protocol.lost is None

    run(main())
