"""connect_read_pipe and its transport."""

import asyncio
import contextvars
import errno
import io
import os
import signal
import socket
import struct

import pytest

from tests.support import run_turn, settle, tcp_pair, wait_until

from .pipes import Foreign, open_pipe, read_pipe
from .protocols import Recorder

# ---- What the transport is


def test_it_is_a_read_transport(run):
    async def main():
        async with read_pipe() as (protocol, _):
            transport = protocol.transport
            assert isinstance(transport, asyncio.ReadTransport)
            assert isinstance(transport, asyncio.BaseTransport)
            assert not isinstance(transport, asyncio.WriteTransport)
            assert transport.get_protocol() is protocol
            assert transport.is_reading() is True and transport.is_closing() is False
            for name in ("write", "abort", "write_eof", "get_write_buffer_size", "set_write_buffer_limits"):
                assert not hasattr(transport, name)
            return transport.max_size

    assert run(main()) == 262_144


def test_extra_info(run):
    async def main():
        async with read_pipe() as (protocol, _):
            transport = protocol.transport
            pipe = transport.get_extra_info("pipe")
            assert isinstance(pipe, io.FileIO)
            assert transport.get_extra_info("socket") is None
            assert transport.get_extra_info("peername", 5) == 5
            transport.close()
            await protocol.lost
        return transport.get_extra_info("pipe") is pipe and pipe.closed

    assert run(main()) is True


def test_repr(run, impl):
    async def main():
        async with read_pipe() as (protocol, _writer):
            transport = protocol.transport
            seen = [repr(transport)]
            transport.pause_reading()
            seen.append(repr(transport))
            transport.close()
            seen.append(repr(transport))
            await protocol.lost
            await settle(1)
            seen.append(repr(transport))
            return [text.split(" ", 1)[1] for text in seen], transport.get_extra_info("pipe")

    (polling, idle, closing, closed), _ = run(main())
    fd = int(polling.split()[0].removeprefix("fd="))
    assert polling == f"fd={fd} polling>"
    assert idle == f"fd={fd} idle>"
    assert closing == f"closing fd={fd} idle>"
    assert closed == f"closed fd={fd} closed>"


# ---- Reading


def test_large_transfers_arrive_whole(run, loop):
    data = os.urandom(3_000_000)

    async def main():
        async with read_pipe() as (protocol, writer):
            sending = loop.run_in_executor(None, send_all, writer, data)
            received = await protocol.wait_for_data(len(data))
            await sending
            return received == data

    def send_all(writer, data):
        view = memoryview(data)
        while view:
            view = view[writer.write(view) :]

    assert run(main()) is True


def test_the_end_of_file(run):
    async def main():
        async with read_pipe() as (protocol, writer):
            writer.write(b"last words")
            writer.close()
            await protocol.lost
            return bytes(protocol.data), protocol.calls, protocol.transport.is_closing()

    assert run(main()) == (b"last words", ["made", "eof", ("lost", None)], True)


def test_true_from_eof_received_changes_nothing(run):
    class Keeps(Recorder):
        def eof_received(self):
            super().eof_received()
            return True

    async def main():
        async with read_pipe(Keeps) as (protocol, writer):
            writer.close()
            await protocol.lost
            return protocol.calls

    assert run(main()) == ["made", "eof", ("lost", None)]


def test_the_file_is_closed_once_and_after_connection_lost(run, loop):
    class Looks(Recorder):
        def connection_lost(self, error):
            self.closed_before = self.transport.get_extra_info("pipe").closed
            super().connection_lost(error)

    async def main():
        file, writer = open_pipe()
        with writer:
            pipe = Foreign(file)
            transport, protocol = await loop.connect_read_pipe(Looks, pipe)
            transport.close()
            transport.close()
            await protocol.lost
            await settle(2)
            transport.close()
            return protocol.closed_before, pipe.closed

    assert run(main()) == (0, 1)


@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_close_in_callbacks(run, callback):
    class Closes(Recorder):
        pass

    def closing(self, *args):
        getattr(Recorder, callback)(self, *args)
        self.transport.close()

    setattr(Closes, callback, closing)

    async def main():
        async with read_pipe(Closes) as (protocol, writer):
            if callback == "connection_made":
                assert protocol.transport.is_closing()
            else:
                writer.write(b"data")
                writer.close()
            assert await protocol.lost is None
            await settle()
            return bytes(protocol.data), protocol.calls

    data, calls = run(main())
    assert data == (b"" if callback == "connection_made" else b"data")
    eof = ["eof"] if callback in ("eof_received", "connection_lost") else []
    assert calls == ["made", *eof, ("lost", None)]


def test_nothing_arrives_after_close(run):
    async def main():
        async with read_pipe() as (protocol, writer):
            writer.write(b"too late")
            protocol.transport.close()
            await protocol.lost
            return bytes(protocol.data)

    assert run(main()) == b""


def test_calls_after_the_end_do_nothing(run):
    async def main():
        async with read_pipe() as (protocol, _writer):
            transport = protocol.transport
            transport.close()
            for _ in range(2):
                transport.pause_reading()
                transport.resume_reading()
                transport.close()
                assert transport.is_reading() is False
                assert transport.is_closing() is True
                await protocol.lost
                await settle(1)
            return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


# ---- Pause and resume


def test_pause_and_resume(run):
    async def main():
        async with read_pipe() as (protocol, writer):
            transport = protocol.transport
            transport.pause_reading()
            transport.pause_reading()
            assert transport.is_reading() is False
            writer.write(b"waits")
            await asyncio.sleep(0.01)
            assert protocol.data == b""
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading() is True
            assert await protocol.wait_for_data(5) == b"waits"
            writer.write(b"goes on")
            return await protocol.wait_for_data(12)

    assert run(main()) == b"waitsgoes on"


@pytest.mark.parametrize("resumed", [False, True])
def test_paused_in_connection_made(run, resumed):
    class Pauses(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()
            if resumed:
                transport.resume_reading()

    async def main():
        async with read_pipe(Pauses) as (protocol, writer):
            assert protocol.transport.is_reading() is resumed
            writer.write(b"data")
            if not resumed:
                await asyncio.sleep(0.005)
                assert protocol.data == b""
                protocol.transport.resume_reading()
            return await protocol.wait_for_data(4)

    assert run(main()) == b"data"


def test_paused_in_data_received(run):
    class PausesItself(Recorder):
        pieces = 0

        def data_received(self, data):
            super().data_received(data)
            self.pieces += 1
            self.transport.pause_reading()

    async def main():
        async with read_pipe(PausesItself) as (protocol, writer):
            for number in range(1, 4):
                writer.write(b"piece")
                await wait_until(lambda number=number: protocol.pieces == number)
                writer.write(b"another")
                await asyncio.sleep(0.003)
                assert protocol.pieces == number
                protocol.pieces = number - 1
                protocol.transport.resume_reading()
                await wait_until(lambda number=number: protocol.pieces == number)
                protocol.transport.resume_reading()
            return bytes(protocol.data)

    assert run(main()) == b"pieceanother" * 3


def test_the_end_of_file_waits_while_paused(run):
    async def main():
        async with read_pipe() as (protocol, writer):
            protocol.transport.pause_reading()
            writer.write(b"data")
            writer.close()
            await asyncio.sleep(0.01)
            assert protocol.calls == ["made"]
            protocol.transport.resume_reading()
            await protocol.lost
            return bytes(protocol.data), protocol.calls

    assert run(main()) == (b"data", ["made", "eof", ("lost", None)])


def test_paused_by_another_callback_of_the_same_turn(loop, run):
    async def main():
        async with read_pipe() as (protocol, writer):
            writer.write(b"data")
            loop.call_soon(protocol.transport.pause_reading)
            await settle(3)
            assert protocol.data == b""
            protocol.transport.resume_reading()
            return await protocol.wait_for_data(4)

    assert run(main()) == b"data"


def test_closed_while_paused(run):
    async def main():
        async with read_pipe() as (protocol, writer):
            protocol.transport.pause_reading()
            writer.write(b"data")
            protocol.transport.close()
            await protocol.lost
            return protocol.calls, bytes(protocol.data)

    assert run(main()) == (["made", ("lost", None)], b"")


# ---- The protocol


def test_set_protocol(run):
    async def main():
        async with read_pipe() as (first, writer):
            transport = first.transport
            writer.write(b"one")
            await first.wait_for_data(3)
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            writer.write(b"two")
            writer.close()
            await second.lost
            first.lost.set_result(None)
            return bytes(first.data), first.calls, bytes(second.data), second.calls

    assert run(main()) == (b"one", ["made"], b"two", ["eof", ("lost", None)])


def test_set_protocol_in_eof_received(run):
    """connection_lost goes to who is the protocol then."""

    class HandsOver(Recorder):
        def eof_received(self):
            super().eof_received()
            self.heir = Recorder()
            self.transport.set_protocol(self.heir)

    async def main():
        async with read_pipe(HandsOver) as (protocol, writer):
            writer.close()
            await wait_until(lambda: hasattr(protocol, "heir"))
            await protocol.heir.lost
            protocol.lost.set_result(None)
            return protocol.calls, protocol.heir.calls

    assert run(main()) == (["made", "eof"], [("lost", None)])


@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received", "connection_lost"])
def test_an_exception_is_reported_and_changes_nothing(run, reports, callback):
    class Raises(Recorder):
        pass

    def raising(self, *args):
        getattr(Recorder, callback)(self, *args)
        raise KeyError(callback)

    setattr(Raises, callback, raising)

    async def main():
        async with read_pipe(Raises) as (protocol, writer):
            writer.write(b"one")
            await protocol.wait_for_data(3)
            assert not protocol.transport.is_closing()
            writer.close()
            await protocol.lost
            await settle(1)
            return bytes(protocol.data), protocol.calls, protocol.transport.get_extra_info("pipe").closed

    assert run(main()) == (b"one", ["made", "eof", ("lost", None)], True)
    context = reports.take_one()
    assert context["message"].startswith("Exception in callback ")
    assert context["exception"].args == (callback,)


def test_it_goes_on_after_exceptions(run, reports):
    class Raises(Recorder):
        def data_received(self, data):
            super().data_received(data)
            raise KeyError(data)

    async def main():
        async with read_pipe(Raises) as (protocol, writer):
            for number in range(1, 4):
                writer.write(b"x")
                await protocol.wait_for_data(number)

    run(main())
    assert [context["exception"].args for context in reports.take()] == [(b"x",)] * 3


@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received", "connection_lost"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_come_out_of_the_loop(loop, callback, error):
    class Raises(Recorder):
        pass

    def raising(self, *args):
        getattr(Recorder, callback)(self, *args)
        raise error(callback)

    setattr(Raises, callback, raising)
    pipe, writer = open_pipe()
    made = []

    def factory():
        made.append(Raises())
        return made[0]

    async def main():
        writer.write(b"data")
        writer.close()
        await loop.connect_read_pipe(factory, pipe)
        await made[0].lost

    task = loop.create_task(main())
    with pytest.raises(error):
        loop.run_until_complete(task)
    # The loop works on, and the transport does.
    loop.run_until_complete(task)
    assert made[0].calls == ["made", "eof", ("lost", None)]
    assert made[0].data == b"data"
    run_turn(loop)
    assert pipe.closed


def test_contexts(run, impl):
    """One serves all callbacks; asyncio's copies the present one when the end of file comes."""
    variable = contextvars.ContextVar("variable", default=None)
    seen = []

    class Looks(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            seen.append(variable.get())
            variable.set("set in connection_made")

        def data_received(self, data):
            super().data_received(data)
            seen.append(variable.get())
            variable.set("set in data_received")

        def eof_received(self):
            seen.append(variable.get())

        def connection_lost(self, error):
            seen.append(variable.get())
            super().connection_lost(error)

    async def main():
        variable.set("outer")
        async with read_pipe(Looks) as (protocol, writer):
            writer.write(b"data")
            await protocol.wait_for_data(4)
            writer.close()
            await protocol.lost

    run(main())
    made, data = "set in connection_made", "set in data_received"
    if impl.is_cloop:
        assert seen == ["outer", made, data, data]
    else:
        assert seen == ["outer", "outer", data, data]


# ---- Errors


def test_a_terminal_whose_other_side_is_closed(run, loop):
    """EIO is the end, and not worth a report."""

    async def main():
        master, slave = os.openpty()
        _transport, protocol = await loop.connect_read_pipe(Recorder, io.FileIO(master))
        os.write(slave, b"data")
        assert await protocol.wait_for_data(4) == b"data"
        os.close(slave)
        error = await protocol.lost
        return type(error), error.errno, protocol.calls[:1]

    assert run(main()) == (OSError, errno.EIO, ["made"])


def test_another_error_is_reported(run, loop, reports):
    async def main():
        mine, peer = tcp_pair()
        transport, protocol = await loop.connect_read_pipe(Recorder, mine)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        error = await protocol.lost
        return type(error), protocol.calls == ["made", ("lost", error)], transport

    kind, calls, transport = run(main())
    assert kind is ConnectionResetError and calls is True
    context = reports.take_one()
    assert context["message"] == "Fatal read error on pipe transport"
    assert isinstance(context["exception"], ConnectionResetError)
    assert context["transport"] is transport and isinstance(context["protocol"], Recorder)


# ---- The connecting call


def test_cancelled_while_connecting(run, loop):
    async def main():
        pipe, writer = open_pipe()
        made = []

        def factory():
            made.append(Recorder())
            return made[0]

        with writer:
            task = asyncio.ensure_future(loop.connect_read_pipe(factory, pipe))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await made[0].lost is None
            await settle(1)
            return made[0].calls, pipe.closed

    assert run(main()) == (["made", ("lost", None)], True)


def test_many_at_once(run, loop):
    async def main():
        pairs = [open_pipe() for _ in range(150)]
        connected = await asyncio.gather(*(loop.connect_read_pipe(Recorder, pipe) for pipe, _ in pairs))
        for turn in range(3):
            for number, (_, writer) in enumerate(pairs):
                writer.write(b"%d-%d;" % (turn, number))
            await settle(2)
        for _, writer in pairs:
            writer.close()
        for number, (_, protocol) in enumerate(connected):
            assert await protocol.lost is None
            assert protocol.data == b"".join(b"%d-%d;" % (turn, number) for turn in range(3))
            assert protocol.calls == ["made", "eof", ("lost", None)]

    run(main())


def test_debug_mode_logs(run, loop, caplog):
    loop.set_debug(True)
    caplog.set_level("DEBUG", "asyncio")

    async def main():
        async with read_pipe() as (protocol, writer):
            protocol.transport.pause_reading()
            protocol.transport.resume_reading()
            writer.close()
            await protocol.lost

    run(main())
    texts = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    for start, end in [
        ("Read pipe ", ")"),
        ("<", "pauses reading"),
        ("<", "resumes reading"),
        ("<", "closed by peer"),
    ]:
        assert [text for text in texts if text.startswith(start) and text.endswith(end)]


def test_signals_while_reading(run, loop):
    """A handler runs between reads, and none is lost."""
    seen = []

    async def main():
        loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
        async with read_pipe() as (protocol, writer):
            for number in range(1, 20):
                os.kill(os.getpid(), signal.SIGUSR1)
                writer.write(b"x")
                await protocol.wait_for_data(number)
            await wait_until(lambda: seen)
        loop.remove_signal_handler(signal.SIGUSR1)
        return len(protocol.data)

    assert run(main()) == 19
