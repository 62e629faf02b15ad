import asyncio
import concurrent.futures
from typing import Any, TypeVar, final

_T = TypeVar("_T")

@final
class Bridge:
    def __call__(self, source: concurrent.futures.Future[Any]) -> None: ...

def wrap(source: concurrent.futures.Future[_T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[_T]: ...
