"""Signal handlers that run in the loop.

The interpreter writes the number of a signal into a pipe (signal.set_wakeup_fd), which wakes the
loop; the pipe is there only while there are handlers.

Derived from CPython's asyncio/unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from asyncio import coroutines
from asyncio.log import logger
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, TypeVarTuple

from cloop.core.handle import Handle

if TYPE_CHECKING:
    from cloop.loop import Loop

_Ts = TypeVarTuple("_Ts")

READ_SIZE = 4096

# 3.14 deprecates the public one and has a private one of its own.
iscoroutinefunction = getattr(coroutines, "_iscoroutinefunction", coroutines.iscoroutinefunction)


class SignalPipe:
    """The pipe of one loop, and the wake-up descriptor that was set before."""

    def __init__(self, loop: Loop) -> None:
        self.reader, self.writer = os.pipe()
        try:
            os.set_blocking(self.reader, False)
            os.set_blocking(self.writer, False)
            # Raises ValueError outside of the main thread: then no handler can be added.
            self.previous = signal.set_wakeup_fd(self.writer)
        except BaseException:
            self.close_fds()
            raise
        loop.add_reader(self.reader, read_signals, loop)

    def close(self, loop: Loop) -> None:
        """Give the wake-up descriptor back and close the pipe."""
        try:
            signal.set_wakeup_fd(self.previous)
        except (ValueError, OSError) as exc:
            logger.info("set_wakeup_fd(%s) failed: %s", self.previous, exc)
        loop.remove_reader(self.reader)
        self.close_fds()

    def close_fds(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


def read_signals(loop: Loop) -> None:
    """Schedule the handlers of the signals that arrived."""
    pipe = loop._signal_pipe
    if pipe is None:
        return
    try:
        numbers = os.read(pipe.reader, READ_SIZE)
    except (BlockingIOError, InterruptedError):
        return
    for number in numbers:
        handle_signal(loop, number)


def handle_signal(loop: Loop, sig: int) -> None:
    """Schedule the handler of a signal that arrived."""
    handle = loop._signal_handlers.get(sig)
    if handle is None:
        return  # removed meanwhile
    if handle.cancelled():
        remove_signal_handler(loop, sig)
    else:
        loop._add_callback(handle)


def ignore_in_interpreter(signum: int, frame: FrameType | None) -> None:
    """The handler that Python sees; what is to be done is done by the loop."""


def check_signal(sig: int) -> None:
    """TypeError for what is no number, ValueError for what is no signal."""
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


def add_signal_handler(loop: Loop, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
    """Call callback(*args) in the loop when a signal arrives.

    Only in the main thread. Raises ValueError for a number that is no signal, RuntimeError where it
    can't be caught or the thread is not the main one.
    """
    if coroutines.iscoroutine(callback) or iscoroutinefunction(callback):
        raise TypeError("coroutines cannot be used with add_signal_handler()")
    check_signal(sig)
    loop._check_closed()
    try:
        if loop._signal_pipe is None:
            loop._signal_pipe = SignalPipe(loop)
        else:
            # Somebody else may have set it meanwhile; and it tells which thread this is.
            signal.set_wakeup_fd(loop._signal_pipe.writer)
    except (ValueError, OSError) as exc:
        raise RuntimeError(str(exc)) from exc
    loop._signal_handlers[sig] = Handle(callback, args, loop, None)
    try:
        signal.signal(sig, ignore_in_interpreter)
        # System calls go on where the signal interrupted them.
        signal.siginterrupt(sig, False)
    except OSError as exc:
        del loop._signal_handlers[sig]
        drop_pipe_if_unused(loop)
        if exc.errno == errno.EINVAL:
            raise RuntimeError(f"sig {sig} cannot be caught") from exc
        raise


def remove_signal_handler(loop: Loop, sig: int) -> bool:
    """Back to the signal's default action. Returns whether there was a handler."""
    check_signal(sig)
    try:
        del loop._signal_handlers[sig]
    except KeyError:
        return False
    handler = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
    try:
        signal.signal(sig, handler)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            raise RuntimeError(f"sig {sig} cannot be caught") from exc
        raise
    finally:
        drop_pipe_if_unused(loop)
    return True


def drop_pipe_if_unused(loop: Loop) -> None:
    """Close the pipe with the last handler."""
    if not loop._signal_handlers and loop._signal_pipe is not None:
        pipe, loop._signal_pipe = loop._signal_pipe, None
        pipe.close(loop)


def remove_all(loop: Loop) -> None:
    """What close() does with the handlers that are left."""
    if not loop._signal_handlers:
        # At the very end of the interpreter, nothing that this module imports is there any more.
        return
    if not sys.is_finalizing():
        for sig in list(loop._signal_handlers):
            remove_signal_handler(loop, sig)
    else:
        warnings.warn(
            f"Closing the loop {loop!r} on interpreter shutdown stage, skipping signal handlers removal",
            ResourceWarning,
            source=loop,
            stacklevel=2,
        )
        loop._signal_handlers.clear()
        drop_pipe_if_unused(loop)
