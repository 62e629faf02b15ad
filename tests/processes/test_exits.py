"""How the end of a child is noticed, wherever the loop runs and whatever the kernel grants."""

import asyncio
import contextvars
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.support import PY312, run_turn, running_thread

ROUNDS = 500


def test_five_hundred_at_once(run):
    async def child(number):
        process = await asyncio.create_subprocess_exec("sh", "-c", f"exit {number % 256}")
        return await process.wait()

    async def main():
        return await asyncio.gather(*(child(number) for number in range(ROUNDS)))

    assert run(main()) == [number % 256 for number in range(ROUNDS)]


def test_no_thread_and_no_handler(impl, run):
    if not impl.is_cloop and not PY312:
        pytest.skip("asyncio waits in threads before 3.12")

    async def main():
        processes = [await asyncio.create_subprocess_exec("sleep", "60") for _ in range(5)]
        assert threading.active_count() <= before
        assert len(os.listdir("/proc/self/task")) <= tasks
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
        for process in processes:
            process.kill()
        return [await process.wait() for process in processes]

    before, tasks = threading.active_count(), len(os.listdir("/proc/self/task"))
    assert run(main()) == [-signal.SIGKILL] * 5


def test_in_another_thread(loop_factory):
    async def main():
        process = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = await process.communicate(b"through")
        return out, process.returncode

    def in_thread():
        loop = loop_factory()
        results.append(loop.run_until_complete(main()))

    results = []
    with running_thread(in_thread), running_thread(in_thread), running_thread(in_thread):
        pass
    assert results == [(b"through", 0)] * 3


def test_two_loops_with_children_of_their_own(loop_factory):
    async def child(code):
        return await asyncio.create_subprocess_exec("sh", "-c", f"read x; exit {code}", stdin=subprocess.PIPE)

    async def end(process):
        process.stdin.write(b"\n")
        return await process.wait()

    one, other = loop_factory(), loop_factory()
    first, second = one.run_until_complete(child(1)), other.run_until_complete(child(2))
    assert other.run_until_complete(end(second)) == 2
    assert one.run_until_complete(end(first)) == 1


def test_a_child_outlives_its_loop(impl):
    """It is not killed, and what is left of its transport does no harm."""
    if not impl.is_cloop:
        pytest.skip("asyncio leaves the pidfd open")
    loop = impl.new_event_loop()

    async def main():
        return await asyncio.create_subprocess_exec("sh", "-c", "read x; exit 6", stdin=reader)

    reader, writer = os.pipe()
    process = loop.run_until_complete(main())
    loop.close()
    os.close(reader)
    os.write(writer, b"\n")
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == 6
    process._transport._proc.returncode = 6
    process._transport._closed = True


def test_the_loop_stands_still_meanwhile(loop):
    async def main():
        return await asyncio.create_subprocess_exec(
            "sh", "-c", "read x; exit 3", stdin=reader, stdout=subprocess.PIPE
        )

    reader, writer = os.pipe()
    process = loop.run_until_complete(main())
    os.close(reader)
    os.write(writer, b"\n")
    os.close(writer)
    # Longer than the child needs, which is over when the loop goes on.
    time.sleep(0.1)
    run_turn(loop)
    assert loop.run_until_complete(process.wait()) == 3
    assert loop.run_until_complete(process.communicate()) == (b"", None)


def test_a_pid_that_somebody_else_has_waited_for_is_not_signalled(impl, run, caplog):
    if not impl.is_cloop:
        pytest.skip("asyncio signals whoever has the PID")

    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        # As if the kernel had given the number to another process: our own is what a signal would hit.
        process._transport._proc.pid = os.getpid()
        process.terminate()
        return await process.wait()

    caught = []
    handler = signal.signal(signal.SIGTERM, lambda *args: caught.append(args))
    try:
        # SIGKILL's, where the kernel tells.
        assert run(main()) in (-signal.SIGKILL, 255)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert caught == []
    caplog.clear()


# What the kernel grants is taken away by seccomp(2), in a process of its own.
FORBID = """
import asyncio, ctypes, errno, os, signal, struct, subprocess, sys, threading

def forbid(number, argument=None):
    # struct sock_filter: load the number; deny; else allow
    error = errno.ENOSYS if number == CLONE3 else errno.EPERM
    deny = struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | error)
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    code = struct.pack("HBBI", 0x20, 0, 0, 0)
    if argument is None:
        code += struct.pack("HBBI", 0x15, 0, 1, number) + deny + allow
    else:
        code += struct.pack("HBBI", 0x15, 0, 3, number) + struct.pack("HBBI", 0x20, 0, 0, 16)
        code += struct.pack("HBBI", 0x15, 0, 1, argument) + deny + allow
    memory = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(code) // 8, ctypes.addressof(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()

PIDFD_OPEN = 434
CLONE3 = 435  # which the C library does without if the kernel has never heard of it
CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
CLONE_VM_SIGCHLD = 0x111

async def child(command, **options):
    process = await asyncio.create_subprocess_shell(command, **options)
    out, _ = await process.communicate()
    return process.returncode, out

async def main():
    PIPE = subprocess.PIPE
    many = await asyncio.gather(*(child(f"echo {i}; exit {i}", stdout=PIPE) for i in range(50)))
    assert many == [(i, b"%d\\n" % i) for i in range(50)], many
    process = await asyncio.create_subprocess_exec("sleep", "60")
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    try:
        await asyncio.create_subprocess_exec("/no/such")
    except FileNotFoundError:
        print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is Linux's")
@pytest.mark.parametrize(
    "forbidden",
    [
        "forbid(PIDFD_OPEN)",
        "forbid(CLONE3)",
        "forbid(CLONE3); forbid(PIDFD_OPEN)",
        "forbid(CLONE3); forbid(CLONE, CLONE_VM_SIGCHLD)",
        "forbid(CLONE3); forbid(CLONE, CLONE_VM_SIGCHLD); forbid(PIDFD_OPEN)",
    ],
)
def test_where_the_kernel_forbids_it(impl, forbidden, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"{FORBID}\n{forbidden}\nimport {impl.name} as impl\n"
        "loop = impl.new_event_loop()\nloop.run_until_complete(main())\nloop.close()\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout, result.stderr, result.returncode) == ("done\n", "", 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seccomp is Linux's")
def test_a_loop_that_is_closed_before_a_child_without_a_pidfd_is_over(impl, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"{FORBID}\nforbid(CLONE3); forbid(PIDFD_OPEN)\nimport {impl.name} as impl, time\n"
        "loop = impl.new_event_loop()\n"
        "reader, writer = os.pipe()\n"
        "start = asyncio.create_subprocess_exec('sh', '-c', 'read x', stdin=reader)\n"
        "process = loop.run_until_complete(start)\n"
        "loop.close()\n"
        "os.write(writer, b'x\\n')\n"
        "while threading.active_count() > 1: time.sleep(0.001)\n"
        "process._transport._proc.returncode = 0\n"
        "process._transport._closed = True\n"
        "try: os.waitpid(-1, 0)\n"
        "except ChildProcessError: print('reaped')\n"
    )
    result = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == "reaped\n", result.stderr
    assert "that handles pid" in result.stderr and "is closed" in result.stderr


@pytest.mark.skipif(
    shutil.which("valgrind") is None or "LD_PRELOAD" in os.environ,
    reason="needs valgrind, and nothing that it can't run",
)
def test_under_valgrind(impl):
    """It knows the children of fork(2) and vfork(2) only, and ends a program that asks for others."""
    program = f"""
import asyncio, {impl.name} as impl
async def main():
    process = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    print(await process.wait())
loop = impl.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
    command = ["valgrind", "-q", "--tool=none", sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (result.stdout, result.returncode) == ("3\n", 0), result.stderr


# ---- Without waitid(2), as on macOS before Python 3.13


@pytest.fixture
def no_waitid(impl, monkeypatch):
    """Neither it nor a pidfd: a thread waits and reaps. (asyncio has asked for pidfds by now.)"""
    with monkeypatch.context() as patched:
        patched.delattr(os, "waitid")
        if impl.is_cloop:
            patched.delattr(os, "pidfd_open", raising=False)
            patched.setattr("cloop.api.exits.HAS_WAITID", False)
            patched.setattr("cloop.api.spawn.CAN_SPAWN", False)
        yield


def test_exit_codes_without_waitid(no_waitid, run):
    async def main():
        processes = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {i}") for i in range(5)]
        return [await process.wait() for process in processes]

    assert run(main()) == [0, 1, 2, 3, 4]


def test_kill_without_waitid(no_waitid, run):
    async def main():
        process = await asyncio.create_subprocess_exec("sleep", "60")
        process.kill()
        return await process.wait()

    assert run(main()) == -signal.SIGKILL


def test_close_without_waitid(no_waitid, run):
    """A transport that is closed kills its child, which is told as ever."""

    class Protocol(asyncio.SubprocessProtocol):
        def connection_lost(self, exc):
            lost.set_result(exc)

    async def main():
        nonlocal lost
        loop = asyncio.get_running_loop()
        lost = loop.create_future()
        transport, _ = await loop.subprocess_exec(
            Protocol, "sleep", "60", stdin=None, stdout=None, stderr=None
        )
        transport.close()
        assert await lost is None
        return transport.get_returncode()

    lost = None
    assert run(main()) == -signal.SIGKILL


place = contextvars.ContextVar("place", default="nowhere")


def test_each_end_is_told_in_the_context_of_its_start(impl, run):
    class Protocol(asyncio.SubprocessProtocol):
        def process_exited(self):
            told.append(place.get())

    async def start(name):
        place.set(name)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(
            Protocol, "sleep", "0.01", stdin=None, stdout=None, stderr=None
        )
        await transport._wait()
        transport.close()

    async def main():
        await asyncio.gather(*(start(name) for name in ("here", "there", "elsewhere")))
        while len(told) < 3:
            await asyncio.sleep(0.001)

    if not impl.is_cloop and not (PY312 and sys.platform.startswith("linux")):
        pytest.skip("asyncio's threads tell it in an empty context")
    told = []
    run(main())
    assert sorted(told) == ["elsewhere", "here", "there"]


def test_each_end_is_told_in_the_context_of_its_start_by_a_thread(no_waitid, impl, run):
    if not impl.is_cloop:
        pytest.skip("asyncio's threads tell it in an empty context")
    test_each_end_is_told_in_the_context_of_its_start(impl, run)


def test_a_start_that_is_read_or_ended_too_early(loop_factory):
    """A private object: whoever has it can't take the memory of a child that runs in it."""
    spawn = pytest.importorskip("cloop.api.spawn")
    if not spawn.CAN_SPAWN:
        pytest.skip("children are started by subprocess here")
    order = spawn.Order(["sleep", "60"], None, False, None, None)
    start = spawn.start(order, True, (), -1, -1, -1, True, False, -1, -1, None, None, None)
    try:
        start.ended()
        assert start.read() == b"" and start.read() == b""
        start.ended()
    finally:
        os.kill(start.pid, signal.SIGKILL)
        os.waitpid(start.pid, 0)
    start.ended()
