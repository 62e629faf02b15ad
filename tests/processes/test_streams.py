"""What a child writes, as asyncio's streams give it to a program, and what pipes hold."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import settle, wait_until
from tests.system.processes import run_python

from .recorder import Recorder

PIPE = subprocess.PIPE
USUAL_SIZE = 65536

linux = pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="sizes of pipes are Linux's")


def only_cloop(impl, because):
    if not impl.is_cloop:
        pytest.skip(f"asyncio {because}")


async def shell(command, **options) -> asyncio.subprocess.Process:
    """A command whose output is read."""
    return await asyncio.create_subprocess_shell(command, stdout=PIPE, **options)


# ---- Readers


def test_every_way_to_read(run):
    async def main():
        process = await shell(
            "echo one; echo two words; printf 12345678; echo err >&2; cat", stdin=PIPE, stderr=PIPE
        )
        out = process.stdout
        assert isinstance(out, asyncio.StreamReader)
        read = [await out.readline(), await out.readuntil(b" "), await out.readexactly(6), await out.read(3)]
        assert not out.at_eof()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            process.stdin.write(b"x")
            process.stdin.close()
            await out.readexactly(100)
        assert caught.value.partial == b"45678x"
        assert out.at_eof()
        assert await out.read() == b""
        assert await process.stderr.read() == b"err\n"
        assert await process.wait() == 0
        return read

    assert run(main()) == [b"one\n", b"two ", b"words\n", b"123"]


def test_lines_that_are_too_long(run):
    async def main():
        process = await shell("echo 123456789; echo short", limit=8)
        with pytest.raises(ValueError, match=r"chunk is longer than limit|chunk exceed the limit"):
            await process.stdout.readline()
        lines = [line async for line in process.stdout]
        await process.wait()
        return lines

    assert run(main())[-1:] == [b"short\n"]


def test_all_of_it_is_there_before_the_end(run):
    """However soon the child is over."""

    async def child(number):
        process = await shell(f"echo {number}; printf {number} >&2", stderr=PIPE)
        if number % 2:
            await process.wait()
        return await process.stdout.read(), await process.stderr.read(), await process.wait()

    async def main():
        return await asyncio.gather(*(child(number) for number in range(60)))

    assert run(main()) == [(b"%d\n" % number, b"%d" % number, 0) for number in range(60)]


def test_what_nobody_reads_is_not_taken(run):
    """Reading is paused above the limit, and goes on where somebody reads."""
    program = f"import os; os.write(1, bytes({USUAL_SIZE})); os.write(2, b'.'); os.write(1, bytes(10**6))"

    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=PIPE, stderr=PIPE, limit=1000
        )
        assert await process.stderr.read(1) == b"."
        await wait_until(lambda: len(process.stdout._buffer) > 2000)
        await settle(20)
        taken = len(process.stdout._buffer)
        assert taken < 600_000
        assert process.returncode is None
        data = await process.stdout.read()
        await process.wait()
        return len(data)

    assert run(main()) == USUAL_SIZE + 10**6


def test_a_read_that_is_cancelled_loses_nothing(run):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        for turns in range(8):
            task = asyncio.ensure_future(process.stdout.readline())
            process.stdin.write(b"%d\n" % turns)
            await settle(turns)
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(outcome, asyncio.CancelledError):
                outcome = await process.stdout.readline()
            assert outcome == b"%d\n" % turns
        return await process.communicate(b"")

    assert run(main()) == (b"", None)


def test_another_protocol_takes_over(run):
    """From the call of set_protocol() on it is given what comes, and the reader nothing more."""

    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        process.stdin.write(b"first")
        assert await process.stdout.readexactly(5) == b"first"
        transport, recorder = process._transport, Recorder()
        recorder.transport = transport
        transport.set_protocol(recorder)
        transport.get_pipe_transport(0).write(b"second")
        await wait_until(lambda: recorder.data(1) == b"second")
        transport.get_pipe_transport(0).close()
        await recorder.over
        assert not process.stdout.at_eof()
        transport.close()
        return recorder.names()

    names = run(main())
    assert names.count("pipe_data_received") == 1
    assert names[-1] == "connection_lost"


def test_another_protocol_of_the_pipe(run):
    class Pipe(asyncio.Protocol):
        def data_received(self, data):
            received.append(data)

        def connection_lost(self, exc):
            inner.connection_lost(exc)

    async def main():
        nonlocal inner
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        pipe = process._transport.get_pipe_transport(1)
        inner = pipe.get_protocol()
        pipe.set_protocol(Pipe())
        process.stdin.write(b"data")
        await wait_until(lambda: received)
        process.stdin.close()
        await process.wait()
        return await process.stdout.read()

    received, inner = [], None
    assert run(main()) == b""
    assert received == [b"data"]


def test_a_transport_that_is_closed_ends_a_read(run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60", stdout=PIPE)
        reading = asyncio.ensure_future(process.stdout.read())
        await settle()
        process._transport.close()
        return await reading, await process.wait()

    assert run(main()) == (b"", -9)


def test_the_readers_may_stay_asyncios(impl, loop):
    only_cloop(impl, "has no others")

    async def main():
        process = await shell("echo x")
        out, _ = await process.communicate()
        return type(process.stdout), out

    ours, out = loop.run_until_complete(main())
    assert (ours is asyncio.StreamReader, out) == (False, b"x\n")
    loop.equips_streams = False
    assert loop.run_until_complete(main()) == (asyncio.StreamReader, b"x\n")


def test_a_reader_whose_method_was_replaced_stays_as_it_is(loop, monkeypatch):
    fed = []
    feed_data = asyncio.StreamReader.feed_data

    def noting(reader, data):
        fed.append(data)
        feed_data(reader, data)

    async def main():
        process = await shell("echo x")
        return await process.communicate()

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", noting)
    assert loop.run_until_complete(main()) == (b"x\n", None)
    assert fed == [b"x\n"]


def test_a_protocol_whose_method_was_replaced_is_asked(loop, monkeypatch):
    calls = []
    received = asyncio.subprocess.SubprocessStreamProtocol.pipe_data_received

    def noting(protocol, fd, data):
        calls.append((fd, data))
        received(protocol, fd, data)

    async def main():
        process = await shell("echo x")
        return await process.communicate()

    monkeypatch.setattr(asyncio.subprocess.SubprocessStreamProtocol, "pipe_data_received", noting)
    assert loop.run_until_complete(main()) == (b"x\n", None)
    assert calls == [(1, b"x\n")]


# ---- Children that close their pipes early


def test_input_that_is_refused_while_output_comes(run):
    """A child that closes its input still has its output read, up to the end."""

    async def main():
        process = await asyncio.create_subprocess_shell(
            "exec <&-; head -c 1000000 /dev/zero; exit 3", stdin=PIPE, stdout=PIPE
        )
        out, _ = await process.communicate(bytes(10**7))
        return len(out), process.returncode

    assert run(main()) == (10**6, 3)


def test_writing_to_one_that_has_closed_its_input(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "exec <&-; echo closed; exec sleep 60", stdin=PIPE, stdout=PIPE
        )
        assert await process.stdout.readline() == b"closed\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100):
                process.stdin.write(b"x")
                await process.stdin.drain()
                await asyncio.sleep(0)
        process.kill()
        return await process.wait()

    assert run(main()) == -9


def test_output_that_is_closed_while_input_goes_on(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "exec >&-; wc -c >&2", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert await process.stdout.read() == b""
        _, err = await process.communicate(bytes(10**6))
        return int(err), process.returncode

    assert run(main()) == (10**6, 0)


# ---- What pipes hold


def pipe_sizes(process) -> list[int]:
    popen = process._transport.get_extra_info("subprocess")
    return [fcntl.fcntl(each, fcntl.F_GETPIPE_SZ) for each in (popen.stdin, popen.stdout) if each is not None]


async def send_through(process, size) -> None:
    """Write so much and read it."""
    process.stdin.write(bytes(size))
    assert len(await process.stdout.readexactly(size)) == size


async def send_until(condition, processes) -> None:
    """Send much through all of them until the condition holds."""
    for _ in range(100):
        if condition():
            return
        await asyncio.gather(*(send_through(process, 4 << 20) for process in processes))
    raise AssertionError("waited in vain")


@linux
def test_pipes_with_much_to_carry_grow(impl, run):
    only_cloop(impl, "leaves them as they are")

    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        await send_through(process, 1000)
        before = pipe_sizes(process)
        await send_until(lambda: min(pipe_sizes(process)) > USUAL_SIZE, [process])
        after = pipe_sizes(process)
        await send_through(process, 4 << 20)
        await process.communicate(b"")
        return before, after

    assert run(main()) == ([USUAL_SIZE] * 2, [4 * USUAL_SIZE] * 2)


@linux
def test_a_size_that_was_chosen_stays(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=PIPE, stdout=PIPE, pipesize=2 * USUAL_SIZE
        )
        await send_through(process, 8 << 20)
        sizes = pipe_sizes(process)
        process.stdin.close()
        await process.wait()
        return sizes

    assert run(main()) == [2 * USUAL_SIZE] * 2


@linux
def test_pipes_of_the_program_keep_their_size(loop):
    """Those that it has made itself, or was given."""

    async def main():
        reader, writer = os.pipe()
        out, into = asyncio.StreamReader(), os.fdopen(writer, "wb", 0)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(out), os.fdopen(reader, "rb", 0))
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, into)
        transport.write(bytes(8 << 20))
        transport.close()
        size = fcntl.fcntl(into, fcntl.F_GETPIPE_SZ)
        assert len(await out.read()) == 8 << 20
        return size

    assert loop.run_until_complete(main()) == USUAL_SIZE


@linux
def test_only_some_pipes_grow_at_once(impl, run):
    """A user may have so much in pipes, of all programs together."""
    only_cloop(impl, "leaves them as they are")

    async def main():
        processes = await asyncio.gather(
            *(asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE) for _ in range(12))
        )

        def sizes():
            return sorted(size for process in processes for size in pipe_sizes(process))

        await send_until(lambda: sizes().count(4 * USUAL_SIZE) >= 16, processes)
        # And no more of them.
        await asyncio.gather(*(send_through(process, 4 << 20) for process in processes))
        found = sizes()
        for process in processes:
            await process.communicate(b"")
        # What has grown and is closed leaves its place to others.
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        await send_until(lambda: min(pipe_sizes(process)) > USUAL_SIZE, [process])
        await process.communicate(b"")
        return found

    assert run(main()) == [USUAL_SIZE] * 8 + [4 * USUAL_SIZE] * 16


@linux
def test_where_they_must_not_grow(impl, tmp_path):
    """A user who has too much in pipes goes on with what there is."""
    only_cloop(impl, "leaves them as they are")
    soft_limit = Path("/proc/sys/fs/pipe-user-pages-soft")
    if os.getuid() or not soft_limit.exists() or not int(soft_limit.read_text()):
        pytest.skip("needs a limit, and to become another user")
    path = tmp_path / "program.py"
    path.write_text(
        f"""
import asyncio, fcntl, os
import {impl.name} as impl

def fill_up():
    kept = []
    try:
        while True:
            kept.append(os.pipe())
            fcntl.fcntl(kept[-1][0], fcntl.F_SETPIPE_SZ, 1 << 20)
    except PermissionError:
        return kept

async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    kept = fill_up()
    process.stdin.write(bytes(16 << 20))
    process.stdin.close()
    print(len(await process.stdout.read()), await process.wait())
    print(fcntl.fcntl(kept[0][0], fcntl.F_GETPIPE_SZ), len(kept) > 1)

os.setuid(64321)
impl.run(main())
"""
    )
    result = run_python(path, cwd=tmp_path)
    assert (result.stdout, result.stderr) == (f"{16 << 20} 0\n{1 << 20} True\n", "")
