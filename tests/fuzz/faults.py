"""Each system call of a scenario fails once with each error that its manual page gives: no crash, no hang.

strace(1) does it (`-e inject=`), attached to a child that has stopped itself before the scenario begins.
"""

import argparse
import collections
import ctypes
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support import Implementation, load_implementation

from .carry_out import MAY_BE_SLOW, MEANINGS, PATIENT, SILENT, carry_out
from .crew import Ended, Job, once_more, run_jobs
from .scenarios import SCENARIOS, run_all_once

NO_MEMORY = "ENOMEM ENOBUFS"
NO_DESCRIPTORS = "EMFILE ENFILE"
# The errors of each call; those of the arguments' own making, such as EFAULT, are left out.
ERRORS = {
    "epoll_create1": f"{NO_DESCRIPTORS} ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC EBADF EPERM EEXIST ENOENT",
    "epoll_wait": "EINTR EBADF",
    "epoll_pwait": "EINTR EBADF",
    "epoll_pwait2": "EINTR EBADF ENOSYS EPERM",
    "socket": f"{NO_DESCRIPTORS} {NO_MEMORY} EACCES EAFNOSUPPORT",
    "socketpair": f"{NO_DESCRIPTORS} {NO_MEMORY}",
    "pipe2": NO_DESCRIPTORS,
    # Not EINTR: after that it goes on by itself, which strace's does not.
    "connect": "ECONNREFUSED ETIMEDOUT ENETUNREACH EADDRNOTAVAIL EPERM EAGAIN",
    "accept": f"ECONNABORTED EPROTO EPERM EINTR EAGAIN {NO_DESCRIPTORS} {NO_MEMORY}",
    "accept4": f"ECONNABORTED EPROTO EPERM EINTR EAGAIN {NO_DESCRIPTORS} {NO_MEMORY}",
    "bind": "EADDRINUSE EACCES ENOMEM",
    "listen": "EADDRINUSE EOPNOTSUPP",
    "getsockname": "ENOBUFS EBADF",
    "getpeername": "ENOBUFS ENOTCONN EBADF",
    "getsockopt": "ENOPROTOOPT ENOMEM EBADF",
    "setsockopt": "ENOPROTOOPT ENOMEM EBADF EINVAL",
    "recvfrom": "ECONNRESET ETIMEDOUT ECONNREFUSED ENOTCONN ENOMEM EINTR EAGAIN",
    "recvmsg": "ECONNRESET ETIMEDOUT ECONNREFUSED ENOMEM EINTR EAGAIN",
    "recvmmsg": "ECONNRESET ECONNREFUSED ENOMEM EINTR EAGAIN ENOSYS",
    "sendto": f"EPIPE ECONNRESET EMSGSIZE EPERM EINTR EAGAIN {NO_MEMORY}",
    "sendmsg": f"EPIPE ECONNRESET EMSGSIZE EPERM EINTR EAGAIN {NO_MEMORY}",
    "sendmmsg": f"EPIPE ECONNREFUSED EMSGSIZE EPERM EINTR EAGAIN ENOSYS {NO_MEMORY}",
    "read": "EIO EINTR EAGAIN ECONNRESET EBADF",
    "write": "ENOSPC EPIPE EIO EINTR EAGAIN",
    "writev": "ENOSPC EPIPE EIO EINTR EAGAIN",
    "close": "EINTR EIO ENOSPC EBADF",
    "shutdown": "ENOTCONN ENOBUFS",
    "fcntl": "EBADF EMFILE EPERM",
    "ioctl": "EBADF ENOTTY",
    "sendfile": "EAGAIN EIO EINVAL ENOMEM ENOSYS EPIPE",
    "clone": "EAGAIN ENOMEM EPERM",
    "clone3": "EAGAIN ENOMEM EPERM ENOSYS",
    "fork": "EAGAIN ENOMEM",
    "vfork": "EAGAIN ENOMEM",
    "execve": "ENOENT EACCES ENOMEM E2BIG ETXTBSY",
    "pidfd_open": f"{NO_DESCRIPTORS} ENOMEM ENOSYS EPERM ESRCH",
    "pidfd_send_signal": "ENOSYS EPERM ESRCH",
    "waitid": "ECHILD EINTR",
    "wait4": "ECHILD EINTR",
    "kill": "EPERM ESRCH",
    "openat": f"{NO_DESCRIPTORS} ENOMEM ENOENT EACCES ENOSPC",
    "stat": "ENOENT EACCES ENOMEM",
    "fstat": "EBADF ENOMEM",
    "newfstatat": "ENOENT EACCES ENOMEM",
    "lseek": "ESPIPE EINVAL EBADF",
    "dup": NO_DESCRIPTORS,
    "dup2": "EMFILE EBADF EINTR EBUSY",
    "dup3": "EMFILE EBADF EINTR EBUSY",
    "eventfd2": f"{NO_DESCRIPTORS} ENOMEM ENODEV",
    "close_range": "EMFILE ENOMEM ENOSYS",
    "unlink": "ENOENT EPERM EBUSY EIO",
    "chmod": "ENOENT EPERM EIO",
    "getrandom": "ENOSYS EAGAIN EINTR",
    "uname": "EFAULT",
    "setitimer": "",
}
# Calls that are not the loop's, each with its reason.
NOT_OURS = {
    **dict.fromkeys(("brk", "mmap", "munmap", "mremap", "mprotect", "madvise"), "allocators': see `memory`"),
    **dict.fromkeys(("futex", "set_robust_list", "rseq", "sched_yield", "gettid", "getpid"), "of threads"),
    **dict.fromkeys(("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"), "do not fail"),
    **dict.fromkeys(("setitimer", "restart_syscall", "exit", "exit_group", "tgkill"), "the fuzzer's"),
    **dict.fromkeys(
        ("arch_prctl", "set_tid_address", "access", "pread64", "prlimit64", "getdents64"),
        "of a child's start",
    ),
    **dict.fromkeys(("getuid", "geteuid", "getgid", "getegid", "getppid", "clock_nanosleep"), "do not fail"),
    **dict.fromkeys(("readlink", "statfs", "fadvise64", "prctl", "sched_getaffinity"), "of a child's start"),
}
# Where strace fails them they are not carried out, whereas every kernel closes the descriptor and says that
# it could not write: who waits for the end of the connection waits in vain.
NOT_DONE = ("close", "shutdown")
# Each call of one name fails in turn, up to that one.
MOST = 12
LIMIT = 20.0
# prctl(2): that any process may attach itself, where Yama asks for it.
PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)


def body_of(name: str, impl: Implementation, slowness: float) -> Callable[[], int]:
    """A body that waits for strace, and then carries out the scenario."""

    def stop() -> None:
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)

    return lambda: carry_out(name, impl, stop, slowness=slowness)


class Strace:
    """An strace(1) of one child."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options

    def attach(self, pid: int) -> None:
        """Attach it to a child that stops itself, and let that go on."""
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        command = ["strace", "-f", "-o", str(self.folder / f"strace-{pid}"), *self.options, "-p", str(pid)]
        # What watches this process's memory is not for strace.
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        os.kill(pid, signal.SIGCONT)
        if "attached" not in line:
            print("strace:", line.strip(), flush=True)

    def end(self, pid: int) -> str:
        """What it wrote."""
        self.process.communicate()
        path = self.folder / f"strace-{pid}"
        text = path.read_text(errors="replace") if path.exists() else ""
        path.unlink(missing_ok=True)
        return text


def traced(
    name: str, impl: Implementation, title: str, folder: Path, *options: str, slowness: float = 1.0
) -> Job:
    """A case under strace."""
    strace = Strace(folder, *options)
    body = body_of(name, impl, slowness)
    return Job(title, body, LIMIT * slowness, started=strace.attach, ended=strace.end)


def count_calls(name: str, impl: Implementation, folder: Path) -> dict[str, int]:
    """The system calls of a scenario, each with how often it is made."""
    job = traced(name, impl, name, folder, "-c")
    (ended,) = run_jobs(iter([job]), 1, LIMIT)
    if ended.code:
        raise RuntimeError(f"{name} fails by itself: {ended.code}\n{ended.output}")
    calls = collections.Counter[str]()
    for line in ended.told.splitlines()[2:]:
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] += int(fields[3])
    return calls


def cases(name: str, calls: dict[str, int]) -> Iterator[tuple[str, str, str, int]]:
    """Every failure of a scenario."""
    for call, times in calls.items():
        for error in ERRORS.get(call, "").split():
            for number in range(1, min(times, MOST) + 1):
                yield name, call, error, number


def faults(options: argparse.Namespace) -> int:
    """Failing system calls."""
    # Which imports this.
    from .parent import Report

    if not shutil.which("strace"):
        print("faults: there is no strace(1)")
        return 0
    impl = load_implementation(options.loop)
    run_all_once(impl)
    report = Report("faults", options, MEANINGS)
    names = [name for name in SCENARIOS if not options.words or name in options.words]
    with tempfile.TemporaryDirectory() as folder:
        chosen = choose(names, impl, options, Path(folder))
        for ended in run_jobs(
            (inject(impl, Path(folder), *case) for case in chosen), options.jobs, options.seconds
        ):
            if ended.code == SILENT and ended.job.name.split()[1] in NOT_DONE:
                ended.code = 0
            if ended.code in MAY_BE_SLOW:
                ended = once_more(ended, inject(impl, Path(folder), *case_of(ended), slowness=PATIENT))
            report.look_at(ended)
    return report.end()


def choose(
    names: list[str], impl: Implementation, options: argparse.Namespace, folder: Path
) -> Iterator[tuple[str, str, str, int]]:
    """The cases in an order that the seed gives, or the one that four words name."""
    if len(options.words) == 4:
        name, call, error, number = options.words
        return iter([(name, call, error, int(number))])
    every, unknown = [], set()
    for name in names:
        calls = count_calls(name, impl, folder)
        unknown |= calls.keys() - ERRORS.keys() - NOT_OURS.keys()
        every += cases(name, calls)
    print(f"{len(every)} cases; calls without errors here: {' '.join(sorted(unknown)) or '-'}", flush=True)
    random.Random(options.first).shuffle(every)
    return iter(every)


def case_of(ended: Ended) -> tuple[str, str, str, int]:
    """The case that it was."""
    name, call, error, number = ended.job.name.split()
    return name, call, error, int(number)


def inject(
    impl: Implementation, folder: Path, name: str, call: str, error: str, number: int, slowness: float = 1.0
) -> Job:
    """A case in which a call fails."""
    what = ("-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}")
    return traced(name, impl, f"{name} {call} {error} {number}", folder, *what, slowness=slowness)
