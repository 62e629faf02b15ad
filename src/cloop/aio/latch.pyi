import asyncio

# Their signatures are asyncio's own, overloads and all.
from asyncio import gather as gather
from asyncio import shield as shield
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Final, TypeVar, final

from cloop.aio.future import Future
from cloop.core.reactor import Reactor

_T = TypeVar("_T")
_F = TypeVar("_F", bound=asyncio.Future[Any])

FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"
ALL_COMPLETED: Final = "ALL_COMPLETED"

@final
class Link: ...

def holds_coroutine(members: Iterable[Any]) -> bool: ...

@final
class Latch:
    def __new__(cls, loop: Reactor, members: Collection[asyncio.Future[Any]], return_when: str) -> Latch: ...
    @property
    def opened(self) -> Future[None]: ...
    def open(self) -> None: ...
    def on_done(self, future: asyncio.Future[Any]) -> None: ...
    def split(self, members: Iterable[_F]) -> tuple[set[_F], set[_F]]: ...
    def release(self) -> None: ...

@final
class _GatheringFuture(Future[list[_T]]):
    def on_done(self, child: asyncio.Future[_T]) -> None: ...

@final
class ShieldedFuture(Future[_T]):
    def on_done(self, inner: asyncio.Future[_T]) -> None: ...
    def outer_done(self, _: asyncio.Future[_T]) -> None: ...

@final
class Deadline:
    def __init__(self, delay: float | None) -> None: ...
    def __enter__(self) -> Deadline: ...
    def expire(self) -> None: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
