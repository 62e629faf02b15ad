"""subprocess_exec and subprocess_shell: children with pipes, and their exits.

`starts` starts them, `exits` notices their end; the transport is asyncio's own over cloop's pipes.

Derived in its rules and messages from CPython's asyncio/base_events.py, base_subprocess.py and
unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import warnings
from asyncio import base_subprocess, unix_events
from asyncio.log import logger
from contextlib import nullcontext, suppress
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any, TypeVar

from cloop.api import exits, starts
from cloop.api.replaced import noticing
from cloop.api.streams import equip_child
from cloop.transports.pipe import made_for_child, receive_into

if TYPE_CHECKING:
    from asyncio import Future, SubprocessProtocol
    from collections.abc import Callable

    from cloop.loop import Loop

_P = TypeVar("_P", bound="SubprocessProtocol")

PY312 = sys.version_info >= (3, 12)
PY314 = sys.version_info >= (3, 14)

# What a program gets that has set none: cloop's own ways do the same.
DEFAULT_WATCHERS = (
    type(None),
    *(getattr(unix_events, name, None) for name in ("PidfdChildWatcher", "ThreadedChildWatcher")),
)

UNGUARDED = nullcontext()


class SubprocessTransport(base_subprocess.BaseSubprocessTransport):
    """asyncio's transport of a child that is started already."""

    # Of one that has no child yet.
    _closed = True
    _returncode: int | None = None
    _proc: Any = None

    _watch: exits.Watch | None = None
    _pipes: dict[int, Any]
    _exit_waiters: Any

    def _start(self, *_: Any, process: subprocess.Popen[bytes], **__: Any) -> None:  # type: ignore[override]
        self._proc = process
        self._exit_waiters = set()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another protocol from now on."""
        for pipe in self._pipes.values():
            if pipe is not None:
                receive_into(pipe.pipe, None)
        super().set_protocol(protocol)

    def _process_exited(self, returncode: int) -> None:
        self._watch = None
        if self._closed and self._proc.returncode is not None:
            # It ended while close() was about to kill it, and Popen.kill() has noticed.
            returncode = self._proc.returncode
        super()._process_exited(returncode)
        if not PY314:
            # Its pipes may stay open: a grandchild has them, or nobody reads what is left in them.
            for waiter in self._exit_waiters:
                if not waiter.done():
                    waiter.set_result(returncode)
            self._exit_waiters.clear()

    async def _wait(self) -> int:
        """The exit code, when the child is over."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        waiters = self._exit_waiters
        waiters.add(waiter)
        try:
            exit_code: int = await waiter
        finally:
            # Else each one that was given up would stay until the end.
            waiters.discard(waiter)
        return exit_code

    def __del__(self, _warn: Any = warnings.warn) -> None:
        super().__del__(_warn)  # type: ignore[call-arg]  # which typeshed does not know
        if self._proc is not None and self._returncode is None:
            # Popen warns of what it takes to be running.
            self._is_over()

    def send_signal(self, signal: int) -> None:
        """Send a signal to the child, if it is not over.

        Raises ProcessLookupError once connection_lost was called, OSError for no signal.
        """
        self._check_proc()
        if self._returncode is not None:
            return
        # What was written to its stdin comes first.
        self._loop._send_waiting()  # type: ignore[attr-defined]  # a Loop
        with suppress(ProcessLookupError):
            if self._watch is not None:
                self._watch.send_signal(signal)
            elif self._proc.returncode is None:
                os.kill(self._proc.pid, signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(SIGKILL)

    def close(self) -> None:
        """Close the pipes, and kill the child if it is not over."""
        if self._closed:
            return
        self._closed = True
        for protocol in self._pipes.values():
            # Not once the loop is closed, which can't have them closed any more.
            if protocol is not None and self._loop is not None and not self._loop.is_closed():
                protocol.pipe.close()
        if self._proc is None or self._returncode is not None or self._is_over():
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        # It may be over by now, or run as somebody else.
        with suppress(ProcessLookupError, PermissionError):
            self._proc.kill()

    def _is_over(self) -> bool:
        if self._watch is None:
            return self._proc.poll() is not None
        # Popen.poll() would take the exit code away from the watch, which then knew none.
        try:
            exit_code = self._watch.poll()
        except ChildProcessError:
            return True
        if exit_code is not None and self._proc.returncode is None:
            self._proc.returncode = exit_code
        return exit_code is not None


NoticingTransport = noticing(SubprocessTransport)


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
    pipes = (stdin, stdout, stderr)
    return await open_child(loop, protocol_factory, (program, *args), False, pipes, options)


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
    pipes = (stdin, stdout, stderr)
    return await open_child(loop, protocol_factory, cmd, True, pipes, options)


async def open_child(
    loop: Loop,
    protocol_factory: Callable[[], _P],
    args: Any,
    shell: bool,
    pipes: tuple[Any, Any, Any],
    options: dict[str, Any],
) -> tuple[SubprocessTransport, _P]:
    """A protocol and the transport of a child that was started, with `pipes` as its first descriptors."""
    protocol = protocol_factory()
    message = None
    if loop.get_debug():
        # Without its arguments, which may be secret.
        message = f"run shell command {args!r}" if shell else f"execute program {args[0]!r}"
        log_start(message, *pipes)
    transport = await connect(loop, protocol, args, shell, *pipes, options)
    if equip_child(loop, protocol_factory, protocol, transport):
        transport.__class__ = NoticingTransport
    if message is not None and loop.get_debug():
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


def log_start(message: str, stdin: Any, stdout: Any, stderr: Any) -> None:
    """Say what is started, and what its pipes are."""
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


def describe_pipe(pipe: Any) -> str:
    """A stdin, stdout or stderr argument as the log has it."""
    names = {subprocess.PIPE: "<pipe>", subprocess.STDOUT: "<stdout>"}
    return names[pipe] if isinstance(pipe, int) and pipe in names else repr(pipe)


async def connect(
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
    watcher: Any = own_watcher()
    active: Any
    with UNGUARDED if watcher is None else watcher as active:
        if watcher is not None and not (watcher if PY312 else active).is_active():
            raise RuntimeError(
                "asyncio.get_child_watcher() is not activated, subprocess support is not installed."
            )
        # Before its child: the collector finalizes in this order, and Popen warns of a child whose exit
        # code the transport has not taken yet.
        transport = SubprocessTransport.__new__(SubprocessTransport)
        process, start = await starts.start(
            loop,
            args,
            shell=shell,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            universal_newlines=False,
            bufsize=0,
            **options,
        )
        waiter: Future[None] = loop.create_future()
        transport.__init__(  # type: ignore[misc]
            loop, protocol, args, shell, stdin, stdout, stderr, 0, waiter=waiter, extra=None, process=process
        )
        if watcher is None:
            transport._watch = exits.watch(loop, process.pid, transport._process_exited, start)
        else:
            watcher.add_child_handler(process.pid, tell_exit, loop, transport)
        try:
            await waiter
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            transport.close()
            if waiter.done() and not waiter.cancelled():
                close_unconnected(process, transport)
            await (asyncio.shield(transport._wait()) if PY314 else transport._wait())
            raise
    for pipe in transport._pipes.values():
        made_for_child(pipe.pipe, options.get("pipesize", -1) == -1)
    return transport


def close_unconnected(process: subprocess.Popen[bytes], transport: SubprocessTransport) -> None:
    """Close those pipes of a child that could not be connected, and so have no transport to close them."""
    for fd, pipe in enumerate((process.stdin, process.stdout, process.stderr)):
        if pipe is not None and transport._pipes[fd] is None:
            pipe.close()


# ---- Watchers of asyncio, up to 3.13


def own_watcher() -> Any:
    """A child watcher that the program has set, to be used as asyncio does; None for asyncio's default."""
    if PY314:
        return None
    policy: Any = asyncio.get_event_loop_policy()
    default: Any = unix_events._UnixDefaultEventLoopPolicy
    if type(policy).get_child_watcher is not default.get_child_watcher:
        return None
    watcher = policy._watcher
    return None if type(watcher) in DEFAULT_WATCHERS else watcher


def tell_exit(pid: int, exit_code: int, loop: Loop, transport: SubprocessTransport) -> None:
    """Called by such a watcher, in any thread."""
    loop.call_soon_threadsafe(transport._process_exited, exit_code)
