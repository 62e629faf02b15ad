import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import Any, TypeVar, final

_T = TypeVar("_T")

@final
class Waiter: ...

@final
class FutureIter(Generator[Any, None, Any]):
    def __await__(self) -> FutureIter: ...
    def __iter__(self) -> FutureIter: ...
    def __next__(self) -> Any: ...
    def send(self, value: object) -> Any: ...
    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any: ...
    def close(self) -> None: ...

# An asyncio.Future to isinstance(); the class is not really derived from asyncio's.
class Future(asyncio.Future[_T]): ...
