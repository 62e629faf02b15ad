"""wait_for: results, time-outs, and cancellation that races with both."""

import asyncio

import pytest

from tests.support import PY312, settle


async def answer(value, turns=1):
    await settle(turns)
    return value


async def wait_noting(loop, seen):
    try:
        await loop.create_future()
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise


def no_timers(loop):
    return not [handle for handle in loop._scheduled if not handle.cancelled()]


@pytest.mark.parametrize("timeout", [None, 1000, 1])
def test_in_time(loop, run, functions, timeout):
    assert run(functions.wait_for(answer("value"), timeout)) == "value"
    assert no_timers(loop)


def test_all_kinds_of_awaitables(loop, run, functions):
    class Awaitable:
        def __await__(self):
            return answer("awaitable").__await__()

    async def main():
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        return [
            await functions.wait_for(future, 10),
            await functions.wait_for(asyncio.create_task(answer("task")), 10),
            await functions.wait_for(Awaitable(), 10),
        ]

    assert run(main()) == ["future", "task", "awaitable"]


def test_a_failure(run, functions):
    async def fail():
        await settle()
        raise KeyError("failed")

    with pytest.raises(KeyError, match="failed"):
        run(functions.wait_for(fail(), 10))


def test_too_late(loop, run, functions):
    seen = []
    with pytest.raises(TimeoutError):
        run(functions.wait_for(wait_noting(loop, seen), 0.005))
    assert seen == ["cancelled"]


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all(loop, run, functions, timeout):
    """What is done already is returned; the rest is cancelled."""

    async def main():
        done, pending = loop.create_future(), loop.create_future()
        done.set_result("done")
        assert await functions.wait_for(done, timeout) == "done"
        with pytest.raises(TimeoutError):
            await functions.wait_for(pending, timeout)
        return pending.cancelled()

    assert run(main()) is True


def test_no_time_for_a_task_that_waits(loop, run, functions):
    async def main():
        seen = []
        task = asyncio.create_task(wait_noting(loop, seen))
        await settle()
        with pytest.raises(TimeoutError):
            await functions.wait_for(task, 0)
        assert task.cancelled()
        return seen

    assert run(main()) == ["cancelled"]


def test_it_waits_until_the_cancelled_one_is_done(loop, run, functions):
    seen = []

    async def slow_to_end():
        try:
            await loop.create_future()
        finally:
            await asyncio.sleep(0.01)
            seen.append("ended")

    async def main():
        with pytest.raises(TimeoutError):
            await functions.wait_for(slow_to_end(), 0.002)
        assert seen == ["ended"]

    run(main())


def test_cancelled_from_outside(loop, run, functions):
    async def main():
        seen = []
        task = asyncio.create_task(functions.wait_for(wait_noting(loop, seen), 1000))
        await settle()
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert no_timers(loop)
        return seen

    assert run(main()) == ["cancelled"]


def test_the_inner_one_is_cancelled(loop, run, functions):
    """Not by the time-out: then CancelledError, not TimeoutError."""

    async def main():
        future = loop.create_future()
        loop.call_soon(future.cancel)
        with pytest.raises(asyncio.CancelledError):
            await functions.wait_for(future, 1000)
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert no_timers(loop)


def test_a_time_out_error_of_its_own(run, functions):
    async def own():
        await settle()
        raise TimeoutError("own")

    with pytest.raises(TimeoutError, match=r"^own$"):
        run(functions.wait_for(own(), 1000))


@pytest.mark.skipif(not PY312, reason="from 3.12 the result wins over the time-out")
def test_an_answer_in_spite_of_the_cancellation(loop, run, functions):
    """The one that was cancelled may still answer; asyncio's time-out scope then raises nothing."""

    async def stubborn():
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            return "answered"

    async def main():
        return await functions.wait_for(stubborn(), 0.005)

    assert run(main()) == "answered"


def test_nested(loop, run, functions):
    async def main():
        with pytest.raises(TimeoutError):
            await functions.wait_for(functions.wait_for(loop.create_future(), 1000), 0.005)
        with pytest.raises(TimeoutError):
            await functions.wait_for(functions.wait_for(loop.create_future(), 0.005), 1000)

    run(main())
    assert no_timers(loop)


def test_the_task_is_not_marked_as_cancelled(loop, run, functions):
    async def main():
        with pytest.raises(TimeoutError):
            await functions.wait_for(loop.create_future(), 0.002)
        task = asyncio.current_task()
        await asyncio.sleep(0)
        return task.cancelling(), task._must_cancel

    assert run(main()) == (0, False)


def test_result_and_time_out_in_one_turn(loop, run, functions):
    """Whichever comes out, it is one of the two and nothing is lost or reported."""

    async def main():
        outcomes = set()
        for _ in range(20):
            future = loop.create_future()
            when = loop.time() + 0.0005
            loop.call_at(when, lambda future=future: future.done() or future.set_result("result"))
            try:
                outcomes.add(await functions.wait_for(future, 0.0005))
            except TimeoutError:
                outcomes.add("time-out")
        return outcomes

    assert run(main()) <= {"result", "time-out"}
    run(asyncio.sleep(0.002))


def test_many_in_time(loop, run, functions):
    async def main():
        waits = [functions.wait_for(answer(number), 1000) for number in range(500)]
        return await asyncio.gather(*waits)

    assert run(main()) == list(range(500))
    assert len(loop._scheduled) <= 500 and no_timers(loop)
