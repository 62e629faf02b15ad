"""Waiting for a child: when that ends, with which exit code, and what is said if nobody waits."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from cloop.api import spawn
from tests.support import PATIENCE, PY312, PY314, collect_garbage, settle, wait_until

from .recorder import Recorder

PIPE = subprocess.PIPE


@pytest.fixture
def not_before_the_pipes_end(impl):
    if not impl.is_cloop and not PY314:
        pytest.skip("asyncio waits until all pipes have ended, before 3.14")


# ---- When


def test_a_grandchild_has_the_output(not_before_the_pipes_end, run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "exec 3<&0; (read x; echo late) <&3 & exit 5", stdin=PIPE, stdout=PIPE
        )
        assert await asyncio.wait_for(process.wait(), PATIENCE) == process.returncode == 5
        process.stdin.write(b"go\n")
        assert await process.communicate() == (b"late\n", None)

    run(main())


@pytest.mark.parametrize(
    ("command", "data"), [("cat /dev/zero & wait", b""), ("exec 3<&0; sleep 60 <&3 & wait", bytes(1 << 20))]
)
def test_a_pipe_of_a_killed_child_stays_full(not_before_the_pipes_end, run, command, data):
    """Nobody reads its output; or a grandchild has its input and does not read that."""

    async def main():
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            f"echo . >&2; {command}",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            limit=10,
        )
        await process.stderr.readline()
        process.stdin.write(data)
        await asyncio.sleep(0.1)
        process.kill()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == -signal.SIGKILL
        os.killpg(process.pid, signal.SIGKILL)
        process._transport.close()
        await wait_until(lambda: all(pipe.disconnected for pipe in process._transport._pipes.values()))

    run(main())


def test_the_protocol_has_been_told_by_then(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, recorder = await loop.subprocess_exec(
            Recorder, "sh", "-c", "read line; exit 2", stdout=None
        )
        # It ends while somebody waits: of a child that has ended before, asyncio tells the code at once.
        wait = asyncio.ensure_future(transport._wait())
        await asyncio.sleep(0)
        transport.get_pipe_transport(0).close()
        assert await wait == 2
        assert ("process_exited", 2) in recorder.calls
        await recorder.over
        assert await transport._wait() == 2
        transport.close()

    run(main())


def test_waits_that_were_given_up_are_not_kept(impl, run):
    if not impl.is_cloop and not PY314:
        pytest.skip("asyncio keeps them, before 3.14")

    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), 0.001)
        kept = len(process._transport._exit_waiters)
        process.kill()
        await process.wait()
        return kept

    assert run(main()) == 0


@pytest.mark.parametrize("method", ["connect_write_pipe", "connect_read_pipe"])
def test_a_pipe_that_can_not_be_connected(impl, reports, method):
    """The child is killed, and nothing stays open."""
    if not impl.is_cloop and not PY314:
        pytest.skip("asyncio waits for ever, before 3.14")

    class Failing(impl.loop_type):
        pass

    async def fail(*args):
        raise OSError("no more")

    setattr(Failing, method, fail)
    with contextlib.closing(Failing()) as loop:
        start = loop.subprocess_exec(Recorder, "cat")
        with pytest.raises(OSError, match=r"^no more$"):
            loop.run_until_complete(asyncio.wait_for(start, PATIENCE))
        loop.run_until_complete(settle())
    collect_garbage()


# ---- The exit code


def test_exit_codes_where_sigchld_is_ignored(impl, kernel_tells, run, caplog):
    """Then the kernel reaps."""

    async def main():
        commands = [f"sleep 0.0{number}; exit {number}" for number in range(5)] + ["kill -9 $$"]
        processes = [await asyncio.create_subprocess_shell(command) for command in commands]
        return [await process.wait() for process in processes]

    with ignoring_sigchld():
        assert run(main()) == [0, 1, 2, 3, 4, -9]
    assert not caplog.records


def test_the_exit_code_of_a_child_that_somebody_else_has_waited_for(impl, kernel_tells, run, caplog):
    assert run(reaped_by_somebody_else(7)) == 7
    assert not caplog.records


@pytest.mark.parametrize("notes", [True, False])
def test_where_the_kernel_does_not_tell(impl, loop, caplog, monkeypatch, notes):
    """As asyncio; at once, or after the kernel's moment between an exit and a note of it."""
    if not impl.is_cloop and not PY312:
        pytest.skip("a thread of asyncio's waits for the child before 3.12, and may be first")

    def exit_status(pidfd):
        asked.append(pidfd)
        raise BlockingIOError if notes and len(asked) < 3 else OSError

    asked = []
    monkeypatch.setattr(spawn, "exit_status", exit_status)
    assert loop.run_until_complete(reaped_by_somebody_else(7)) == 255
    assert "exit status already read" in caplog.text or "Unknown child process" in caplog.text
    caplog.clear()
    assert len(asked) == (3 if notes else 1) * has_pidfds(loop)


async def reaped_by_somebody_else(exit_code: int) -> int:
    """The exit code that the loop tells of such a child."""
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec("sh", "-c", f"read x; exit {exit_code}", stdin=reader)
    os.close(reader)
    os.close(writer)
    os.waitpid(process.pid, 0)
    return await process.wait()


@contextlib.contextmanager
def ignoring_sigchld():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def has_pidfds(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop watches children by them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return "epoll" in type(getattr(loop, "_poller", None)).__module__


@pytest.fixture
def kernel_tells(impl, loop):
    if not impl.is_cloop:
        pytest.skip("asyncio reports 255")
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], {})
    pidfd = os.pidfd_open(child) if has_pidfds(loop) else -1
    os.waitpid(child, 0)
    try:
        assert os.waitstatus_to_exitcode(spawn.exit_status(pidfd)) == 9
    except OSError:
        pytest.skip("needs a pidfd of Linux 6.15")
    finally:
        if pidfd >= 0:
            os.close(pidfd)


# ---- Nobody waits


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("close_transport(); loop.close()", []),
        ("loop.close(); close_transport()", []),
        ("loop.close()", ["unclosed transport"]),
        ("", ["unclosed event loop", "unclosed transport"]),
    ],
)
def test_a_child_that_was_over_before_anybody_noticed(impl, steps, said):
    """There is no word of a subprocess that is still running, whatever the collector begins with."""
    if not impl.is_cloop and not PY312:
        pytest.skip("a thread waits for the child there, and may have reaped it by then")
    program = f"""
import asyncio, gc, os, warnings, {impl.name} as impl
warnings.simplefilter("always")
warnings.showwarning = lambda message, *args, **options: print(str(message))
loop = impl.new_event_loop()
reader, writer = os.pipe()
process = loop.run_until_complete(asyncio.create_subprocess_exec("sh", "-c", "read x", stdin=reader))
close_transport = process._transport.close
os.close(reader)
os.close(writer)
os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
{steps}
del loop, process, close_transport
gc.collect()
os._exit(0)
"""
    command = [sys.executable, "-u", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    lines = sorted(result.stdout.splitlines())
    if impl.is_cloop:
        assert len(lines) == len(said)
        assert all(line.startswith(text) for line, text in zip(lines, said, strict=True))
    # Where asyncio keeps the transport for ever, it does not warn of it.
    assert "subprocess" not in " ".join(lines).replace("SubprocessTransport", "")


def test_a_child_that_is_killed_by_a_transport_whose_loop_is_closed(impl, caplog):
    if not impl.is_cloop:
        pytest.skip("asyncio says that the subprocess is still running")
    # A loop in debug mode logs the kill, and the record would keep the transport.
    caplog.set_level("ERROR", logger="asyncio")
    loop = impl.new_event_loop()
    process = loop.run_until_complete(asyncio.create_subprocess_exec("sleep", "60"))
    loop.close()
    process._transport.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    del loop, process
    collect_garbage()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_copy_of_a_transport_leaves_the_child_alone(impl, loop):
    """What the copy of the process drops is no child of its."""

    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        copy = os.fork()
        if copy == 0:
            process._transport.close()
            os._exit(0)
        assert os.waitpid(copy, 0)[1] == 0
        await asyncio.sleep(0.05)
        assert process.returncode is None
        process.kill()
        return await process.wait()

    assert loop.run_until_complete(main()) == -signal.SIGKILL
