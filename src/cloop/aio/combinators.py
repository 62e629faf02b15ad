"""wait, wait_for, and the names of gather, shield, as_completed and run_coroutine_threadsafe.

Coroutine functions are plain Python, for their frames and line numbers; what runs for each future
is in `latch`. The last two are asyncio's own: what they cost is in the futures under them.

Derived in its rules and messages from CPython's asyncio/tasks.py (PSF License Agreement).
"""

import sys
from asyncio import as_completed, coroutines, events, futures, run_coroutine_threadsafe
from asyncio import wait as asyncio_wait
from asyncio import wait_for as asyncio_wait_for
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

from cloop.aio.latch import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    Deadline,
    Latch,
    gather,
    holds_coroutine,
    shield,
)
from cloop.core.reactor import Reactor

__all__ = (
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "as_completed",
    "gather",
    "run_coroutine_threadsafe",
    "shield",
    "wait",
    "wait_for",
)


_T = TypeVar("_T")
_F = TypeVar("_F", bound=futures.Future[Any])


async def wait(
    fs: Iterable[_F], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[_F], set[_F]]:
    """Wait for futures and tasks: until all are done, the first, or the first exception.

    `timeout` is in seconds, None without limit. Returns (done, pending), two sets. Raises TypeError
    for coroutines, ValueError for an empty set or an unknown `return_when`. As asyncio.wait.
    """
    if futures.isfuture(fs) or coroutines.iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(f"Invalid return_when value: {return_when}")
    fs = set(fs)
    if holds_coroutine(fs):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly.")
    loop = events.get_running_loop()
    if not isinstance(loop, Reactor):
        return await asyncio_wait(fs, timeout=timeout, return_when=return_when)
    latch = Latch(loop, fs, return_when)
    timer = None if timeout is None else loop.call_later(timeout, latch.open)
    try:
        await latch.opened
    finally:
        if timer is not None:
            timer.cancel()
        latch.release()
    return latch.split(fs)


if sys.version_info < (3, 12):
    # There a coroutine runs in a task of its own, and a cancellation has other rules.
    wait_for = asyncio_wait_for
else:

    async def wait_for(fut: Awaitable[_T], timeout: float | None) -> _T:
        """The result of an awaitable, or TimeoutError after `timeout` seconds (None: no limit).

        When the time is over the awaitable is cancelled. As asyncio.wait_for.
        """
        if timeout is not None and timeout <= 0:
            return await asyncio_wait_for(fut, timeout)
        with Deadline(timeout):
            return await fut
