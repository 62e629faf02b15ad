"""Child processes with a time limit each: what runs the cases, since these may crash or hang."""

import contextlib
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# A child that faulthandler ends has so long to write where it was.
GRACE = 3.0
OUTPUT_KEPT = 12_000


@dataclass
class Job:
    """One case. `body` runs in a forked child, whose output goes to a file; it returns the exit code."""

    name: str
    body: Callable[[], int]
    limit: float
    # Called in the parent with the child's id when it has been started.
    started: Callable[[int], object] = lambda pid: None
    # The same when it has ended; what it returns is kept in `told`.
    ended: Callable[[int], str] = lambda pid: ""
    # Where the child writes what it does, if it does.
    trail: Path | None = None


@dataclass
class Ended:
    """How a job ended."""

    job: Job
    # The exit code, or the number of the signal that ended it, below zero.
    code: int
    hung: bool
    seconds: float
    # Processor time.
    cpu: float
    output: str
    told: str

    @property
    def crashed(self) -> bool:
        """Whether a signal ended it, and not because it hung."""
        return self.code < 0 and not self.hung


@dataclass
class Running:
    """A job whose child runs."""

    job: Job
    pid: int
    pidfd: int
    output: Path
    began: float = field(default_factory=time.monotonic)
    hung: bool = False

    def deadline(self) -> float:
        """When it is to be ended, or killed."""
        return self.began + self.job.limit + (GRACE if self.hung else 0)

    def overdue(self) -> None:
        """Have faulthandler say where it is; kill it if that didn't help."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL if self.hung else signal.SIGABRT)
            # One that is stopped doesn't see the signal.
            os.kill(self.pid, signal.SIGCONT)
        self.began += GRACE if self.hung else 0
        self.hung = True

    def end(self) -> Ended:
        """Reap it, and what it left running."""
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        # Its session is its own, so the group has nobody else's processes.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        output = self.output.read_bytes().decode(errors="replace")
        self.output.unlink()
        return Ended(
            self.job,
            os.waitstatus_to_exitcode(status),
            self.hung,
            time.monotonic() - self.began,
            usage.ru_utime + usage.ru_stime,
            output[-OUTPUT_KEPT:],
            self.job.ended(self.pid),
        )


def start(job: Job, folder: Path, number: int) -> Running:
    """Fork a child that runs the job."""
    output = folder / f"output-{number}"
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            os.setsid()
            fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(fd, 1)
            os.dup2(fd, 2)
            os.close(fd)
            # Those of a test are in memory.
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", 1, closefd=False)  # noqa: SIM115
            code = job.body()
        except BaseException:
            # It must not return into the parent's code.
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    # Not left to the child, which may be gone or not have come so far.
    output.touch()
    running = Running(job, pid, os.pidfd_open(pid), output)
    job.started(pid)
    return running


def run_jobs(jobs: Iterator[Job], at_once: int, seconds: float) -> Iterator[Ended]:
    """Run the jobs, so many at once, until there are no more or the time is over; yields those that ended."""
    over = time.monotonic() + seconds
    running: dict[int, Running] = {}
    with tempfile.TemporaryDirectory() as name:
        number = 0
        while True:
            while len(running) < at_once and time.monotonic() < over and (job := next(jobs, None)):
                number += 1
                one = start(job, Path(name), number)
                running[one.pidfd] = one
            if not running:
                return
            yield from next_ended(running)


def once_more(ended: Ended, patient: Job) -> Ended:
    """How it ended, by itself and with more time: what was only slow is no finding."""
    for again in run_jobs(iter([patient]), 1, patient.limit):
        print(f"{ended.job.name}: {'the same' if again.code == ended.code else 'not so'} with more time")
        return again
    return ended


def next_ended(running: dict[int, Running]) -> list[Ended]:
    """Wait until one of them ends or has run too long."""
    poller = select.poll()
    for pidfd in running:
        poller.register(pidfd, select.POLLIN)
    first = min(one.deadline() for one in running.values())
    found = poller.poll(max(0.0, first - time.monotonic()) * 1000 + 1)
    ended = [running.pop(pidfd).end() for pidfd, _ in found]
    for one in running.values():
        if time.monotonic() > one.deadline():
            one.overdue()
    return ended


def run_python(*arguments: str, folder: Path | None = None) -> Callable[[], int]:
    """A body that becomes an interpreter with those arguments."""

    def body() -> int:
        if folder:
            os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-X", "faulthandler", *arguments])

    return body
