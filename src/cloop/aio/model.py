"""What asyncio's own Future does, asked of it, where versions differ."""

from asyncio import futures
from typing import Any


class IdleLoop:
    """Just enough of a loop to ask asyncio's own Future and Task how they behave. Runs nothing."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *args: object, **keywords: object) -> None:
        pass


def wraps_stop_iteration() -> bool:
    """Whether this version makes a RuntimeError of a StopIteration, or refuses it (before 3.11.8 and
    3.12.2; CPython issue 112182)."""
    future: futures.Future[Any] = futures.Future(loop=IdleLoop())  # type: ignore[arg-type]
    try:
        future.set_exception(StopIteration())
    except TypeError:
        pass
    else:
        future.exception()  # seen, so that nobody reports it
    return future.done()
