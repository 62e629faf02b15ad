"""subprocess_exec and subprocess_shell: children with pipes, and their exits.

The transport is asyncio's own over cloop's pipes. A child's exit is told by its pidfd, without a
signal handler and without a thread; where a pidfd can't be had (systems other than Linux, kernels
before 5.3, containers that forbid it), a thread waits for it.

Derived in its rules and messages from CPython's asyncio/base_events.py and unix_events.py (PSF
License Agreement).
"""

from __future__ import annotations

import os
import subprocess
import threading
from asyncio import base_subprocess
from asyncio.log import logger
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future, SubprocessProtocol
    from collections.abc import Callable

    from cloop.loop import Loop

_P = TypeVar("_P", bound="SubprocessProtocol")

UNKNOWN_EXIT = 255  # of a child that somebody else has waited for


class SubprocessTransport(base_subprocess.BaseSubprocessTransport):
    """asyncio's transport of a child, with Popen to start it."""

    def _start(
        self, args: Any, shell: bool, stdin: Any, stdout: Any, stderr: Any, bufsize: int, **options: Any
    ) -> None:
        self._proc = subprocess.Popen(
            args, shell=shell, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=bufsize, **options
        )


async def subprocess_exec(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    program: Any,
    *args: Any,
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    universal_newlines: bool = False,
    shell: bool = False,
    bufsize: int = 0,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
    **options: Any,
) -> tuple[SubprocessTransport, _P]:
    """Start a program with arguments; further options are those of subprocess.Popen.

    Returns (transport, protocol). Raises OSError where it can't be started, ValueError for an option
    that would make its pipes text.
    """
    if shell:
        check_options(universal_newlines)
        raise ValueError("shell must be False")
    check_options(universal_newlines, bufsize, text, encoding, errors)
    protocol = protocol_factory()
    message = log_start(loop, f"execute program {program!r}", stdin, stdout, stderr)
    transport = await start(loop, protocol, (program, *args), False, stdin, stdout, stderr, options)
    if loop.get_debug() and message is not None:
        logger.info("%s: %r", message, transport)
    return transport, protocol


async def subprocess_shell(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    cmd: str | bytes,
    *,
    stdin: Any = subprocess.PIPE,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    universal_newlines: bool = False,
    shell: bool = True,
    bufsize: int = 0,
    encoding: str | None = None,
    errors: str | None = None,
    text: bool | None = None,
    **options: Any,
) -> tuple[SubprocessTransport, _P]:
    """Start a command of the shell; otherwise as subprocess_exec."""
    if not isinstance(cmd, (bytes, str)):
        raise ValueError("cmd must be a string")
    if not shell:
        check_options(universal_newlines)
        raise ValueError("shell must be True")
    check_options(universal_newlines, bufsize, text, encoding, errors)
    protocol = protocol_factory()
    message = log_start(loop, f"run shell command {cmd!r}", stdin, stdout, stderr)
    transport = await start(loop, protocol, cmd, True, stdin, stdout, stderr, options)
    if loop.get_debug() and message is not None:
        logger.info("%s: %r", message, transport)
    return transport, protocol


def check_options(
    universal_newlines: bool,
    bufsize: int = 0,
    text: bool | None = None,
    encoding: str | None = None,
    errors: str | None = None,
) -> None:
    """ValueError for what pipes of bytes can't be."""
    if universal_newlines:
        raise ValueError("universal_newlines must be False")
    if bufsize != 0:
        raise ValueError("bufsize must be 0")
    if text:
        raise ValueError("text must be False")
    if encoding is not None:
        raise ValueError("encoding must be None")
    if errors is not None:
        raise ValueError("errors must be None")


def log_start(loop: Loop, message: str, stdin: Any, stdout: Any, stderr: Any) -> str | None:
    """In debug mode, say what is started, without its arguments, which may be secret."""
    if not loop.get_debug():
        return None
    info = [message]
    if stdin is not None:
        info.append(f"stdin={describe_pipe(stdin)}")
    if stdout is not None and stderr == subprocess.STDOUT:
        info.append(f"stdout=stderr={describe_pipe(stdout)}")
    else:
        info += [
            f"{name}={describe_pipe(pipe)}"
            for name, pipe in (("stdout", stdout), ("stderr", stderr))
            if pipe is not None
        ]
    logger.debug(" ".join(info))
    return message


def describe_pipe(pipe: Any) -> str:
    """A stdin, stdout or stderr argument as the log has it."""
    names = {subprocess.PIPE: "<pipe>", subprocess.STDOUT: "<stdout>"}
    return names[pipe] if isinstance(pipe, int) and pipe in names else repr(pipe)


async def start(
    loop: Loop,
    protocol: SubprocessProtocol,
    args: Any,
    shell: bool,
    stdin: Any,
    stdout: Any,
    stderr: Any,
    options: dict[str, Any],
) -> SubprocessTransport:
    """A child whose pipes are connected, and whose exit will be told."""
    waiter: Future[None] = loop.create_future()
    transport = SubprocessTransport(
        loop, protocol, args, shell, stdin, stdout, stderr, 0, waiter=waiter, extra=None, **options
    )
    pid: Any = transport.get_pid()
    watch(loop, pid, transport._process_exited)
    try:
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return transport


# ---- Exits


class PidFD:
    """A pidfd that is closed with the loop's interest in it, also when the loop is closed first."""

    def __init__(self, pid: int) -> None:
        self.fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if getattr(self, "fd", -1) >= 0:
            _close(self.fd)


def watch(loop: Loop, pid: int, exited: Callable[[int], object]) -> None:
    """Have exited(exit code) called by the loop when the child is over."""
    try:
        pidfd = PidFD(pid)
    except (AttributeError, OSError):
        thread = threading.Thread(
            target=wait_in_thread, args=(loop, pid, exited), name=f"waitpid-{pid}", daemon=True
        )
        thread.start()
        return

    def readable() -> None:
        loop.remove_reader(pidfd)
        pidfd.close()
        exited(reap(pid))

    loop.add_reader(pidfd, readable)


def wait_in_thread(loop: Loop, pid: int, exited: Callable[[int], object]) -> None:
    """Wait for a child, in a thread of its own."""
    exit_code = reap(pid)
    try:
        loop.call_soon_threadsafe(exited, exit_code)
    except RuntimeError:
        logger.warning("Loop %r that handles pid %r is closed", loop, pid)


def reap(pid: int) -> int:
    """The exit code of a child that is over, as subprocess has it: minus the signal that ended it."""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        logger.warning(
            "child process pid %d exit status already read:  will report returncode %d", pid, UNKNOWN_EXIT
        )
        return UNKNOWN_EXIT
    return os.waitstatus_to_exitcode(status)
