"""Every keyword of Popen does to a child of the loop what it does to a child of Popen."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PIPE = subprocess.PIPE

# What a child finds itself to be. Descriptors are told by what they lead to; numbers may differ.
LOOK = """
import json, os, signal, sys
def leads_to(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
    except OSError:
        return None
fds = {fd: leads_to(fd) for fd in map(int, os.listdir("/proc/self/fd"))}
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
umask = os.umask(0)
print(json.dumps({
    "fds": sorted(str(each) for fd, each in fds.items() if each is not None and fd > 2),
    "standard": [str(fds.get(fd)).split("[")[0] for fd in (0, 1, 2)],
    "umask": umask,
    "cwd": os.getcwd(),
    "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "group": os.getpgid(0) == int(sys.argv[1]),
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    # Without the C library's own two, which its posix_spawn(3) sets to be ignored.
    "signals": [int(status[name], 16) & ~(3 << 31) for name in ("SigBlk", "SigIgn", "SigCgt")],
    "nice": os.nice(0),
    "cores": sorted(os.sched_getaffinity(0)),
    "WORD": os.environ.get("WORD"),
    # These two the readline library sets, of which os.environ does not know.
    "environment": sorted(set(os.environ) - {"LINES", "COLUMNS"}),
}))
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def look_command() -> list[str]:
    return [sys.executable, "-c", LOOK, str(os.getpgid(0))]


def of_popen(**options) -> dict:
    with subprocess.Popen(look_command(), stdin=PIPE, stdout=PIPE, **options) as process:
        out, _ = process.communicate()
    return json.loads(out)


async def of_loop(**options) -> dict:
    process = await asyncio.create_subprocess_exec(*look_command(), stdin=PIPE, stdout=PIPE, **options)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)


def same(run, **options) -> dict:
    """What a child of the loop finds, which is what a child of Popen finds."""
    expected = of_popen(**options)
    found = run(of_loop(**options))
    assert found == expected
    return found


def test_nothing_special(run):
    found = same(run)
    assert found["fds"] == []
    assert found["leads"] == [False, False]


def test_environment(run):
    found = same(run, env={"WORD": "word", "PATH": os.environ["PATH"]})
    assert found["WORD"] == "word"


def test_environment_of_bytes(run):
    assert same(run, env={b"WORD": b"word", b"PATH": os.environb[b"PATH"]})["WORD"] == "word"


def test_variables_set_meanwhile_are_there(run, monkeypatch):
    monkeypatch.setenv("WORD", "new")
    assert same(run)["WORD"] == "new"


def test_cwd(run, tmp_path):
    assert same(run, cwd=tmp_path)["cwd"] == os.path.realpath(tmp_path)
    assert same(run, cwd=os.fsencode(tmp_path))["cwd"] == os.path.realpath(tmp_path)


def test_umask(run):
    assert same(run, umask=0o027)["umask"] == 0o027
    assert same(run, umask=0)["umask"] == 0


def test_session_and_group(run):
    assert same(run, start_new_session=True)["leads"] == [True, True]
    assert same(run, process_group=0)["leads"] == [False, True]
    assert same(run, process_group=os.getpgid(0))["group"]


@pytest.mark.parametrize("restore", [True, False])
def test_restore_signals(run, restore):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "grep", "SigIgn", "/proc/self/status", stdout=PIPE, restore_signals=restore
        )
        out, _ = await process.communicate()
        return int(out.split()[1], 16) >> (signal.SIGPIPE - 1) & 1

    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    assert run(main()) == (0 if restore else 1)


def test_signals_that_are_blocked_or_ignored_stay_so(run):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ignored = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    handled = signal.signal(signal.SIGHUP, lambda *args: None)
    try:
        same(run)
    finally:
        signal.signal(signal.SIGHUP, handled)
        signal.signal(signal.SIGUSR2, ignored)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_what_belongs_to_the_thread(run):
    """Affinity is the thread's in Linux; a child has the one of who starts it."""
    cores = os.sched_getaffinity(0)
    same(run)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert same(run)["cores"] == [min(cores)]
    finally:
        os.sched_setaffinity(0, cores)


def test_descriptors_that_are_passed(run):
    reader, writer = os.pipe()
    try:
        assert same(run, pass_fds=(writer, reader))["fds"] == ["pipe", "pipe"]
        assert os.get_inheritable(reader) is False
    finally:
        os.close(reader)
        os.close(writer)


def test_passed_descriptors_keep_their_numbers(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"import os; os.write({writer}, b'here'); os.write({far}, b' and here')",
            pass_fds=(far, writer),
        )
        assert await process.wait() == 0

    reader, writer = os.pipe()
    far = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 200)
    try:
        run(main())
        assert os.read(reader, 100) == b"here and here"
    finally:
        for fd in (reader, writer, far):
            os.close(fd)


@pytest.mark.parametrize("close_fds", [True, False])
def test_inheritable_descriptors(run, close_fds):
    without = of_popen(close_fds=close_fds)["fds"]
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        found = same(run, close_fds=close_fds)["fds"]
    finally:
        os.close(reader)
        os.close(writer)
    assert found == sorted(without + ([] if close_fds else ["pipe"]))


def test_nothing_of_the_loop_is_inherited(run, pair):
    without = of_popen(close_fds=False)["fds"]

    async def main():
        loop = asyncio.get_running_loop()
        left, _ = pair
        loop.add_reader(left, print)
        loop.add_signal_handler(signal.SIGUSR1, print)
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        other = await asyncio.create_subprocess_exec("sleep", "60", stdin=PIPE, stdout=PIPE)
        try:
            return await of_loop(close_fds=False)
        finally:
            other.kill()
            await other.communicate()
            server.close()
            loop.remove_signal_handler(signal.SIGUSR1)
            loop.remove_reader(left)

    assert run(main())["fds"] == without


def test_pipesize(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "sleep", "60", stdin=PIPE, stdout=PIPE, stderr=PIPE, pipesize=16384
        )
        popen = process._transport.get_extra_info("subprocess")
        try:
            return [
                fcntl.fcntl(each, fcntl.F_GETPIPE_SZ) for each in (popen.stdin, popen.stdout, popen.stderr)
            ]
        finally:
            process.kill()
            await process.communicate()

    assert run(main()) == [16384] * 3


def test_executable_leaves_the_name_alone(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "a name of its own", "-c", "echo $0", executable="/bin/sh", stdout=PIPE
        )
        plain, _ = await process.communicate()
        process = await asyncio.create_subprocess_shell("echo $0", executable="/bin/bash", stdout=PIPE)
        shell, _ = await process.communicate()
        return plain, shell

    assert run(main()) == (b"a name of its own\n", b"/bin/bash\n")


@pytest.mark.parametrize("convert", [str, os.fsencode, Path], ids=["str", "bytes", "path"])
def test_kinds_of_arguments(run, convert, tmp_path):
    async def main():
        process = await asyncio.create_subprocess_exec(
            convert(sys.executable), "-c", "import sys; print(sys.argv[1:])", convert(tmp_path), stdout=PIPE
        )
        out, _ = await process.communicate()
        return out.decode().strip()

    assert run(main()) == repr([str(tmp_path)])


def test_arguments_that_are_no_unicode(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "printf",
            "%s",
            b"\xff\xfe",
            "\udc80",
            stdout=PIPE,
            env={b"X": b"\xff", "PATH": os.environ["PATH"]},
        )
        out, _ = await process.communicate()
        return out

    assert run(main()) == b"\xff\xfe\x80"


def test_the_path_is_searched(run, tmp_path, monkeypatch):
    async def out_of(**options):
        process = await asyncio.create_subprocess_exec("program-of-this-test", stdout=PIPE, **options)
        out, _ = await process.communicate()
        return out

    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        program = folder / "program-of-this-test"
        program.write_text(f"#!/bin/sh\necho {name}\n")
        program.chmod(0o755)
    (tmp_path / "first" / "program-of-this-test").chmod(0o644)
    path = f"/no/such:{tmp_path}/first/:{tmp_path}/second"
    # root may read what it likes, but nobody executes what is executable for nobody.
    assert run(out_of(env={"PATH": path})) == b"second\n"
    monkeypatch.setenv("PATH", path)
    assert run(out_of()) == b"second\n"
    monkeypatch.setenv("PATH", ":/no/such")
    monkeypatch.chdir(tmp_path / "second")
    assert run(out_of()) == b"second\n"


def test_preexec_fn(run, tmp_path):
    path = tmp_path / "written"
    found = same(run, preexec_fn=lambda: path.write_text(str(os.getppid())))
    assert path.read_text() == str(os.getpid())
    assert found["fds"] == []


def test_preexec_fn_that_raises(run):
    def fail():
        raise ValueError

    async def main():
        with pytest.raises(subprocess.SubprocessError, match="Exception occurred in preexec_fn"):
            await asyncio.create_subprocess_exec("true", preexec_fn=fail)

    run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({"user": 65534}, "65534 0"),
        ({"group": 65534}, "0 65534"),
        ({"user": 65534, "group": 65533, "extra_groups": [1, 2]}, "65534 65533 65533 1 2"),
        ({"user": "root", "group": "daemon", "extra_groups": ["root", 7]}, "0 1 1 0 7"),
    ],
)
def test_user_and_groups(run, options, ids):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)", stdout=PIPE, cwd="/", **options
        )
        out, _ = await process.communicate()
        return out.decode()

    found = run(main()).split()
    assert found[:2] == ids.split()[:2]
    if "extra_groups" in options:
        assert found == ids.split()


def test_descriptors_as_standard_ones(run, tmp_path):
    async def main(command, **options):
        process = await asyncio.create_subprocess_exec("sh", "-c", command, **options)
        return await process.wait()

    path = tmp_path / "file"
    path.write_text("from a file")
    left, right = socket.socketpair()
    with left, right, path.open() as reading, (tmp_path / "out").open("w") as writing:
        assert run(main("cat; echo error >&2", stdin=reading, stdout=right, stderr=subprocess.STDOUT)) == 0
        assert left.recv(100) == b"from a fileerror\n"
        assert run(main("cat; echo x", stdin=subprocess.DEVNULL, stdout=writing.fileno())) == 0
    assert (tmp_path / "out").read_text() == "x\n"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_standard_descriptors_that_change_places(tmp_path, impl, order):
    """In a child that has files as its own standard descriptors."""
    program = f"""
import asyncio, os
import {impl.name} as impl
for number in range(3):
    fd = os.open(f"{tmp_path}/{{number}}", os.O_RDWR | os.O_CREAT)
    os.dup2(fd, number)
    os.close(fd)
async def main():
    a, b, c = {order}
    command = "echo out; echo err >&2; echo in >&0"
    process = await asyncio.create_subprocess_exec("sh", "-c", command, stdin=a, stdout=b, stderr=c)
    os._exit(await process.wait())
loop = impl.new_event_loop()
loop.run_until_complete(main())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    said = ("in\n", "out\n", "err\n")
    assert [(tmp_path / str(number)).read_text() for number in order] == list(said)


def test_standard_descriptors_that_are_closed(tmp_path, impl):
    program = f"""
import asyncio, os
import {impl.name} as impl
os.closerange(0, 3)
async def main():
    PIPE = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate(b"through")
    os._exit(42 if (out, err, process.returncode) == (b"through", b"", 0) else 1)
loop = impl.new_event_loop()
loop.run_until_complete(main())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 42
