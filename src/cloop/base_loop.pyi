import asyncio
from asyncio.events import _TaskFactory
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, MutableSet
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from socket import socket
from typing import Any, TypeVar, TypeVarTuple

from _typeshed import FileDescriptorLike

from cloop.aio.future import Future
from cloop.api.exits import Watch
from cloop.core.handle import Handle
from cloop.core.reactor import Reactor
from cloop.core.views import ReadyView, ScheduledView
from cloop.core.wakeup import Wakeup

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

class BaseLoop(Reactor):
    def create_future(self) -> Future[Any]: ...
    # What a task factory makes is its own affair, so this promises no cloop.Task. `eager_start` is
    # for 3.14 and later, and for task factories that know it.
    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> asyncio.Task[_T]: ...
    def set_task_factory(self, factory: _TaskFactory | None) -> None: ...
    def get_task_factory(self) -> _TaskFactory | None: ...

    # ---- Running

    def run_forever(self) -> None: ...
    def run_until_complete(self, future: Awaitable[_T] | Generator[Any, None, _T]) -> _T: ...
    def is_running(self) -> bool: ...

    # ---- Debug mode

    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...

    # ---- asyncio's private names, and what the Python layer keeps

    _debug: bool
    _closed: bool
    _stopping: bool
    _clock_resolution: float
    _task_factory: _TaskFactory | None
    # A Selector, unless somebody has set another one.
    _selector: Any
    @property
    def _thread_id(self) -> int | None: ...
    @property
    def _ready(self) -> ReadyView: ...
    @property
    def _scheduled(self) -> ScheduledView: ...
    @property
    def _transports(self) -> dict[int, asyncio.BaseTransport]: ...
    def _run_once(self) -> None: ...
    def _add_callback(self, handle: asyncio.Handle) -> None: ...
    def _add_reader(
        self, fd: FileDescriptorLike, callback: Callable[[*_Ts], object], *args: *_Ts
    ) -> Handle: ...
    def _remove_reader(self, fd: FileDescriptorLike) -> bool: ...
    def _add_writer(
        self, fd: FileDescriptorLike, callback: Callable[[*_Ts], object], *args: *_Ts
    ) -> Handle: ...
    def _remove_writer(self, fd: FileDescriptorLike) -> bool: ...
    def _check_closed(self) -> None: ...
    def _check_thread(self) -> None: ...
    def _check_callback(self, callback: object, method: str) -> None: ...
    _exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    _default_executor: ThreadPoolExecutor | None
    _name_executor: ThreadPoolExecutor | None
    _executor_shutdown_called: bool
    _asyncgens: MutableSet[AsyncGenerator[Any, Any]]
    _asyncgens_shutdown_called: bool
    _signal_handlers: dict[int, Handle]
    _starts: deque[Future[None]] | None
    _under_way: dict[int, Future[None] | None]
    _exits: dict[int, Watch]
    equips_streams: bool
    writer_protocol: asyncio.BaseProtocol | None
    _self_pipe: tuple[socket, socket] | None
    _unix_server_sockets: dict[socket, int]
    def _check_running(self) -> None: ...
    def _release(self) -> bool: ...
    def _is_taken_apart(self) -> bool: ...
    def _watched(self) -> dict[int, tuple[object, object]]: ...
    @property
    def _wakeup(self) -> Wakeup: ...
    def _leave_to_parent(self) -> None: ...
    def _follow_overrides(
        self, call_soon: bool, call_soon_threadsafe: bool, call_at: bool, time: bool
    ) -> None: ...

def before_fork() -> None: ...
def after_fork_in_child() -> None: ...
