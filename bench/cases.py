"""The scheduling cases: what one operation of each is, written once for every program that measures them.

A body takes a loop that is not running and a count, and performs that many operations; whoever calls it
takes the time. It may return counts of what should not have happened, for the report. The programs inside
the bodies are ordinary asyncio programs: the same for every loop, with nothing a particular loop would
recognise.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from .loops import CLOOP, Loop

Figures = dict[str, float]
Body = Callable[[Loop, int], Figures | None]
Crowd = Callable[[Loop], AbstractContextManager[None]]

BATCH = 100  # tasks that gather, wait, TaskGroup and the task switch have at a time
SLEEP_NS = 1_000_000
# Deadlines are float seconds, exact to about 2 ns after some months of uptime; asyncio itself allows 1 ns.
EARLY_TOLERANCE_NS = 10


def nothing() -> None:
    """The callback that costs least."""


async def nothing_async() -> None:
    """The coroutine that costs least."""


async def one_turn() -> None:
    """A coroutine that suspends once."""
    await asyncio.sleep(0)


# -- callbacks ----------------------------------------------------------------------------------------------


def call_soon_chain(loop: Loop, n: int) -> None:
    """Each callback schedules the next: one turn of the loop per operation."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


def call_soon_burst(loop: Loop, n: int) -> None:
    """All callbacks are scheduled first and then run in one turn."""
    for _ in range(n):
        loop.call_soon(nothing)
    loop.call_soon(loop.stop)
    loop.run_forever()


def call_soon_threadsafe(loop: Loop, n: int) -> None:
    """Another thread schedules all callbacks on the running loop."""

    def post() -> None:
        for _ in range(n):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=post)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()


# -- tasks and futures --------------------------------------------------------------------------------------


def task_switch(loop: Loop, n: int) -> None:
    """`BATCH` tasks take turns by sleep(0); an operation is one task resumed."""

    async def spin() -> None:
        for _ in range(n // BATCH):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*[spin() for _ in range(BATCH)])

    loop.run_until_complete(main())


def future_wakeup(loop: Loop, n: int) -> None:
    """Make a future, have a callback complete it, await it."""

    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    loop.run_until_complete(main())


def future_value(loop: Loop, n: int) -> None:
    """The same with a value, which `await` returns."""

    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_result, 7)
            await future

    loop.run_until_complete(main())


def future_error(loop: Loop, n: int) -> None:
    """The same with an exception, which `await` raises and the task catches."""

    async def main() -> None:
        for _ in range(n):
            future = loop.create_future()
            loop.call_soon(future.set_exception, LookupError())
            try:
                await future
            except LookupError:
                pass

    loop.run_until_complete(main())


def wait_cancelled(loop: Loop, n: int) -> None:
    """A task waits for a future; another one cancels the task and awaits it, and makes the next."""

    async def stand() -> None:
        await loop.create_future()

    async def main() -> None:
        for _ in range(n):
            task = asyncio.create_task(stand())
            await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

    loop.run_until_complete(main())


def create_task_await(loop: Loop, n: int) -> None:
    """Make a task of a coroutine that does nothing, and await it."""

    async def main() -> None:
        for _ in range(n):
            await asyncio.create_task(nothing_async())

    loop.run_until_complete(main())


def gather_batch(loop: Loop, n: int, gather: Callable[..., Any] = asyncio.gather) -> None:
    """gather of `BATCH` coroutines; an operation is one coroutine."""

    async def main() -> None:
        for _ in range(n // BATCH):
            await gather(*[nothing_async() for _ in range(BATCH)])

    loop.run_until_complete(main())


def wait_batch(loop: Loop, n: int, wait: Callable[..., Any] = asyncio.wait) -> None:
    """wait for `BATCH` tasks; an operation is one task, its making included."""

    async def main() -> None:
        for _ in range(n // BATCH):
            await wait([asyncio.create_task(nothing_async()) for _ in range(BATCH)])

    loop.run_until_complete(main())


def wait_for_coroutine(loop: Loop, n: int, wait_for: Callable[..., Any] = asyncio.wait_for) -> None:
    """wait_for a coroutine that suspends once, with a time-out of 10 s that is never reached."""

    async def main() -> None:
        for _ in range(n):
            await wait_for(one_turn(), 10)

    loop.run_until_complete(main())


def task_group_batch(loop: Loop, n: int) -> None:
    """A TaskGroup of `BATCH` tasks; an operation is one task."""

    async def main() -> None:
        for _ in range(n // BATCH):
            async with asyncio.TaskGroup() as group:
                for _ in range(BATCH):
                    group.create_task(nothing_async())

    loop.run_until_complete(main())


def queue_ping_pong(loop: Loop, n: int) -> None:
    """Two tasks pass an item to and fro through two queues; an operation is one item put and got."""

    async def main() -> None:
        there: asyncio.Queue[int] = asyncio.Queue()
        back: asyncio.Queue[int] = asyncio.Queue()

        async def answer() -> None:
            for _ in range(n // 2):
                await back.put(await there.get())

        answering = asyncio.create_task(answer())
        for item in range(n // 2):
            await there.put(item)
            await back.get()
        await answering

    loop.run_until_complete(main())


def queue_values(loop: Loop, n: int) -> None:
    """One task puts, another gets, through a queue that holds `BATCH` items; an operation is one item."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(BATCH)

        async def produce() -> None:
            for item in range(n):
                await queue.put(item)

        producing = asyncio.create_task(produce())
        for _ in range(n):
            await queue.get()
        await producing

    loop.run_until_complete(main())


class Client(asyncio.Protocol):
    """As a database driver's: an answer completes the future of the query that waits for it."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.set_result(data)


class Server(asyncio.Protocol):
    """Answers each query with itself."""

    transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def database_round(loop: Loop, n: int) -> None:
    """100 bytes over a socket pair and back, which completes a future; both ends are the loop's."""

    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        served, _ = await loop.create_connection(Server, sock=far)
        transport, client = await loop.create_connection(Client, sock=near)
        query = b"q" * 100
        for _ in range(n):
            client.answer = loop.create_future()
            transport.write(query)
            await client.answer
        transport.close()
        served.close()

    loop.run_until_complete(main())


# -- timers -------------------------------------------------------------------------------------------------


def timers_cancelled(loop: Loop, n: int) -> None:
    """All timers are set, then all cancelled; two turns let the loop do what cleaning it puts off."""

    async def main() -> None:
        timers = [loop.call_later(60 + i % 60, nothing) for i in range(n)]
        for timer in timers:
            timer.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def timer_one(loop: Loop, n: int) -> None:
    """One timer is set and cancelled again and again, its deadline amid those of `pending_timers`."""

    async def main() -> None:
        for i in range(n):
            loop.call_later(1500 + i % 100, nothing).cancel()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def timers_fired(loop: Loop, n: int) -> None:
    """Timers of 1 to 2 ms in mixed order, each of which fires.

    Setting so many takes longer than the delays, so the loop has due timers all the time and never idles.
    """
    left = n

    def fire() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def set_all() -> None:
        for i in range(n):
            loop.call_later(0.001 + i * 7919 % 1000 * 1e-6, fire)

    loop.call_soon(set_all)
    loop.run_forever()


def sleep_lateness(loop: Loop, n: int) -> Figures:
    """sleep(0.001) on an idle loop; an operation's cost is what it takes beyond that millisecond."""
    early = 0

    async def main() -> None:
        nonlocal early
        for _ in range(n):
            start_ns = time.monotonic_ns()
            await asyncio.sleep(SLEEP_NS / 1e9)
            early += time.monotonic_ns() - start_ns < SLEEP_NS - EARLY_TOLERANCE_NS

    loop.run_until_complete(main())
    return {"early": early}


# -- threads ------------------------------------------------------------------------------------------------


def executor_round_trip(loop: Loop, n: int) -> None:
    """run_in_executor of a function that does nothing, awaited before the next."""

    async def main() -> None:
        for _ in range(n):
            await loop.run_in_executor(None, nothing)

    loop.run_until_complete(main())


# -- crowds: what is there, but idle, while a body runs -----------------------------------------------------


@contextmanager
def nobody(_loop: Loop) -> Iterator[None]:
    """The loop has only the body to attend to."""
    yield


@contextmanager
def pending_timers(loop: Loop, count: int) -> Iterator[None]:
    """`count` timers pending, none of them due for 1,000 s; they go with the loop."""
    for i in range(count):
        loop.call_later(1000 + i * 7919 % 1000, nothing)
    yield


@contextmanager
def idle_tasks(loop: Loop, count: int) -> Iterator[None]:
    """`count` tasks alive, each awaiting a future of its own."""
    gates = [loop.create_future() for _ in range(count)]

    async def stand(gate: asyncio.Future[None]) -> None:
        await gate

    tasks = [loop.create_task(stand(gate)) for gate in gates]
    loop.run_until_complete(asyncio.sleep(0))
    yield
    for gate in gates:
        gate.set_result(None)
    loop.run_until_complete(asyncio.wait(tasks))


# -- the list -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One row of the table.

    n: operations in one run of the body. target: the most that cloop may take, over the best peer's time.
    floor_ns: the part of an operation's time that is its purpose and not its cost.
    crowd: what else the loop holds meanwhile. only: the one loop the case is for.
    base: the case this one is a variant of; a crowded case is divided by its base to show how costs grow, a
    case for one loop only is compared with what the peers take for the base.
    """

    key: str
    title: str
    body: Body
    n: int
    target: float | None = None
    floor_ns: int = 0
    crowd: Crowd = nobody
    only: str | None = None
    base: str | None = None

    def ns_per_operation(self, elapsed_ns: float, n: int) -> float:
        """The cost of one of the `n` operations that took `elapsed_ns` together."""
        return elapsed_ns / n - self.floor_ns


_PLAIN = [
    Case("call_soon", "call_soon chain", call_soon_chain, 100_000, 0.6),
    Case("burst", "call_soon burst of 100,000", call_soon_burst, 100_000, 0.95),
    Case("threadsafe", "call_soon_threadsafe, 20,000 from a thread", call_soon_threadsafe, 20_000, 0.95),
    Case("switch", "task switch, 100 tasks in sleep(0)", task_switch, 100_000, 0.65),
    Case("future", "create_future, call_soon(set_result), await", future_wakeup, 50_000, 0.5),
    Case("value", "a future with a value, completed and awaited", future_value, 50_000, 0.62),
    Case("error", "a future that fails, awaited", future_error, 50_000, 0.75),
    Case("cancelled", "a task that waits, cancelled and awaited", wait_cancelled, 20_000),
    Case("create_task", "create_task and await it", create_task_await, 50_000, 0.6),
    Case("gather", "gather of 100 coroutines, per coroutine", gather_batch, 50_000, 0.65),
    Case("wait", "wait of 100 tasks, per task", wait_batch, 50_000, 0.75),
    Case("wait_for", "wait_for(coroutine, 10)", wait_for_coroutine, 20_000, 0.7),
    Case("task_group", "TaskGroup of 100, per task", task_group_batch, 50_000, 0.65),
    Case("queue", "asyncio.Queue ping-pong, per item", queue_ping_pong, 40_000, 0.65),
    Case("queue_values", "asyncio.Queue of 100, per item", queue_values, 100_000),
    Case("database", "query and answer, a future set by data_received", database_round, 10_000),
    Case("timers", "call_later and cancel, 100,000 timers", timers_cancelled, 100_000, 0.65),
    Case("fired", "call_later that fires", timers_fired, 100_000, 0.6),
    Case("executor", "run_in_executor round trip", executor_round_trip, 2_000, 1.0),
    Case("sleep", "sleep(0.001) wakes late by", sleep_lateness, 200, 1.0, floor_ns=SLEEP_NS),
    Case("timer_one", "set and cancel one timer", timer_one, 20_000),
]

CASES = {case.key: case for case in _PLAIN}


def add_native(name: str) -> None:
    """A variant of the case `name` that calls cloop's function of that name in the place of asyncio's."""
    plain = CASES[name]

    def body(loop: Loop, n: int) -> None:
        cast(Callable[..., None], plain.body)(loop, n, getattr(importlib.import_module(CLOOP), name))

    key = f"native_{name}"
    CASES[key] = replace(plain, key=key, title=f"{name}, cloop.{name}", body=body, only=CLOOP, base=name)


def add_crowded(base: str, title: str, crowd: Crowd) -> None:
    """A variant of the case `base` amid a crowd; no target but that it should cost about the same."""
    key = f"{base}_crowd"
    CASES[key] = replace(CASES[base], key=key, title=title, crowd=crowd, base=base, target=None)


for _name in ("gather", "wait", "wait_for"):
    add_native(_name)
add_crowded(
    "timer_one", "set and cancel one timer, 1,000,000 pending", partial(pending_timers, count=1_000_000)
)
add_crowded("switch", "task switch, 100,000 tasks alive", partial(idle_tasks, count=100_000))
