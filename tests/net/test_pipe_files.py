"""Which files a pipe transport takes, and who owns their descriptors."""

import asyncio
import contextlib
import errno
import gc
import io
import os
import random
import socket
import sys
import tty
import weakref

import pytest

from tests.support import settle

from .pipes import Foreign, open_pipe, read_pipe, take_some, write_pipe
from .protocols import Recorder

# ---- What can be read


def pipe_to_read(tmp_path):
    return open_pipe()


def fifo_to_read(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return open(reading, "rb", 0), open(path, "wb", 0)


def socket_to_read(tmp_path):
    left, right = socket.socketpair()
    return left, open(right.detach(), "wb", 0)


def socket_file_to_read(tmp_path):
    left, right = socket.socketpair()
    return open(left.detach(), "rb", 0), open(right.detach(), "wb", 0)


def terminal_to_read(tmp_path):
    master, slave = os.openpty()
    tty.setraw(slave)
    return open(slave, "rb", 0), open(master, "wb", 0)


def buffered_to_read(tmp_path):
    reading, writing = os.pipe()
    return open(reading, "rb"), open(writing, "wb", 0)


def text_to_read(tmp_path):
    reading, writing = os.pipe()
    return open(reading, encoding="utf-8"), open(writing, "wb", 0)


def foreign_to_read(tmp_path):
    pipe, writer = open_pipe()
    return Foreign(pipe), writer


READABLE = [
    pipe_to_read,
    fifo_to_read,
    socket_to_read,
    socket_file_to_read,
    terminal_to_read,
    buffered_to_read,
    text_to_read,
    foreign_to_read,
]


@pytest.mark.parametrize("ends", READABLE, ids=lambda ends: ends.__name__)
def test_all_that_can_be_read(run, loop, tmp_path, ends):
    async def main():
        pipe, writer = ends(tmp_path)
        fd = pipe.fileno()
        with writer:
            transport, protocol = await loop.connect_read_pipe(Recorder, pipe)
            assert protocol.transport is transport and protocol.calls == ["made"]
            assert os.get_blocking(fd) is False
            writer.write(b"some data")
            assert await protocol.wait_for_data(9) == b"some data"
            transport.close()
            await protocol.lost
            await settle(1)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


# ---- What can be written


def pipe_to_write(tmp_path):
    return open_pipe()


def fifo_to_write(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return open(reading, "rb", 0), open(path, "wb", 0)


def socket_to_write(tmp_path):
    left, right = socket.socketpair()
    return open(left.detach(), "rb", 0), right


def terminal_to_write(tmp_path):
    master, slave = os.openpty()
    tty.setraw(slave)
    return open(master, "rb", 0), open(slave, "wb", 0)


def buffered_to_write(tmp_path):
    reading, writing = os.pipe()
    return open(reading, "rb", 0), open(writing, "wb")


def text_to_write(tmp_path):
    reading, writing = os.pipe()
    return open(reading, "rb", 0), open(writing, "w", encoding="utf-8")


WRITABLE = [
    pipe_to_write,
    fifo_to_write,
    socket_to_write,
    terminal_to_write,
    buffered_to_write,
    text_to_write,
]


@pytest.mark.parametrize("ends", WRITABLE, ids=lambda ends: ends.__name__)
def test_all_that_can_be_written(run, loop, tmp_path, ends):
    async def main():
        reader, pipe = ends(tmp_path)
        fd = pipe.fileno()
        with reader:
            transport, protocol = await loop.connect_write_pipe(Recorder, pipe)
            assert protocol.transport is transport and protocol.calls == ["made"]
            assert os.get_blocking(fd) is False
            transport.write(b"some ")
            transport.write(b"data")
            # A terminal hands over what the kernel has come to move.
            received = reader.read(100)
            while len(received) < 9:
                received += reader.read(100)
            assert received == b"some data"
            transport.close()
            await protocol.lost
            await settle(1)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


# ---- What is refused


def test_a_regular_file_is_refused_to_read(run, loop, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"data")

    async def main():
        with path.open("rb", 0) as file:
            with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
                await loop.connect_read_pipe(Recorder, file)
            assert os.get_blocking(file.fileno()) is True
            return file.read()

    assert run(main()) == b"data"


def test_a_directory_is_refused(run, loop, tmp_path):
    class Directory:
        def fileno(self):
            return fd

    async def main():
        with pytest.raises(ValueError, match=r"^Pipe transport is for pipes/sockets only\.$"):
            await loop.connect_read_pipe(Recorder, Directory())

    fd = os.open(tmp_path, os.O_RDONLY)
    run(main())
    os.close(fd)


def test_closed_and_senseless_files(run, loop, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio's __del__ fails with AttributeError after that")

    class NoFile:
        def fileno(self):
            return 1 << 20

    async def main():
        pipe, writer = open_pipe()
        pipe.close()
        writer.close()
        with pytest.raises(ValueError, match="closed file"):
            await loop.connect_read_pipe(Recorder, pipe)
        with pytest.raises(AttributeError, match="fileno"):
            await loop.connect_read_pipe(Recorder, object())
        with pytest.raises(OSError, match="Bad file descriptor"):
            await loop.connect_read_pipe(Recorder, NoFile())

    run(main())


def test_a_regular_file_is_refused_to_write(run, loop, tmp_path):
    async def main():
        with (tmp_path / "file").open("wb", 0) as file:
            text = "Pipe transport is only for pipes, sockets and character devices"
            with pytest.raises(ValueError, match=f"^{text}$"):
                await loop.connect_write_pipe(Recorder, file)
            assert os.get_blocking(file.fileno()) is True
            return file.write(b"data")

    assert run(main()) == 4


def test_a_device_that_cannot_be_polled(run, loop, reports):
    if sys.platform != "linux":
        pytest.skip("epoll's")

    async def main():
        transport, protocol = await loop.connect_read_pipe(Recorder, io.FileIO(os.devnull))
        assert protocol.calls == ["made"]
        transport.close()
        return await protocol.lost

    assert run(main()) is None
    assert isinstance(reports.take_one()["exception"], PermissionError)


def test_devices(run, loop):
    async def main():
        transport, protocol = await loop.connect_write_pipe(Recorder, io.FileIO(os.devnull, "w"))
        transport.write(bytes(1_000_000))
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert await protocol.lost is None

        transport, protocol = await loop.connect_write_pipe(Recorder, io.FileIO("/dev/full", "w"))
        transport.write(b"data")
        error = await protocol.lost
        return type(error), error.errno

    if not os.path.exists("/dev/full"):
        pytest.skip("a device of Linux")
    assert run(main()) == (OSError, errno.ENOSPC)


# ---- Who owns the descriptor


def test_closed_in_connection_made_behind_the_transports_back(run, loop, reports):
    class Closes(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.get_extra_info("pipe").close()

    async def main():
        pipe, writer = open_pipe()
        with writer:
            transport, protocol = await loop.connect_read_pipe(Closes, pipe)
            transport.close()
            return await protocol.lost

    assert run(main()) is None
    assert reports.take_one()["exception"].errno == errno.EBADF


def test_a_number_that_is_another_files_by_now_to_read(run, loop):
    """Closed behind the transport's back, and the number taken by somebody else."""

    async def main():
        pipe, writer = open_pipe()
        transport, protocol = await loop.connect_read_pipe(Recorder, pipe)
        number = pipe.fileno()
        pipe.close()
        writer.close()
        reading, writing = os.pipe()
        assert number in (reading, writing)
        os.write(writing, b"somebody else's")
        await asyncio.sleep(0.005)
        assert protocol.data == b""
        transport.close()
        await protocol.lost
        await settle(1)
        assert os.read(reading, 100) == b"somebody else's"
        os.close(reading)
        os.close(writing)

    run(main())


def test_a_number_that_is_another_files_by_now_to_write(run, loop, impl):
    """Closed behind the transport's back, and the number taken by somebody else."""
    if not impl.is_cloop:
        pytest.skip("asyncio writes into the other file")

    async def main():
        reader, pipe = open_pipe()
        transport, protocol = await loop.connect_write_pipe(Recorder, pipe)
        number = pipe.fileno()
        reader.close()
        pipe.close()
        reading, writing = os.pipe()
        assert number in (reading, writing)
        os.set_blocking(reading, False)
        transport.write(b"not for you")
        error = await protocol.lost
        await settle(1)
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        os.close(reading)
        os.close(writing)
        return type(error), error.errno

    assert run(main()) == (OSError, errno.EBADF)


def test_closefd_false(run, loop):
    """The file object does not own the descriptor, so closing it leaves that alone."""

    async def main():
        reading, writing = os.pipe()
        pipe = io.FileIO(reading, closefd=False)
        transport, protocol = await loop.connect_read_pipe(Recorder, pipe)
        os.write(writing, b"data")
        assert await protocol.wait_for_data(4) == b"data"
        transport.close()
        await protocol.lost
        await settle(1)
        os.close(writing)
        assert os.read(reading, 1) == b""
        os.close(reading)
        return pipe.closed

    assert run(main()) is True


def test_two_transports_of_one_file_to_read(run, loop):
    """Allowed; what comes goes to the one that waits last."""

    async def main():
        pipe, writer = open_pipe()
        with writer:
            one, first = await loop.connect_read_pipe(Recorder, pipe)
            two, second = await loop.connect_read_pipe(Recorder, pipe)
            writer.write(b"data")
            assert await second.wait_for_data(4) == b"data"
            assert first.data == b""
            one.close()
            await first.lost
            two.close()
            await second.lost

    run(main())


def test_two_transports_of_one_file_to_write(run, loop):
    async def main():
        reader, pipe = open_pipe()
        with reader:
            one, first = await loop.connect_write_pipe(Recorder, pipe)
            two, second = await loop.connect_write_pipe(Recorder, pipe)
            one.write(b"one")
            two.write(b"two")
            one.write(b"three")
            two.close()
            await second.lost
            one.close()
            await first.lost
            return await take_some(reader), second.calls, first.calls

    assert run(main()) == (b"onetwothree", ["made", ("lost", None)], ["made", ("lost", None)])


def test_reading_and_writing_one_terminal(run, loop):
    async def main():
        master, slave = os.openpty()
        tty.setraw(slave)
        file = io.FileIO(slave, "r+")
        reading, reader = await loop.connect_read_pipe(Recorder, file)
        writing, writer = await loop.connect_write_pipe(Recorder, file)
        writing.write(b"out")
        assert os.read(master, 100) == b"out"
        os.write(master, b"in")
        assert await reader.wait_for_data(2) == b"in"
        reading.close()
        assert await reader.lost is None
        writing.close()
        assert await writer.lost is None
        os.close(master)

    run(main())


def test_an_unclosed_transport_warns_to_read(loop):
    pipe, writer = open_pipe()
    transport, protocol = loop.run_until_complete(loop.connect_read_pipe(Recorder, pipe))
    fd = pipe.fileno()
    loop.close()
    assert "open" in repr(transport)
    reference = weakref.ref(transport)
    del protocol
    with pytest.warns(ResourceWarning, match=f"unclosed transport <.*fd={fd} open>"):
        del transport
        gc.collect()
    # The warning that was recorded held the transport once more, which is in a circle with its protocol.
    gc.collect()
    assert reference() is None
    assert pipe.closed
    writer.close()


def test_an_unclosed_transport_warns_to_write(loop):
    reader, pipe = open_pipe()
    transport, protocol = loop.run_until_complete(loop.connect_write_pipe(Recorder, pipe))
    fd = pipe.fileno()
    loop.close()
    assert "open" in repr(transport)
    reference = weakref.ref(transport)
    del protocol
    with pytest.warns(ResourceWarning, match=f"unclosed transport <.*fd={fd} open>"):
        del transport
        gc.collect()
    # The warning that was recorded held the transport once more, which is in a circle with its protocol.
    gc.collect()
    assert reference() is None
    assert pipe.closed
    reader.close()


# ---- Anything in any order


class Eventful(Recorder):
    """Does something at random in each of its callbacks."""

    act = staticmethod(lambda: None)

    def data_received(self, data):
        super().data_received(data)
        self.act()

    def eof_received(self):
        super().eof_received()
        self.act()

    def pause_writing(self):
        super().pause_writing()
        self.act()


def actions_on_reading(protocol, writer, sent):
    """What may be done to a read pipe and its other end."""

    def write():
        if not writer.closed:
            data = b"%d;" % len(sent) * 1000
            with contextlib.suppress(BrokenPipeError):
                sent.append(data[: writer.write(data)])

    transport = protocol.transport
    return [
        write,
        write,
        write,
        transport.pause_reading,
        transport.resume_reading,
        transport.resume_reading,
        transport.close,
        writer.close,
    ]


def actions_on_writing(protocol, reader, sent, received):
    """The same for a write pipe."""

    def write(size=50_000):
        if not transport.is_closing():
            data = b"%d;" % len(sent) * size
            sent.append(data)
            transport.write(data)

    def read():
        if not reader.closed:
            received.append(reader.read(100_000) or b"")

    transport = protocol.transport
    return [write, write, lambda: write(1), read, read, read, read, transport.close, reader.close]


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_reading(run, loop, seed):
    generator, sent = random.Random(seed), []

    async def main():
        async with read_pipe(Eventful) as (protocol, writer):
            os.set_blocking(writer.fileno(), False)
            actions = actions_on_reading(protocol, writer, sent)
            # The ends come late, so that something happens before.
            protocol.act = lambda: generator.choice(actions[:6])()
            for step in range(60):
                generator.choice(actions if step > 30 else actions[:6])()
                if generator.random() < 0.6:
                    await settle(generator.randrange(3))
            protocol.transport.resume_reading()
            writer.close()
            await protocol.lost
            await settle(2)
            assert protocol.calls in (["made", ("lost", None)], ["made", "eof", ("lost", None)])
            everything = b"".join(sent)
            assert everything.startswith(protocol.data)
            assert "eof" not in protocol.calls or len(protocol.data) == len(everything)
            assert protocol.transport.get_extra_info("pipe").closed

    run(main())


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_writing(run, loop, seed):
    generator, sent, received = random.Random(seed), [], []

    async def main():
        async with write_pipe(Eventful) as (protocol, reader):
            actions = actions_on_writing(protocol, reader, sent, received)
            protocol.act = lambda: generator.choice([actions[2], actions[3], actions[7]])()
            for step in range(60):
                generator.choice(actions if step > 30 else actions[:7])()
                if generator.random() < 0.6:
                    await settle(generator.randrange(3))
            protocol.transport.close()
            while not reader.closed and (data := await take_some(reader)):
                received.append(data)
            error = await protocol.lost
            await settle(2)
            assert protocol.calls.count(("lost", error)) == 1 and protocol.calls[-1] == ("lost", error)
            everything, taken = b"".join(sent), b"".join(received)
            assert everything.startswith(taken)
            if reader.closed:
                assert error is None or isinstance(error, BrokenPipeError)
            else:
                assert error is None and taken == everything
            assert protocol.transport.get_write_buffer_size() == 0
            assert protocol.transport.get_extra_info("pipe").closed

    run(main())


@pytest.mark.parametrize("direction", ["read", "write"])
def test_a_factory_that_raises(loop, run, impl, direction):
    """The pipe is closed, as a socket that is given to create_connection."""
    if not impl.is_cloop:
        pytest.skip("asyncio leaves the pipe open")

    def factory():
        raise KeyError("factory")

    reading, writing = open_pipe()
    with reading, writing:
        pipe = reading if direction == "read" else writing
        with pytest.raises(KeyError, match="factory"):
            run(getattr(loop, f"connect_{direction}_pipe")(factory, pipe))
        assert pipe.closed
