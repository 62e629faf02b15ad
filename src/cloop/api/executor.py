"""Executors: calls that block, in threads.

Name look-ups have a few threads of their own, so that they need not wait for whatever blocks in the default
executor, perhaps for a connection that waits for a name. A program that sets a default executor decides
what its threads do, and has the look-ups in it too.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from cloop.aio.bridge import wrap

if TYPE_CHECKING:
    from cloop.loop import Loop

# Of the threads for name look-ups, the beginning of their names.
NAMES = "asyncio-names"
# Look-ups that are made at a time.
MOST_LOOK_UPS = 8

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


def run_in_executor(
    loop: Loop, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
) -> asyncio.Future[_T]:
    """Call func(*args) in an executor; None for the default one. Returns a Future."""
    loop._check_closed()
    if loop.get_debug():
        loop._check_callback(func, "run_in_executor")
    if executor is None:
        executor = loop._default_executor
        if loop._executor_shutdown_called:
            raise RuntimeError("Executor shutdown has been called")
        if executor is None:
            executor = ThreadPoolExecutor(thread_name_prefix="asyncio")
            loop._default_executor = executor
    return wrap(executor.submit(func, *args), loop)


def set_default_executor(loop: Loop, executor: ThreadPoolExecutor) -> None:
    """Use a ThreadPoolExecutor where run_in_executor() is given None, and to look up names.

    TypeError for others.
    """
    if not isinstance(executor, ThreadPoolExecutor):
        raise TypeError("executor must be ThreadPoolExecutor instance")
    before = loop._name_executor
    loop._default_executor = loop._name_executor = executor
    if before is not None and before._thread_name_prefix == NAMES:
        before.shutdown(wait=False)


def name_executor(loop: Loop) -> ThreadPoolExecutor | None:
    """The one for name look-ups; None once there is none any more, which run_in_executor() then says."""
    if loop._name_executor is None and not loop._executor_shutdown_called:
        loop._name_executor = ThreadPoolExecutor(MOST_LOOK_UPS, thread_name_prefix=NAMES)
    return None if loop._executor_shutdown_called else loop._name_executor


def shut_down(loop: Loop, wait: bool) -> None:
    """End the threads of both, once they have done their work; with `wait`, return then."""
    for executor in (loop._default_executor, loop._name_executor):
        if executor is not None:
            executor.shutdown(wait=wait)


async def shutdown_default_executor(loop: Loop, timeout: float | None = None) -> None:
    """Wait for the threads, of name look-ups too, `timeout` seconds at most; then warn and go on."""
    loop._executor_shutdown_called = True
    if loop._default_executor is None and loop._name_executor is None:
        return
    future = loop.create_future()
    thread = threading.Thread(target=shut_down_in_thread, args=(loop, future))
    thread.start()
    if sys.version_info < (3, 12):
        # No time-out before 3.12.
        try:
            await future
        finally:
            thread.join()
        return
    try:
        async with asyncio.timeout(timeout):
            await future
    except TimeoutError:
        warnings.warn(
            f"The executor did not finishing joining its threads within {timeout} seconds.",
            RuntimeWarning,
            stacklevel=2,
        )
        shut_down(loop, wait=False)
    else:
        thread.join()


def shut_down_in_thread(loop: Loop, future: asyncio.Future[None]) -> None:
    """Wait for the executors in a thread of its own, and tell the loop."""
    try:
        shut_down(loop, wait=True)
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, future, None)
    except Exception as exc:
        if not loop.is_closed() and not future.cancelled():
            loop.call_soon_threadsafe(finish, future, exc)


def finish(future: asyncio.Future[None], exception: Exception | None) -> None:
    """Complete a future that may be cancelled meanwhile."""
    if future.done():
        return
    if exception is None:
        future.set_result(None)
    else:
        future.set_exception(exception)
