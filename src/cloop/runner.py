"""Running: cloop.run, new_event_loop, and cloop as the loop of asyncio's own functions."""

import asyncio
import inspect
import sys
import warnings
from asyncio import coroutines, events
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from cloop import notice
from cloop.loop import Loop

_T = TypeVar("_T")


def new_event_loop() -> Loop:
    """A new loop: the loop factory for asyncio.run, asyncio.Runner, uvicorn and others."""
    return Loop()


def run(
    main: Awaitable[_T], *, debug: bool | None = None, loop_factory: Callable[[], Loop] | None = None
) -> _T:
    """Run a coroutine on a new cloop loop and return its result, as asyncio.run.

    `debug` is the loop's debug mode; None leaves it to PYTHONASYNCIODEBUG and `-X dev`. `loop_factory` makes
    the loop, which must be a cloop.Loop: TypeError otherwise. None stands for cloop.new_event_loop. `main`
    may be any awaitable; what is none raises what asyncio.run raises for it.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("cloop.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=loop_factory or new_event_loop) as runner:
        loop = runner.get_loop()
        if not isinstance(loop, Loop):
            raise TypeError(f"cloop.run() uses a loop that is none of cloop's: {loop!r}")
        # Before 3.14 asyncio.Runner takes coroutines alone.
        if not coroutines.iscoroutine(main) and inspect.isawaitable(main):
            main = awaiting(main)
        return runner.run(cast("Coroutine[Any, Any, _T]", main))


async def awaiting(awaitable: Awaitable[_T]) -> _T:
    """A coroutine that awaits it."""
    return await awaitable


if sys.version_info < (3, 16):
    with warnings.catch_warnings():
        # From 3.14 on the policy classes are deprecated, and so is this one: for who still has to
        # set a policy.
        warnings.simplefilter("ignore", DeprecationWarning)
        DefaultPolicy = asyncio.DefaultEventLoopPolicy

    class EventLoopPolicy(DefaultPolicy):
        """The version's own policy, with cloop's loops. Deprecated where asyncio's are."""

        def __init__(self) -> None:
            super().__init__()
            notice.watch(policy_is_cloops)

        def _loop_factory(self) -> Loop:
            return new_event_loop()

        def new_event_loop(self) -> Loop:
            """A new cloop loop."""
            return new_event_loop()

    def policy_is_cloops() -> bool:
        """Whether asyncio's policy is one of cloop's."""
        return isinstance(events._event_loop_policy, EventLoopPolicy)  # type: ignore[attr-defined]

    def set_policy() -> None:
        """Make asyncio's functions that ask the policy get cloop's loops."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.set_event_loop_policy(EventLoopPolicy())


def install() -> None:
    """Make cloop the loop of asyncio in this process.

    asyncio.run, asyncio.Runner, asyncio.new_event_loop and, where the version has policies,
    asyncio.get_event_loop make cloop loops from here on, unless they are given a loop factory.
    Deprecated from 3.12 on in favour of a loop factory.
    """
    if sys.version_info >= (3, 12):
        warnings.warn(
            "cloop.install() is deprecated in favor of cloop.run() starting with Python 3.12.",
            DeprecationWarning,
            stacklevel=2,
        )
    make_default()


def make_default() -> None:
    """What install() does, without a warning."""
    if sys.version_info < (3, 16):
        set_policy()
    else:
        asyncio.events.new_event_loop = asyncio.new_event_loop = new_event_loop
        asyncio.runners.events.new_event_loop = new_event_loop
    notice.watch(is_default)


def is_default() -> bool:
    """Whether nobody has gone back to asyncio's own loops. Who sets another policy hardly means that."""
    if sys.version_info < (3, 16):
        policy = events._event_loop_policy  # type: ignore[attr-defined]
        return policy is not None and type(policy) is not DefaultPolicy
    return asyncio.new_event_loop is new_event_loop
