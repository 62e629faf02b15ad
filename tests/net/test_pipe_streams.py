"""asyncio's streams over pipes, as programs use them for their standard input and output."""

import asyncio
import contextlib
import os
import subprocess
import sys
import termios
import tty

import pytest

from tests.system.processes import SECONDS, environment

from .pipes import open_pipe, take, take_some


@contextlib.asynccontextmanager
async def stream_reader(**options):
    """A StreamReader over a pipe, and the file that writes to it."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(**options)
    pipe, writer = open_pipe()
    with writer:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            yield reader, writer
        finally:
            transport.close()
            while not pipe.closed:
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def stream_writer():
    """A StreamWriter over a pipe, and the non-blocking file that reads from it."""
    loop = asyncio.get_running_loop()
    reader, pipe = open_pipe()
    os.set_blocking(reader.fileno(), False)
    with reader:
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
        )
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        try:
            yield writer, reader
        finally:
            transport.abort() if not pipe.closed else None
            while not pipe.closed:
                await asyncio.sleep(0)


def test_reading_lines(run):
    async def main():
        async with stream_reader() as (reader, writer):
            writer.write(b"first\nsec")
            assert await reader.readline() == b"first\n"
            writer.write(b"ond\n12345rest")
            assert await reader.readline() == b"second\n"
            assert await reader.readexactly(5) == b"12345"
            writer.close()
            assert await reader.read() == b"rest"
            assert reader.at_eof()
            return await reader.readline()

    assert run(main()) == b""


def test_iterating_over_lines(run):
    async def main():
        async with stream_reader() as (reader, writer):
            writer.write(b"one\ntwo\nthree")
            writer.close()
            return [line async for line in reader]

    assert run(main()) == [b"one\n", b"two\n", b"three"]


def test_a_reader_that_nobody_reads_from_holds_the_writer_up(run, loop):
    """Twice its limit and one read more are the most that it takes in; all of it arrives."""
    data = os.urandom(2_000_000)

    async def main():
        async with stream_reader(limit=1000) as (reader, writer):
            os.set_blocking(writer.fileno(), False)
            sent = 0
            for _ in range(50):
                sent += writer.write(data[sent : sent + 100_000]) or 0
                await asyncio.sleep(0.0005)
            # Besides that, the pipe holds some, and one read takes all that the pipe held.
            assert sent < 500_000
            os.set_blocking(writer.fileno(), True)
            sending = loop.run_in_executor(None, send_rest, writer, sent)
            received = await reader.read(-1)
            await sending
            return received == data

    def send_rest(writer, sent):
        while sent < len(data):
            sent += writer.write(data[sent:])
        writer.close()

    assert run(main()) is True


def test_drain_waits_for_the_reader(run):
    async def main():
        async with stream_writer() as (writer, reader):
            writer.write(b"small")
            await writer.drain()
            writer.write(bytes(1_000_000))
            draining = asyncio.ensure_future(writer.drain())
            await asyncio.sleep(0.002)
            assert not draining.done()
            received = await take(reader, 1_000_005)
            await draining
            assert writer.transport.get_write_buffer_size() == 0
            writer.writelines([b"last", b"words"])
            writer.close()
            await writer.wait_closed()
            return received[:6], await take_some(reader), await take_some(reader)

    assert run(main()) == (b"small\0", b"lastwords", b"")


def test_drain_when_the_reader_has_gone(run):
    async def main():
        async with stream_writer() as (writer, reader):
            writer.write(bytes(1_000_000))
            draining = asyncio.ensure_future(writer.drain())
            await asyncio.sleep(0)
            reader.close()
            with pytest.raises(BrokenPipeError):
                await draining
            with pytest.raises(ConnectionResetError, match=r"^Connection lost$"):
                await writer.drain()
            with pytest.raises(BrokenPipeError):
                await writer.wait_closed()

    run(main())


def test_write_eof(run):
    async def main():
        async with stream_writer() as (writer, reader):
            assert writer.can_write_eof()
            writer.write(b"data")
            writer.write_eof()
            return await take(reader, 100)

    assert run(main()) == b"data"


PROGRAM = """
import asyncio, sys

async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    async for line in reader:
        writer.write(line.upper())
        await writer.drain()
    writer.close()

import {module}
with asyncio.Runner(loop_factory={module}.new_event_loop) as runner:
    runner.run(main())
"""


def filter_command(impl):
    """The command of a child process that turns its standard input into capitals."""
    return [sys.executable, "-W", "always", "-c", PROGRAM.format(module=impl.name)]


def test_standard_input_and_output(impl):
    text = b"".join(b"line %d\n" % number for number in range(20_000))
    process = subprocess.run(
        filter_command(impl), env=environment(), input=text, capture_output=True, timeout=SECONDS, check=False
    )
    assert process.stdout == text.upper()
    assert process.stderr == b"" and process.returncode == 0


def test_standard_input_and_output_of_a_terminal(impl):
    """Both are the same open file."""
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[tty.OFLAG] &= ~termios.OPOST
    mode[tty.LFLAG] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    # With a Ctrl-D: closing the terminal ends the program's input with an error as often as not.
    os.write(master, b"over a terminal\n\x04")
    with subprocess.Popen(
        filter_command(impl), env=environment(), stdin=slave, stdout=slave, stderr=subprocess.PIPE
    ) as process:
        os.close(slave)
        received = b""
        while len(received) < 16:
            received += os.read(master, 100)
        _, errors = process.communicate(timeout=SECONDS)
        os.close(master)
    assert (received, errors, process.returncode) == (b"OVER A TERMINAL\n", b"", 0)


def test_regular_files_in_their_place(impl, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"text\n")
    with path.open("rb") as file:
        process = subprocess.run(
            filter_command(impl),
            env=environment(),
            stdin=file,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    assert b"ValueError: Pipe transport is for pipes/sockets only." in process.stderr
    assert process.returncode == 1
