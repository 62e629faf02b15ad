"""What Python tells of a coroutine, for the calls of streams, which are none of its own (api/streamio).

Who writes down the stack of a task, or asks by `cr_frame` whether a coroutine has begun, gets the frame
that asyncio's method has at the same point: of a coroutine that is made for that.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Generator
from typing import Any


def origin(depth: int) -> tuple[tuple[str, int, str], ...]:
    """Who makes a call, as a coroutine's cr_origin: of so many callers the file, line and function."""
    callers: list[tuple[str, int, str]] = []
    frame = sys._getframe(1)
    while frame is not None and len(callers) < depth:
        callers.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(callers)


class Standin:
    """A reader and writer that has nothing, so that each of asyncio's methods waits for more."""

    _exception = None
    _reader = None
    _eof = False
    _limit = 1
    _buffer = b""

    @types.coroutine
    def _wait_for_data(self, *_: Any) -> Generator[None]:
        yield

    read = readuntil = _drain_helper = _wait_for_data

    def is_closing(self) -> bool:
        return False


# What a writer asks is itself.
Standin._transport = Standin._protocol = Standin()  # type: ignore[attr-defined]


class Standby:
    """A coroutine of asyncio's method, at its beginning or where it waits, as long as it is kept."""

    __slots__ = ("coroutine", "waiting")

    def __init__(self, method: Callable[..., Any], *arguments: Any, waiting: bool) -> None:
        self.waiting = waiting
        self.coroutine = method(Standin(), *arguments)
        if waiting:
            self.coroutine.send(None)

    def __del__(self) -> None:
        # Else there would be a warning of one that was never awaited.
        self.coroutine.close()

    @property
    def frame(self) -> types.FrameType | None:
        """Where it stands."""
        return self.coroutine.cr_frame  # type: ignore[no-any-return]
