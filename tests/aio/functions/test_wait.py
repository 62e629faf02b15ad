"""wait: all its modes, time-outs, cancellation, what it refuses."""

import asyncio

import pytest

from tests.support import settle


async def answer(value, turns=1):
    await settle(turns)
    return value


async def fail(turns=1):
    await settle(turns)
    raise KeyError("failed")


def tasks_of(*coroutines):
    return [asyncio.create_task(each) for each in coroutines]


def no_timers(loop):
    return not [handle for handle in loop._scheduled if not handle.cancelled()]


def test_all_completed(run, functions):
    async def main():
        tasks = tasks_of(answer(1), fail(), answer(2, 5))
        done, pending = await functions.wait(tasks)
        tasks[1].exception()
        return done == set(tasks), pending

    assert run(main()) == (True, set())


def test_first_completed(run, functions):
    async def main():
        tasks = tasks_of(answer(1, 9), answer(2, 1), answer(3, 9))
        done, pending = await functions.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({tasks[1]}, {tasks[0], tasks[2]})
        await functions.wait(pending)

    run(main())


def test_first_exception(run, functions):
    async def main():
        tasks = tasks_of(answer(1, 1), fail(3), answer(3, 9))
        done, pending = await functions.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == ({tasks[0], tasks[1]}, {tasks[2]})
        tasks[1].exception()
        await functions.wait(pending)

    run(main())


def test_first_exception_without_one(run, functions):
    async def main():
        tasks = tasks_of(answer(1), answer(2, 4))
        done, pending = await functions.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == (set(tasks), set())

    run(main())


def test_first_exception_does_not_end_at_a_cancelled_one(run, functions):
    async def main():
        tasks = tasks_of(answer(1, 9), answer(2, 9))
        await settle(2)
        tasks[0].cancel()
        done, pending = await functions.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert (done, pending) == (set(tasks), set())

    run(main())


@pytest.mark.parametrize(
    "return_when", [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED]
)
def test_what_is_done_already(loop, run, functions, return_when):
    async def main():
        future = loop.create_future()
        future.set_exception(KeyError("done"))
        future.exception()
        done, pending = await functions.wait([future], return_when=return_when)
        return done == {future}, pending

    assert run(main()) == (True, set())


def test_time_out(loop, run, functions):
    async def main():
        quick, slow = tasks_of(answer(1), loop_future(loop))
        done, pending = await functions.wait([quick, slow], timeout=0.005)
        assert (done, pending) == ({quick}, {slow})
        assert not slow.cancelled()
        slow.cancel()
        await functions.wait([slow])

    run(main())
    assert no_timers(loop)


async def loop_future(loop):
    await loop.create_future()


def test_time_out_of_zero_gives_way_once(run, functions):
    async def main():
        (task,) = tasks_of(answer(1, 0))
        done, pending = await functions.wait([task], timeout=0)
        assert len(done) + len(pending) == 1
        await functions.wait([task])

    run(main())


def test_the_time_out_is_taken_back(loop, run, functions):
    async def main():
        await functions.wait(tasks_of(answer(1)), timeout=1000)

    run(main())
    assert no_timers(loop)


def test_cancelling_it_leaves_the_others_alone(loop, run, functions):
    async def main():
        tasks = tasks_of(loop_future(loop), loop_future(loop))
        waiting = asyncio.create_task(functions.wait(tasks, timeout=1000))
        await settle()
        waiting.cancel("waiter only")
        with pytest.raises(asyncio.CancelledError, match="waiter only"):
            await waiting
        assert not any(task.done() for task in tasks)
        assert no_timers(loop)
        for task in tasks:
            task.cancel()
        await functions.wait(tasks)

    run(main())


def test_no_callbacks_are_left(loop, run, functions):
    async def main():
        kept = loop.create_future()
        for _ in range(10):
            await functions.wait([kept, *tasks_of(answer(1))], return_when=asyncio.FIRST_COMPLETED)
        return kept._callbacks

    assert not run(main())


def test_one_future_twice(run, functions):
    async def main():
        (task,) = tasks_of(answer(1))
        done, pending = await functions.wait([task, task])
        return done == {task}, pending

    assert run(main()) == (True, set())


def test_any_iterable(run, functions):
    async def main():
        tasks = tasks_of(answer(1), answer(2))
        done, _ = await functions.wait(iter(tasks))
        more, _ = await functions.wait(set(tasks))
        return done == more == set(tasks)

    assert run(main()) is True


def test_nothing(run, functions):
    async def main():
        with pytest.raises(ValueError, match=r"^Set of Tasks/Futures is empty\.$"):
            await functions.wait([])

    run(main())


def test_coroutines_are_refused(run, functions):
    async def main():
        coroutine = answer(1)
        with pytest.raises(TypeError, match=r"^Passing coroutines is forbidden, use tasks explicitly\.$"):
            await functions.wait([coroutine])
        coroutine.close()

    run(main())


def test_a_single_one_is_refused(loop, run, functions):
    async def main():
        coroutine = answer(1)
        for wrong in (loop.create_future(), coroutine):
            with pytest.raises(TypeError, match=f"^expect a list of futures, not {type(wrong).__name__}$"):
                await functions.wait(wrong)
        coroutine.close()

    run(main())


def test_an_unknown_mode_is_refused(loop, run, functions):
    async def main():
        with pytest.raises(ValueError, match=r"^Invalid return_when value: SECOND_COMPLETED$"):
            await functions.wait([loop.create_future()], return_when="SECOND_COMPLETED")

    run(main())


def test_all_at_once(loop, run, functions):
    async def main():
        futures = [loop.create_future() for _ in range(1000)]
        for future in futures:
            loop.call_soon(future.set_result, None)
        done, pending = await functions.wait(futures)
        return len(done), len(pending)

    assert run(main()) == (1000, 0)


def test_all_kinds_together(loop, run, impl, functions):
    async def main():
        awaitables = [
            loop.create_future(),
            asyncio.futures._CFuture(loop=loop),
            asyncio.futures._PyFuture(loop=loop),
            impl.Task(asyncio.sleep(0.001, "ours"), loop=loop),
            asyncio.Task(asyncio.sleep(0.001, "theirs"), loop=loop),
            asyncio.tasks._PyTask(asyncio.sleep(0.001, "python's"), loop=loop),
        ]
        for number, future in enumerate(awaitables[:3]):
            loop.call_soon(future.set_result, number)
        done, pending = await functions.wait(awaitables)
        assert len(done) == 6 and not pending
        return await functions.gather(*awaitables)

    assert run(main()) == [0, 1, 2, "ours", "theirs", "python's"]
