"""Asynchronous generators: closed when dropped, closed at shutdown."""

import asyncio

import pytest

from tests.support import collect_garbage, run_turn, settle


async def numbers(seen, name="generator"):
    try:
        for number in range(100):
            yield number
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        seen.append(f"{name} closed")


def test_a_dropped_generator_is_closed_by_the_loop(run):
    seen = []

    async def main():
        async for number in numbers(seen):
            if number == 3:
                break
        collect_garbage()
        await settle(10)
        assert seen == ["generator closed"]

    run(main())


def test_shutdown_closes_those_still_open(loop, run):
    seen = []
    kept = [numbers(seen, name) for name in ("one", "two", "three")]

    async def main():
        for each in kept[:2]:
            await anext(each)

    run(main())
    assert seen == []
    run(loop.shutdown_asyncgens())
    assert sorted(seen) == ["one closed", "two closed"]
    run(loop.shutdown_asyncgens())
    assert len(seen) == 2


def test_a_generator_begun_after_the_shutdown_warns(loop, run):
    async def main():
        await loop.shutdown_asyncgens()
        late = numbers([])
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            await anext(late)
        await late.aclose()

    run(main())


def test_an_exception_while_closing_is_reported(loop, run, reports):
    async def stubborn():
        try:
            yield 1
        finally:
            raise ValueError("will not close")

    generator = stubborn()

    async def main():
        await anext(generator)

    run(main())
    run(loop.shutdown_asyncgens())
    context = reports.take_one()
    assert context["message"].startswith("an error occurred during closing of asynchronous generator")
    assert context["asyncgen"] is generator
    assert str(context["exception"]) == "will not close"


def test_a_generator_that_is_used_up_is_forgotten(loop, run):
    async def main():
        return [number async for number in numbers([])]

    assert run(main()) == list(range(100))
    run(loop.shutdown_asyncgens())


def test_asend_and_athrow(run):
    async def echo():
        received = "first"
        while True:
            try:
                await asyncio.sleep(0)
                received = yield received
            except KeyError:
                received = "thrown"

    async def main():
        generator = echo()
        results = [await generator.asend(None)]
        results.append(await generator.asend("sent"))
        results.append(await generator.athrow(KeyError))
        await generator.aclose()
        return results

    assert run(main()) == ["first", "sent", "thrown"]


def test_a_task_of_asend(loop, run):
    """asend and anext are awaitables, not coroutines: they are driven through a coroutine's await."""

    async def main():
        generator = numbers([])
        first = await asyncio.ensure_future(anext(generator))
        second = await asyncio.wait_for(generator.asend(None), 10)
        await generator.aclose()
        return first, second

    assert run(main()) == (0, 1)


def test_dropped_between_two_runs(loop, run):
    seen = []
    kept = [numbers(seen)]

    async def main():
        await anext(kept[0])

    run(main())
    kept.clear()
    collect_garbage()
    for _ in range(5):
        run_turn(loop)
    assert seen == ["generator closed"]
