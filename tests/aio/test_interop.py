"""asyncio's own tasks and futures beside cloop's on one loop, each awaiting the other."""

import asyncio
import concurrent.futures

import pytest

from tests.support import PY314, running_thread, settle

STDLIB_TASKS = [asyncio.tasks._CTask, asyncio.tasks._PyTask]
STDLIB_FUTURES = [asyncio.futures._CFuture, asyncio.futures._PyFuture]


async def wait_for_it(awaitable):
    return await awaitable


@pytest.mark.parametrize("task_type", STDLIB_TASKS)
def test_their_task_awaits_our_future(loop, run, task_type):
    async def main():
        future = loop.create_future()
        task = task_type(wait_for_it(future), loop=loop)
        await settle()
        future.set_result("ours")
        return await task

    assert run(main()) == "ours"


@pytest.mark.parametrize("future_type", STDLIB_FUTURES)
def test_our_task_awaits_their_future(loop, run, future_type):
    async def main():
        future = future_type(loop=loop)
        task = loop.create_task(wait_for_it(future))
        await settle()
        future.set_result("theirs")
        return await task

    assert run(main()) == "theirs"


@pytest.mark.parametrize("future_type", STDLIB_FUTURES)
def test_our_task_awaits_their_failure(loop, run, future_type):
    async def main():
        future = future_type(loop=loop)
        loop.call_soon(future.set_exception, KeyError("theirs"))
        with pytest.raises(KeyError, match="theirs"):
            await future

    run(main())


@pytest.mark.parametrize("task_type", STDLIB_TASKS)
def test_tasks_await_each_other(loop, run, impl, task_type):
    async def chain(kinds):
        if not kinds:
            await asyncio.sleep(0.001)
            return "end"
        return await kinds[0](chain(kinds[1:]), loop=loop)

    assert run(chain([impl.Task, task_type, impl.Task, task_type])) == "end"


@pytest.mark.parametrize("task_type", STDLIB_TASKS)
def test_cancellation_goes_through(loop, run, impl, task_type):
    seen = []

    async def inner():
        try:
            await loop.create_future()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    async def main():
        for outer_type, inner_type in ((impl.Task, task_type), (task_type, impl.Task)):
            child = inner_type(inner(), loop=loop)
            task = outer_type(wait_for_it(child), loop=loop)
            await settle()
            task.cancel("through")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert child.cancelled()

    run(main())
    assert seen == [("through",)] * 2


@pytest.mark.parametrize("task_type", STDLIB_TASKS)
def test_their_tasks_see_the_current_task(loop, run, task_type):
    if PY314 and task_type is asyncio.tasks._PyTask:
        pytest.skip("from 3.14, asyncio's Python tasks are known to its Python functions only")

    async def look():
        await asyncio.sleep(0)
        return asyncio.current_task()

    async def main():
        task = task_type(look(), loop=loop)
        assert task in asyncio.all_tasks()
        assert await task is task

    run(main())


def test_asyncios_primitives_with_mixed_tasks(loop, run, impl):
    async def main():
        queue, event, lock = asyncio.Queue(1), asyncio.Event(), asyncio.Lock()
        seen = []

        async def produce():
            for number in range(5):
                async with lock:
                    await queue.put(number)
            event.set()

        async def consume():
            while len(seen) < 5:
                seen.append(await queue.get())
            await event.wait()

        await asyncio.gather(impl.Task(produce(), loop=loop), asyncio.Task(consume(), loop=loop))
        return seen

    assert run(main()) == [0, 1, 2, 3, 4]


def test_concurrent_futures_both_ways(loop, run):
    async def main():
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            first = await asyncio.wrap_future(executor.submit(int, "1"))
            chained = loop.create_future()
            source = executor.submit(int, "2")
            asyncio.futures._chain_future(source, chained)
            second = await chained
        target = concurrent.futures.Future()
        future = loop.create_future()
        asyncio.futures._chain_future(future, target)
        future.set_result(3)
        await settle()
        return first, second, target.result(0)

    assert run(main()) == (1, 2, 3)


def test_chained_cancellation(loop, run):
    async def main():
        source, future = concurrent.futures.Future(), loop.create_future()
        asyncio.futures._chain_future(source, future)
        with running_thread(source.cancel):
            pass
        await settle()
        return future.cancelled()

    assert run(main()) is True


def test_a_loops_factory_of_stdlib_tasks(loop, run):
    """set_task_factory is the way to get asyncio's tasks."""
    loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.tasks._CTask(coro, loop=loop, **kwargs))

    async def main():
        task = asyncio.create_task(asyncio.sleep(0.001, "theirs"))
        assert type(task) is asyncio.tasks._CTask
        async with asyncio.timeout(5):
            return await task

    assert run(main()) == "theirs"


def test_our_task_and_future_on_asyncios_loop(impl):
    """A task made for a loop of another kind goes through that loop's call_soon."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:

        async def main():
            loop = asyncio.get_running_loop()
            future, task = impl.Future(loop=loop), impl.Task(asyncio.sleep(0.001, "task"), loop=loop)
            loop.call_soon(future.set_result, "future")
            assert task in asyncio.all_tasks()
            return (
                await future,
                await task,
                await impl.Task(wait_for_it(asyncio.sleep(0, "sleep")), loop=loop),
            )

        assert runner.run(main()) == ("future", "task", "sleep")


def test_our_task_is_cancelled_on_asyncios_loop(impl):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:

        async def main():
            task = impl.Task(asyncio.sleep(60), loop=asyncio.get_running_loop())
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        runner.run(main())


def test_ensure_future_and_isfuture(loop, impl, run):
    async def main():
        for future in (loop.create_future(), asyncio.futures._CFuture(loop=loop)):
            assert asyncio.ensure_future(future) is future
            assert isinstance(future, asyncio.Future)
            assert not isinstance(future, asyncio.Task)

    run(main())
    assert issubclass(impl.Task, impl.Future)
    assert not isinstance(1, asyncio.Future)


def test_call_graph(loop, run):
    """From 3.14 asyncio asks futures who awaits them."""
    if not hasattr(asyncio, "capture_call_graph"):
        pytest.skip("asyncio.capture_call_graph is new in 3.14")

    async def outer(inner):
        await inner

    async def main():
        future = loop.create_future()
        inner = asyncio.create_task(wait_for_it(future), name="inner")
        task = asyncio.create_task(outer(inner), name="outer")
        await settle()
        graph = asyncio.capture_call_graph(inner)
        future.set_result(None)
        await task
        return [each.future.get_name() for each in graph.awaited_by]

    assert run(main()) == ["outer"]
