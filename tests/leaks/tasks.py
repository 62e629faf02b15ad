"""Futures, tasks, and what waits for them."""

import asyncio
import contextlib
import contextvars

import pytest

from tests.support import PY312, Implementation

from .scenarios import scenario

VARIABLE: contextvars.ContextVar[object] = contextvars.ContextVar("VARIABLE")


async def fail(error: BaseException) -> None:
    """Raise it, a turn later."""
    await asyncio.sleep(0)
    raise error


@scenario
async def futures(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    done = []
    for settle in ("set_result", "set_exception"):
        future = loop.create_future()
        for _ in range(3):
            future.add_done_callback(done.append)
        assert future.remove_done_callback(print) == 0
        getattr(future, settle)(ValueError())
        with contextlib.suppress(ValueError):
            await future
    future = loop.create_future()
    future.add_done_callback(done.append)
    future.cancel(object())
    with contextlib.suppress(asyncio.CancelledError):
        await future
    await asyncio.sleep(0)
    assert len(done) == 7


@scenario
async def awaiting(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    mine, theirs = loop.create_future(), asyncio.Future()
    loop.call_soon(mine.set_result, object())
    loop.call_soon(theirs.set_result, object())
    await mine
    await theirs
    await loop.create_task(asyncio.sleep(0.0001), name="named")
    await asyncio.Task(asyncio.sleep(0))
    with contextlib.suppress(ValueError):
        await loop.create_task(fail(ValueError()))


@scenario
async def never_retrieved(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    task = loop.create_task(fail(ValueError()))
    await asyncio.wait([task])
    del task
    loop.create_future().set_exception(ValueError())


@scenario
async def cancelled(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    waited_for = loop.create_future()

    async def wait() -> None:
        await waited_for

    tasks = [loop.create_task(asyncio.sleep(1000)), loop.create_task(wait())]
    never_began = loop.create_task(asyncio.sleep(1000))
    never_began.cancel()
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel("why")
    await asyncio.gather(*tasks, never_began, return_exceptions=True)


@scenario
async def gathered(impl: Implementation) -> None:
    await impl.gather(*(asyncio.sleep(0, object()) for _ in range(10)))
    await impl.gather(fail(ValueError()), asyncio.sleep(0), return_exceptions=True)
    with contextlib.suppress(ValueError):
        await impl.gather(fail(ValueError()), asyncio.sleep(0.001))
    outer = impl.gather(asyncio.sleep(1000), asyncio.sleep(1000))
    await asyncio.sleep(0)
    outer.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await outer


@scenario
async def waited_for(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(asyncio.sleep(delay)) for delay in (0, 0.0001, 1000)]
    await impl.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await impl.wait(tasks, timeout=0.001)
    await impl.wait_for(tasks[0], 10)
    with contextlib.suppress(asyncio.TimeoutError):
        await impl.wait_for(asyncio.sleep(1000), 0.0001)
    with contextlib.suppress(asyncio.TimeoutError):
        await impl.wait_for(impl.shield(tasks[2]), 0.0001)
    for next_one in impl.as_completed([asyncio.sleep(0, i) for i in range(5)]):
        await next_one
    with contextlib.suppress(asyncio.TimeoutError):
        for next_one in impl.as_completed([asyncio.sleep(1000)], timeout=0.0001):
            await next_one


@scenario
async def groups(impl: Implementation) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(asyncio.sleep(0))
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(ValueError()))
            group.create_task(asyncio.sleep(1000))


@scenario
async def timeouts(impl: Implementation) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            await asyncio.sleep(1000)


@scenario
async def locks_and_queues(impl: Implementation) -> None:
    lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue(2)

    async def produce() -> None:
        for _ in range(10):
            async with lock:
                await queue.put(object())
        event.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        for _ in range(10):
            await queue.get()
            queue.task_done()
        await event.wait()
        await queue.join()


@scenario
async def contexts(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    VARIABLE.set(object())
    context = contextvars.copy_context()
    loop.call_soon(VARIABLE.set, object(), context=context)
    loop.call_later(0, VARIABLE.set, object(), context=context)
    loop.call_soon(VARIABLE.set, object())
    task = loop.create_task(asyncio.sleep(0), context=context)
    task.add_done_callback(VARIABLE.set, context=context)
    await task
    await asyncio.sleep(0.0001)


@scenario
async def factories(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))
    if PY312:
        loop.set_task_factory(asyncio.create_eager_task_factory(impl.Task))
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))
        with contextlib.suppress(ValueError):
            await loop.create_task(fail(ValueError()))


@scenario
def left_pending(impl: Implementation) -> None:
    loop = impl.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    tasks = [loop.create_task(asyncio.sleep(1000)), loop.create_task(asyncio.sleep(0))]
    loop.run_until_complete(tasks[1])
    loop.close()
