"""How the end of a child is noticed: without a signal handler and without a thread.

Linux has a descriptor for a process, the pidfd, which becomes readable when it is over; kqueue(2) has a
filter for it. Where neither can be had (an old kernel, a container that forbids it, no descriptor left),
a thread waits for the child. Whatever notices it, the loop's thread reaps: until then the PID stays the
child's, so that a signal can't reach another process. (Only without waitid(2) the thread reaps itself, as
asyncio's does.)

Somebody else may reap a child first: the kernel, where SIGCHLD is ignored, or a program that waits for any
child. Then Linux tells the exit code by the pidfd, from 6.15 on; elsewhere it is unknown.

Derived in its rules and messages from CPython's asyncio/unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from asyncio.log import logger
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cloop.api import spawn

if TYPE_CHECKING:
    from asyncio import Future

    from cloop.api.spawn import Start
    from cloop.loop import Loop

Exited = Callable[[int], object]  # is called with the exit code

# macOS has it in Python from 3.13 on.
HAS_WAITID = hasattr(os, "waitid")

UNKNOWN_EXIT = 255  # of a child that somebody else has waited for, where the kernel does not tell
# Seconds between two looks for an exit code that can't be had yet: twice as many each time.
SHORTEST_PAUSE = 0.001
LONGEST_PAUSE = 0.1


class Descriptor:
    """A descriptor that is closed with what holds it, such as the loop's interest in it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if self.fd >= 0:
            _close(self.fd)


def watch(loop: Loop, pid: int, exited: Exited, start: Start | None = None) -> Watch:
    """Have exited(exit code) called by the loop when the child is over; its start may have its pidfd."""
    watch = Watch(pid, exited)
    if watch_by_kqueue(loop, watch):
        return watch
    try:
        given = -1 if start is None else start.take_pidfd()
        pidfd = Descriptor(os.pidfd_open(pid) if given < 0 else given)
    except (AttributeError, OSError):
        thread = threading.Thread(
            target=wait_in_thread, args=(loop, watch), name=f"waitpid-{pid}", daemon=True
        )
        thread.start()
        return watch
    return PidFDWatch(loop, pid, pidfd, exited)


async def wait(loop: Loop, child: subprocess.Popen[Any], start: Start) -> None:
    """Return when a child that nobody watches is over and reaped, and needs nothing of its start any more."""
    over: Future[None] = loop.create_future()

    def exited(exit_code: int) -> None:
        child.returncode = exit_code
        start.ended()
        if not over.done():
            over.set_result(None)

    watch(loop, child.pid, exited, start)
    await (asyncio.shield(over) if sys.version_info >= (3, 14) else over)


class Watch:
    """A child by its PID, until `exited` is called."""

    # Once it is reaped.
    exit_code: int | None = None

    def __init__(self, pid: int, exited: Exited) -> None:
        self.pid = pid
        self.exited = exited
        # Where the child was started, whoever notices its end.
        self.context = contextvars.copy_context()

    def send_signal(self, number: int) -> None:
        """Raises OSError, of which ProcessLookupError means that it is reaped."""
        if self.exit_code is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def poll(self) -> int | None:
        """The exit code of a child that is over, which is reaped then; None while it runs.

        Raises ChildProcessError where somebody else has reaped it and its exit code is unknown.
        """
        # Without waitid() its thread reaps it, and is not told yet.
        if self.exit_code is None and HAS_WAITID:
            self.exit_code = self.look(os.P_PID, self.pid)
        return self.exit_code

    @staticmethod
    def look(kind: int, number: int) -> int | None:
        result = os.waitid(kind, number, os.WEXITED | os.WNOHANG)
        if result is None:
            return None
        status: int = result.si_status
        return status if result.si_code == os.CLD_EXITED else -status

    def tell(self, exit_code: int | None = None) -> None:
        """Called by the loop when it is over; with its exit code if it is reaped."""
        if self.exit_code is None:
            self.exit_code = reap(self.pid) if exit_code is None else exit_code
        self.exited(self.exit_code)


# ---- By a pidfd


class PidFDWatch(Watch):
    """By a pidfd, which stays this child's whoever has the PID."""

    def __init__(self, loop: Loop, pid: int, pidfd: Descriptor, exited: Exited) -> None:
        super().__init__(pid, exited)
        self.loop = loop
        self.pidfd = pidfd
        loop.add_reader(pidfd, self.readable)

    def readable(self) -> None:
        """It is over."""
        self.loop.remove_reader(self.pidfd.fd)
        self.look_and_tell(SHORTEST_PAUSE)

    def look_and_tell(self, pause: float) -> None:
        """Tell the exit code once it can be had, which a tracer may put off, or the kernel for a moment."""
        exit_code = None
        try:
            exit_code = self.poll()
            soon = exit_code is None
        except ChildProcessError as exc:
            soon = isinstance(exc.__cause__, BlockingIOError)
        if soon:
            self.loop.call_later(pause, self.look_and_tell, min(2 * pause, LONGEST_PAUSE))
            return
        self.pidfd.close()
        if exit_code is None:
            logger.warning(
                "child process pid %d exit status already read:  will report returncode %d",
                self.pid,
                UNKNOWN_EXIT,
            )
            exit_code = UNKNOWN_EXIT
        self.tell(exit_code)

    def poll(self) -> int | None:
        """As of any child; ChildProcessError has BlockingIOError for its cause where it is unknown yet."""
        if self.exit_code is not None:
            return self.exit_code
        try:
            self.exit_code = self.look(os.P_PIDFD, self.pidfd.fd)
        except ChildProcessError:
            try:
                self.exit_code = os.waitstatus_to_exitcode(spawn.exit_status(self.pidfd.fd))
            except OSError as exc:
                raise ChildProcessError from exc
        except OSError:
            # Linux 5.3 has pidfds; waitid() knows them from 5.4 on.
            return super().poll()
        return self.exit_code

    def send_signal(self, number: int) -> None:
        if self.exit_code is not None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self.pidfd.fd, number)


# ---- By kqueue


def watch_by_kqueue(loop: Loop, watch: Watch) -> bool:
    """False where the loop's poller can't watch that child."""
    number = loop._poller.watch_process(watch.pid)
    if number < 0:
        return False
    if not loop._exits:
        loop._exits = {}
        loop.add_reader(number, some_ended, loop, number)
    loop._exits[watch.pid] = watch
    return True


def some_ended(loop: Loop, number: int) -> None:
    """The poller has found children that are over."""
    waiting = loop._exits
    for pid in loop._poller.take_ended():
        # Each in a callback of its own, as it may raise. It reaps there, in the loop's thread, where nobody
        # can send a signal in between.
        watch = waiting.pop(pid)
        loop.call_soon(watch.tell, context=watch.context)
    if not waiting:
        loop.remove_reader(number)


# ---- By a thread


def wait_in_thread(loop: Loop, watch: Watch) -> None:
    """Wait for a child, in a thread of its own, and leave it to the loop to reap, where that can be."""
    exit_code = None
    if HAS_WAITID:
        wait_for_end(watch.pid)
    else:
        exit_code = reap(watch.pid)
    try:
        loop.call_soon_threadsafe(watch.tell, exit_code, context=watch.context)
    except RuntimeError:
        if watch.exit_code is None:
            watch.exit_code = reap(watch.pid) if exit_code is None else exit_code
        logger.warning("Loop %r that handles pid %r is closed", loop, watch.pid)


def wait_for_end(pid: int) -> None:
    """Return when a child is over, or not there."""
    try:
        while True:
            result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            if result is None or result.si_code != os.CLD_STOPPED:
                return
            # macOS tells of stopped children too: https://github.com/python/cpython/issues/158287
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        pass


def reap(pid: int) -> int:
    """The exit code of a child that is over, as subprocess has it: minus the signal that ended it."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        logger.warning("Unknown child process pid %d, will report returncode %d", pid, UNKNOWN_EXIT)
        return UNKNOWN_EXIT
    return os.waitstatus_to_exitcode(status)
