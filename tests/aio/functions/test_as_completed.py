"""as_completed: order of completion, time-outs, what it refuses."""

import asyncio

import pytest

from tests.support import PY313, settle


async def answer(value, turns=1):
    await settle(turns)
    return value


async def values_of(iterator):
    return [await each for each in iterator]


def test_in_order_of_completion(run, functions):
    async def main():
        coroutines = [answer(number, turns=3 * (5 - number)) for number in range(5)]
        return await values_of(functions.as_completed(coroutines))

    assert run(main()) == [4, 3, 2, 1, 0]


def test_failures(run, functions):
    async def fail():
        raise KeyError("failed")

    async def main():
        outcomes = []
        for each in functions.as_completed([answer(1, 5), fail()]):
            try:
                outcomes.append(await each)
            except KeyError as error:
                outcomes.append(error.args)
        return outcomes

    assert run(main()) == [("failed",), 1]


def test_time_out(loop, run, functions):
    async def main():
        outcomes = []
        slow = loop.create_future()
        for each in functions.as_completed([answer("quick"), slow], timeout=0.005):
            try:
                outcomes.append(await each)
            except TimeoutError:
                outcomes.append("time-out")
        assert not slow.done()
        return outcomes

    assert run(main()) == ["quick", "time-out"]


def test_the_time_out_is_taken_back(loop, run, functions):
    async def main():
        return await values_of(functions.as_completed([answer(1)], timeout=1000))

    assert run(main()) == [1]
    assert not [handle for handle in loop._scheduled if not handle.cancelled()]


def test_nothing(run, functions):
    async def main():
        return await values_of(functions.as_completed([]))

    assert run(main()) == []


def test_one_awaitable_twice(run, functions):
    async def main():
        coroutine = answer(1)
        return await values_of(functions.as_completed([coroutine, coroutine]))

    assert run(main()) == [1]


def test_what_is_done_already(loop, run, functions):
    async def main():
        future = loop.create_future()
        future.set_result("done")
        return await values_of(functions.as_completed([future, answer("later")]))

    assert run(main()) == ["done", "later"]


def test_a_single_one_is_refused(run, functions):
    async def main():
        coroutine = answer(1)
        with pytest.raises(TypeError, match=r"expects? an iterable of \w+, not coroutine"):
            next(iter(functions.as_completed(coroutine)))
        coroutine.close()

    run(main())


@pytest.mark.skipif(not PY313, reason="asynchronous iteration is new in 3.13")
def test_asynchronous_iteration_gives_the_tasks_themselves(run, functions):
    async def main():
        tasks = [asyncio.create_task(answer(number, 3 * (3 - number))) for number in range(3)]
        seen = [task async for task in functions.as_completed(tasks)]
        assert seen == tasks[::-1]
        return [await task for task in seen]

    assert run(main()) == [2, 1, 0]


@pytest.mark.skipif(not PY313, reason="asynchronous iteration is new in 3.13")
def test_asynchronous_iteration_with_a_time_out(loop, run, functions):
    async def main():
        slow, seen = loop.create_future(), []
        with pytest.raises(TimeoutError):
            async for each in functions.as_completed([answer("quick"), slow], timeout=0.005):
                seen.append(await each)
        return seen

    assert run(main()) == ["quick"]
