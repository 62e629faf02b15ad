"""Signal handlers that run in the loop.

The interpreter writes the number of a signal into the loop's pipe (signal.set_wakeup_fd; see
core/wakeup), where the loop reads it.

Derived from CPython's asyncio/unix_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import warnings
from asyncio import coroutines
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVarTuple

from cloop.core.handle import Handle

if TYPE_CHECKING:
    from cloop.loop import Loop

_Ts = TypeVarTuple("_Ts")

# A pipe with as many numbers in it may have been full, and some have been lost.
MAYBE_FULL = 4096

# 3.14 deprecates the public one and has a private one of its own.
iscoroutinefunction = getattr(coroutines, "_iscoroutinefunction", coroutines.iscoroutinefunction)


def read_signals(loop: Loop) -> None:
    """Schedule the handlers of the signals that arrived."""
    wakeup = loop._wakeup
    # Before the look into the pipe, where what comes after this is.
    noted = set(wakeup.noted)
    wakeup.noted.difference_update(noted)
    numbers = wakeup.read()
    for number in numbers:
        handle_signal(loop, number)
    if len(numbers) >= MAYBE_FULL:
        for number in noted.difference(numbers):
            handle_signal(loop, number)


def handle_signal(loop: Loop, sig: int) -> None:
    """Schedule the handler of a signal that arrived."""
    handle = loop._signal_handlers.get(sig)
    if handle is None:
        return  # removed meanwhile
    if handle.cancelled():
        loop.remove_signal_handler(sig)
    else:
        loop._add_callback(handle)


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
        # Each time: somebody else may have set another one; and it tells which thread this is.
        loop._wakeup.hold(Handle(read_signals, (loop,), loop, None))
    except (ValueError, OSError) as exc:
        raise RuntimeError(str(exc)) from exc
    loop._signal_handlers[sig] = Handle(callback, args, loop, None)
    try:
        # What is to be done is done by the loop, which is told by the wake-up descriptor.
        signal.signal(sig, loop._wakeup.noted)
        # System calls go on where the signal interrupted them.
        signal.siginterrupt(sig, False)
    except OSError as exc:
        del loop._signal_handlers[sig]
        let_go_if_unused(loop)
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
        let_go_if_unused(loop)
    return True


def let_go_if_unused(loop: Loop) -> None:
    """Give the wake-up descriptor back with the last handler."""
    if not loop._signal_handlers:
        loop._wakeup.let_go()


def remove_all(loop: Loop) -> None:
    """What close() does with the handlers that are left.

    All of them are given up, and the first error is raised: outside of the main thread, where the
    process's handlers can't be changed, that is ValueError.
    """
    if not loop._signal_handlers:
        # At the very end of the interpreter, nothing that this module imports is there any more.
        return
    failure = None
    if not sys.is_finalizing():
        for sig in list(loop._signal_handlers):
            try:
                loop.remove_signal_handler(sig)
            except (ValueError, OSError, RuntimeError) as exc:
                failure = failure or exc
        if failure is not None:
            raise failure
    else:
        warnings.warn(
            f"Closing the loop {loop!r} on interpreter shutdown stage, skipping signal handlers removal",
            ResourceWarning,
            source=loop,
            stacklevel=2,
        )
        # The pipe is the wakeup's, which gives the place back when it is closed.
        loop._signal_handlers.clear()


def leave_runner(loop: Loop) -> None:
    """In a forked child: Ctrl-C is KeyboardInterrupt, and no longer the Runner's, which would have
    the loop cancel its main task."""
    handler = signal.getsignal(signal.SIGINT)
    method = getattr(handler, "func", None)
    runner = getattr(method, "__self__", None)
    if isinstance(runner, asyncio.Runner) and runner._loop is loop:  # type: ignore[attr-defined]
        signal.signal(signal.SIGINT, signal.default_int_handler)
