"""Runs one random program on one loop, and writes down all that happens in order.

Time is virtual: it goes on by one second when nothing has happened for a few turns of the loop. So both
loops see the same, however busy the machine is.
"""

import asyncio
import contextvars
import gc
import re
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.support import PY312, Implementation

# An operation: its name and its arguments, which are plain values or operations again.
Op = tuple[Any, ...]

QUIET_TURNS = 6
TURNS = 600
LAST_TURNS = 60
# How many times scripts may be run by one program, since they run each other.
RUNS = 40

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


class OwnError(Exception):
    """An exception that only the programs raise."""


ERRORS: dict[str, Callable[[], BaseException]] = {
    "own": lambda: OwnError("own"),
    "value": lambda: ValueError("value"),
    "cancelled": lambda: asyncio.CancelledError("by hand"),
    "timeout": lambda: TimeoutError("by hand"),
    "stop": lambda: StopIteration("by hand"),
    "exit": lambda: SystemExit("by hand"),
}


@dataclass
class Program:
    """What is run: scripts, each a list of operations. The first ones are begun at the start."""

    scripts: list[list[Op]]
    begun: int = 2
    futures: int = 3
    # How tasks are made: "", "eager", "asyncio" (its tasks, on either loop), "asyncio eager".
    factory: str = ""
    # gather(), wait()... of the implementation, or asyncio's.
    own: bool = True
    debug: bool = False
    limit: int = 8
    extra: dict[str, Any] = field(default_factory=dict)


def plain(text: str) -> str:
    """Text without addresses and places in files."""
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    text = re.sub(r"(created at|at) [^ >]*:\d+", r"\1 there", text)
    # How functions hear of futures is their own affair.
    text = re.sub(r" cb=\[.*?\](?=[ >])", "", text)
    text = re.sub(r"in callback .*", "in callback", text)
    return re.sub(r"\b(cloop|asyncio|_asyncio)(\.\w+)*\.", "", text)


def describe(error: BaseException | None) -> str:
    """An exception with those that led to it."""
    if error is None:
        return "none"
    # Where the stack's end is met is nobody's affair.
    words = "" if isinstance(error, RecursionError) else plain(str(error))
    text = f"{type(error).__name__}({words})"
    if isinstance(error, BaseExceptionGroup):
        text += "[" + ", ".join(describe(each) for each in error.exceptions) + "]"
    if error.__cause__ is not None:
        text += f" from {type(error.__cause__).__name__}"
    elif error.__context__ is not None and not error.__suppress_context__:
        text += f" in {type(error.__context__).__name__}"
    return text


class Transport(asyncio.Transport):
    """What a reader tells to pause and to go on."""

    def __init__(self, note: Callable[..., None]) -> None:
        super().__init__()
        self.note = note

    def pause_reading(self) -> None:
        self.note("transport", "paused")

    def resume_reading(self) -> None:
        self.note("transport", "resumed")

    def is_closing(self) -> bool:
        return False


class Run:
    """One run of a program."""

    def __init__(self, impl: Implementation, program: Program) -> None:
        self.impl = impl
        self.program = program
        self.trace: list[str] = []
        self.late: list[str] = []
        self.now = 0
        self.quiet = self.turns = self.runs = 0
        self.over = False
        self.module: Any = impl.module if program.own else asyncio
        self.loop: Any = impl.new_event_loop()
        self.asked = 0
        self.loop.time = self.time
        self.loop.set_debug(program.debug)
        self.loop.slow_callback_duration = 1e9
        self.loop.set_exception_handler(self.reported)
        self.set_factory()

    def set_factory(self) -> None:
        """Set the way tasks are made."""
        made_by = asyncio.Task if "asyncio" in self.program.factory else self.impl.Task
        if "eager" in self.program.factory and PY312:
            self.loop.set_task_factory(asyncio.create_eager_task_factory(made_by))
        elif "asyncio" in self.program.factory:
            self.loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))

    def time(self) -> float:
        """The clock. It never says the same twice: asyncio has no order for timers of the same time."""
        self.asked += 1
        return self.now + self.asked * 1e-6

    def note(self, *what: object) -> None:
        """Write down that something has happened."""
        self.trace.append(" ".join(str(each) for each in what))
        self.quiet = 0

    def reported(self, loop: object, context: dict[str, Any]) -> None:
        """The exception handler."""
        keys = ",".join(sorted(context))
        if isinstance(context.get("exception"), RecursionError):
            # Out of a task's step it is a callback's in asyncio, which has a handle.
            keys = keys.replace("message,task", "handle,message")
        text = f"REPORT {plain(context['message'])} {describe(context.get('exception'))} {keys}"
        if "never retrieved" in text:
            # When nobody has it any more, which is no order of the loop's.
            self.late.append(text)
        else:
            self.note(text)

    # ---- The course of it

    def run(self) -> list[str]:
        """Run it; the trace."""
        asyncio.set_event_loop(self.loop)
        try:
            self.begin()
            self.go_on()
            self.end()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        self.objects()
        return self.trace

    def begin(self) -> None:
        """Make everything, and the first tasks."""
        self.futures = [self.loop.create_future() for _ in range(self.program.futures)]
        self.tasks: list[Any] = []
        self.handles: list[Any] = []
        # One pair to be watched, one for operations: both on one descriptor are each loop's own affair.
        self.left, self.right = socket.socketpair()
        self.receiving, self.sending = socket.socketpair()
        for sock in self.sockets():
            sock.setblocking(False)
        self.reader = self.make_reader()
        self.loop.call_soon(self.make_first)
        self.loop.call_soon(self.tick)

    def sockets(self) -> tuple[socket.socket, ...]:
        """All sockets."""
        return self.left, self.right, self.receiving, self.sending

    def make_first(self) -> None:
        """Begin the scripts that are begun at the start; and what needs a running loop."""
        self.queue: asyncio.Queue[int] = asyncio.Queue(2)
        self.lock, self.event, self.semaphore = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
        self.condition = asyncio.Condition()
        for i in range(min(self.program.begun, len(self.program.scripts))):
            self.spawn(i)

    def make_reader(self) -> asyncio.StreamReader:
        """A reader of the implementation, which tells its transport when it has too much."""
        if self.impl.is_cloop and self.program.own:
            from cloop.api.streams import make_reader

            reader = make_reader(self.loop, self.program.limit)
        else:
            reader = asyncio.StreamReader(self.program.limit, self.loop)
        reader.set_transport(Transport(self.note))
        return reader

    def go_on(self) -> None:
        """Run until the turns are over, also where something ends the loop before."""
        for _ in range(20):
            try:
                self.loop.run_forever()
            except BaseException as error:
                self.note("the loop ended with", describe(error))
            else:
                break
        self.over = True

    def tick(self) -> None:
        """Each turn: let time go on if nothing happens."""
        self.turns += 1
        self.quiet += 1
        if self.quiet > QUIET_TURNS:
            self.now += 1
            self.quiet = 0
        if self.turns < TURNS and self.now < 12:
            self.loop.call_soon(self.tick)
        else:
            self.loop.stop()

    def end(self) -> None:
        """Cancel what is not over, and say how everything ended."""
        self.note("THE END")
        for task in self.tasks:
            if not task.done():
                task.cancel("at the end")
        self.turns, self.now = TURNS - LAST_TURNS, 0
        self.loop.call_soon(self.tick)
        self.go_on()
        for sock in self.sockets():
            self.loop.remove_reader(sock)
            self.loop.remove_writer(sock)
            sock.close()
        for kind, some in ("task", self.tasks), ("future", self.futures):
            for i, future in enumerate(some):
                self.note(kind, i, state(future))

    def objects(self) -> None:
        """Let everything go: what nobody has asked for is reported, in any order."""
        before = len(self.trace)
        self.futures = self.tasks = self.handles = []
        for name in ("queue", "lock", "event", "semaphore", "condition", "reader"):
            setattr(self, name, None)
        gc.collect()
        # What coroutines do whose loop is closed is their own affair.
        reports = [line for line in self.trace[before:] if line.startswith("REPORT")]
        self.trace[before:] = sorted(reports + self.late)

    # ---- Scripts

    def spawn(self, script: int) -> Any:
        """Make a task of a script."""
        number = len(self.tasks)
        self.tasks.append(None)
        coro = self.script(script, f"t{number}")
        task = self.loop.create_task(coro, name=f"t{number}")
        self.tasks[number] = task
        return task

    async def script(self, index: int, who: str) -> object:
        """The coroutine of a script."""
        self.runs += 1
        if self.runs > RUNS or self.over:
            return "too many"
        for step, (catch, op) in enumerate(self.program.scripts[index]):
            try:
                result = await self.do(op, who)
            except BaseException as error:
                self.note(who, step, op[0], "raised", describe(error))
                if not catch or isinstance(error, SystemExit | GeneratorExit):
                    raise
            else:
                self.note(who, step, op[0], show(result))
            if op[0] == "return":
                return op[1]
        return index

    async def do(self, op: Op, who: str) -> object:
        """Do an operation."""
        name, *args = op
        if method := getattr(self, f"sync_{name}", None):
            return method(*args)
        return await getattr(self, f"async_{name}")(who, *args)

    def some_task(self, index: int) -> Any:
        """A task, or a future where there is none yet."""
        made = [task for task in self.tasks if task is not None]
        return made[index % len(made)] if made else self.some_future(index)

    def some_future(self, index: int) -> Any:
        """A future."""
        return self.futures[index % len(self.futures)]

    def awaitable(self, ref: tuple[str, int]) -> Any:
        """What a reference stands for: a future, a task, or a new coroutine."""
        kind, index = ref
        if kind == "future":
            return self.some_future(index)
        if kind == "task":
            return self.some_task(index)
        return self.script(index % len(self.program.scripts), f"c{self.runs}")

    def named(self, future: Any) -> str:
        """Which future or task it is."""
        for kind, some in ("task", self.tasks), ("future", self.futures):
            for i, each in enumerate(some):
                if each is future:
                    return f"{kind}{i}"
        return "another"

    # ---- Operations that wait

    async def async_sleep(self, who: str, seconds: int) -> None:
        await asyncio.sleep(seconds)

    async def async_await(self, who: str, ref: tuple[str, int]) -> object:
        return await self.awaitable(ref)

    async def async_gather(self, who: str, refs: list, return_exceptions: bool) -> object:
        some = [self.awaitable(ref) for ref in refs]
        results = await self.module.gather(*some, return_exceptions=return_exceptions)
        return [describe(each) if isinstance(each, BaseException) else each for each in results]

    async def async_wait(self, who: str, refs: list, when: str, timeout: int | None) -> object:
        some = [self.awaitable(ref) for ref in refs if ref[0] != "coroutine"]
        done, pending = await self.module.wait(some, timeout=timeout, return_when=when)
        return [sorted(map(self.named, done)), sorted(map(self.named, pending))]

    async def async_wait_for(self, who: str, ref: tuple[str, int], timeout: int | None) -> object:
        return await self.module.wait_for(self.awaitable(ref), timeout)

    async def async_shield(self, who: str, ref: tuple[str, int]) -> object:
        return await self.module.shield(self.awaitable(ref))

    async def async_as_completed(self, who: str, refs: list, timeout: int | None) -> object:
        some = [self.awaitable(ref) for ref in refs]
        results = []
        for each in self.module.as_completed(some, timeout=timeout):
            try:
                results.append(await each)
            except OwnError as error:
                results.append(describe(error))
        return results

    async def async_timeout(self, who: str, seconds: int, op: Op) -> object:
        async with asyncio.timeout(seconds):
            return await self.do(op, who)

    async def async_group(self, who: str, scripts: list[int]) -> object:
        async with asyncio.TaskGroup() as group:
            for i in scripts:
                index = i % len(self.program.scripts)
                self.tasks.append(group.create_task(self.script(index, f"g{self.runs}"), name="grouped"))
        return "group"

    async def async_put(self, who: str, value: int) -> None:
        await self.queue.put(value)

    async def async_get(self, who: str) -> int:
        return await self.queue.get()

    async def async_locked(self, who: str, which: str, op: Op) -> object:
        async with getattr(self, which):
            return await self.do(op, who)

    async def async_event(self, who: str) -> object:
        return await self.event.wait()

    async def async_condition(self, who: str) -> object:
        async with self.condition:
            self.condition.notify(1)
            return await self.condition.wait()

    async def async_read(self, who: str, how: str, *args: object) -> object:
        return bytes(await getattr(self.reader, how)(*args))

    async def async_receive(self, who: str, size: int) -> object:
        return await self.loop.sock_recv(self.receiving, size)

    async def async_send(self, who: str, data: bytes) -> object:
        return await self.loop.sock_sendall(self.sending, data)

    async def async_eager(self, who: str, index: int) -> object:
        return await self.spawn(index % len(self.program.scripts))

    # ---- Operations that don't

    def sync_set(self, index: int, value: object) -> None:
        self.some_future(index).set_result(value)

    def sync_fail(self, index: int, error: str) -> None:
        self.some_future(index).set_exception(ERRORS[error]())

    def sync_cancel(self, ref: tuple[str, int], message: str | None) -> object:
        future = self.awaitable(ref)
        return future.cancel() if message is None else future.cancel(message)

    def sync_look(self, ref: tuple[str, int]) -> str:
        return state(self.awaitable(ref))

    def sync_show(self, ref: tuple[str, int]) -> str:
        return plain(repr(self.awaitable(ref)))

    def sync_counts(self, index: int) -> object:
        task = self.some_task(index)
        return [task.cancelling(), task.uncancel()] if hasattr(task, "uncancel") else None

    def sync_callback(self, ref: tuple[str, int], tag: int) -> None:
        self.awaitable(ref).add_done_callback(self.called(tag))

    def sync_remove_callbacks(self, ref: tuple[str, int], tag: int) -> object:
        return self.awaitable(ref).remove_done_callback(self.called(tag))

    def sync_acting_callback(self, ref: tuple[str, int], op: Op) -> None:
        self.awaitable(ref).add_done_callback(lambda future: self.act("callback", op))

    def sync_spawn(self, index: int) -> None:
        self.spawn(index % len(self.program.scripts))

    def sync_put_nowait(self, value: int) -> None:
        self.queue.put_nowait(value)

    def sync_get_nowait(self) -> int:
        return self.queue.get_nowait()

    def sync_set_event(self, on: bool) -> None:
        (self.event.set if on else self.event.clear)()

    def sync_soon(self, op: Op) -> None:
        self.handles.append(self.loop.call_soon(self.act, "soon", op))

    def sync_later(self, seconds: int, op: Op) -> None:
        self.handles.append(self.loop.call_later(seconds, self.act, "later", op))

    def sync_cancel_handle(self, index: int) -> object:
        if not self.handles:
            return None
        handle = self.handles[index % len(self.handles)]
        handle.cancel()
        return handle.cancelled()

    def sync_feed(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def sync_feed_eof(self) -> None:
        self.reader.feed_eof()

    def sync_fail_reader(self, error: str) -> None:
        if self.reader._buffer:
            # On asyncio a task that waits for a line, and was woken with less, waits for ever; on cloop it
            # gets the exception.
            return
        self.reader.set_exception(ERRORS[error]())

    def sync_look_at_reader(self) -> object:
        return [self.reader.at_eof(), describe(self.reader.exception()), bytes(self.reader._buffer)]

    def sync_new_reader(self) -> None:
        self.reader = self.make_reader()

    def sync_watch(self, write: bool, tag: int) -> None:
        (self.loop.add_writer if write else self.loop.add_reader)(self.left, self.watched, write, tag)

    def sync_unwatch(self, write: bool) -> object:
        return (self.loop.remove_writer if write else self.loop.remove_reader)(self.left)

    def sync_send_now(self, data: bytes) -> int:
        self.sending.send(data)
        return self.right.send(data)

    def sync_variable(self, value: int) -> int:
        before = variable.get()
        variable.set(value)
        return before

    def sync_raise(self, error: str) -> None:
        raise ERRORS[error]()

    def sync_return(self, value: object) -> object:
        return value

    def sync_current(self) -> object:
        task = asyncio.current_task()
        names = sorted(each.get_name() for each in asyncio.all_tasks())
        return [task and task.get_name(), names]

    # ---- Callbacks

    def called(self, tag: int) -> Callable[[Any], None]:
        """A callback of a future; two of one tag are equal."""
        return Called(self, tag)

    def act(self, who: str, op: Op) -> None:
        """A callback that does an operation, and raises what that raises."""
        if self.over and who != "callback":
            return
        try:
            result = getattr(self, f"sync_{op[0]}")(*op[1:])
        except BaseException as error:
            self.note(who, op[0], "raised", describe(error))
            raise
        self.note(who, op[0], show(result))

    def watched(self, write: bool, tag: int) -> None:
        """A descriptor is ready."""
        self.note("ready", "to write" if write else "to read", tag)
        if write:
            self.loop.remove_writer(self.left)
            return
        try:
            data = self.left.recv(3)
        except BlockingIOError:
            data = b"nothing"
        self.note("received", data)
        if not data:
            self.loop.remove_reader(self.left)


class Called:
    """A callback with a tag."""

    def __init__(self, run: Run, tag: int) -> None:
        self.run = run
        self.tag = tag

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Called) and other.tag == self.tag

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, future: Any) -> None:
        self.run.note("callback", self.tag, "of", self.run.named(future), state(future), variable.get())
        if self.tag == 0:
            raise OwnError("of a callback")


def state(future: Any) -> str:
    """How a future or task is."""
    if asyncio.iscoroutine(future):
        future.close()
        return "coroutine"
    if not future.done():
        return "pending"
    if future.cancelled():
        return "cancelled"
    error = future.exception()
    return f"raised {describe(error)}" if error else f"result {show(future.result())}"


def show(value: object) -> str:
    """A result."""
    if isinstance(value, asyncio.Future | Coroutine):
        return type(value).__name__
    return plain(repr(value))
