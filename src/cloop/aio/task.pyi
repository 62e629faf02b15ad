import asyncio
from contextvars import Context
from typing import Any, TypeVar

from cloop.aio.future import Future

_T_co = TypeVar("_T_co", covariant=True)

# As asyncio's in the standard library's stubs: covariant although Future is not, since set_result
# always raises; and an asyncio.Task to isinstance().
class Task(Future[_T_co], asyncio.Task[_T_co]):  # type: ignore[type-var]
    # asyncio's has it from 3.12 on.
    def get_context(self) -> Context: ...
    def task_step(self, error: BaseException | None = None, /) -> None: ...
    def task_wakeup(self, future: asyncio.Future[Any], /) -> None: ...
