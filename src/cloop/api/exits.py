"""How the end of a child is noticed: without a signal handler and without a thread.

Linux has a descriptor for a process, the pidfd, which becomes readable when it is over; kqueue(2) has a
filter for it. Where neither can be had (an old kernel, a container that forbids it, no descriptor left),
a thread waits for the child. Whatever notices it, the loop's thread reaps: until then the PID stays the
child's, so that a signal can't reach another process. (Only without waitid(2) the thread reaps itself, as
asyncio's does.)

Derived in its rules and messages from CPython's asyncio/unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from asyncio.log import logger
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Future

    from cloop.api.spawn import Start
    from cloop.loop import Loop

Exited = Callable[[int], object]  # is called with the exit code

# macOS has it in Python from 3.13 on.
HAS_WAITID = hasattr(os, "waitid")

UNKNOWN_EXIT = 255  # of a child that somebody else has waited for


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
    if watch_by_kqueue(loop, pid, exited):
        return Watch(pid)
    try:
        given = -1 if start is None else start.take_pidfd()
        pidfd = Descriptor(os.pidfd_open(pid) if given < 0 else given)
    except (AttributeError, OSError):
        thread = threading.Thread(
            target=wait_in_thread, args=(loop, pid, exited), name=f"waitpid-{pid}", daemon=True
        )
        thread.start()
        return Watch(pid)
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
    """A child that is not reaped yet."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def send_signal(self, number: int) -> None:
        """Raises OSError, of which ProcessLookupError means that somebody else has reaped it."""
        os.kill(self.pid, number)

    def is_running(self) -> bool:
        """Whether there is a child that is not over."""
        return self.find(os.P_PID, self.pid)

    @staticmethod
    def find(kind: int, number: int) -> bool:
        if not HAS_WAITID:
            # What is over can't be told without reaping it. Its watch is not told yet.
            return True
        try:
            return os.waitid(kind, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False


# ---- By a pidfd


class PidFDWatch(Watch):
    """By a pidfd, which stays this child's whoever has the PID."""

    def __init__(self, loop: Loop, pid: int, pidfd: Descriptor, exited: Exited) -> None:
        self.loop = loop
        self.pid = pid
        self.pidfd = pidfd
        self.exited = exited
        loop.add_reader(pidfd, self.readable)

    def readable(self) -> None:
        """It is over."""
        self.loop.remove_reader(self.pidfd.fd)
        try:
            exit_code = self.reap()
        finally:
            self.pidfd.close()
        self.exited(exit_code)

    def reap(self) -> int:
        try:
            result = os.waitid(os.P_PIDFD, self.pidfd.fd, os.WEXITED)
        except ChildProcessError:
            logger.warning(
                "child process pid %d exit status already read:  will report returncode %d",
                self.pid,
                UNKNOWN_EXIT,
            )
            return UNKNOWN_EXIT
        except OSError:
            # Linux 5.3 has pidfds; waitid() knows them from 5.4 on.
            return reap(self.pid)
        assert result is not None  # which it is without WNOHANG
        status: int = result.si_status
        return status if result.si_code == os.CLD_EXITED else -status

    def is_running(self) -> bool:
        try:
            return self.find(os.P_PIDFD, self.pidfd.fd)
        except OSError:
            return super().is_running()

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self.pidfd.fd, number)


# ---- By kqueue


def watch_by_kqueue(loop: Loop, pid: int, exited: Exited) -> bool:
    """False where the loop's poller can't watch that child."""
    number = loop._poller.watch_process(pid)
    if number < 0:
        return False
    if not loop._exits:
        loop._exits = {}
        loop.add_reader(number, some_ended, loop, number)
    loop._exits[pid] = exited
    return True


def some_ended(loop: Loop, number: int) -> None:
    """The poller has found children that are over."""
    waiting = loop._exits
    for pid in loop._poller.take_ended():
        # Each in a callback of its own, as it may raise.
        loop.call_soon(reap_and_tell, pid, waiting.pop(pid))
    if not waiting:
        loop.remove_reader(number)


def reap_and_tell(pid: int, exited: Exited) -> None:
    """In the loop's thread, where nobody can send a signal in between."""
    exited(reap(pid))


# ---- By a thread


def wait_in_thread(loop: Loop, pid: int, exited: Exited) -> None:
    """Wait for a child, in a thread of its own, and leave it to the loop to reap, where that can be."""
    try:
        if HAS_WAITID:
            wait_for_end(pid)
            loop.call_soon_threadsafe(reap_and_tell, pid, exited)
        else:
            loop.call_soon_threadsafe(exited, reap(pid))
    except RuntimeError:
        if HAS_WAITID:
            reap(pid)
        logger.warning("Loop %r that handles pid %r is closed", loop, pid)


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
