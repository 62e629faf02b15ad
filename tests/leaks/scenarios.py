"""The table of scenarios, and how one is entered in it."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine

from tests.support import Implementation

SCENARIOS: dict[str, Callable[[Implementation], None]] = {}


def scenario(function: Callable[[Implementation], Coroutine[object, object, None] | None]):
    """Enter a scenario under its name with its module's before it; a coroutine gets a loop of its own."""

    @functools.wraps(function)
    def run(impl: Implementation) -> None:
        if not inspect.iscoroutinefunction(function):
            function(impl)
            return
        with asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
            runner.run(function(impl))

    SCENARIOS[f"{function.__module__.rpartition('.')[2]}.{function.__name__}"] = run
    return function
