"""gather: order, failures, cancellation in both directions."""

import asyncio

import pytest

from tests.support import PY312, collect_garbage, settle


async def answer(value, turns=1):
    await settle(turns)
    return value


async def fail(text="failed", turns=1):
    await settle(turns)
    raise KeyError(text)


async def wait_noting(seen, name="child"):
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError as error:
        seen.append((name, *error.args))
        raise


def test_results_keep_their_order(run, functions):
    async def main():
        return await functions.gather(*(answer(number, turns=7 - number) for number in range(7)))

    assert run(main()) == list(range(7))


def test_all_kinds_of_awaitables(loop, run, functions):
    class Awaitable:
        def __await__(self):
            return answer("awaitable").__await__()

    async def main():
        future = loop.create_future()
        loop.call_soon(future.set_result, "future")
        task = asyncio.create_task(answer("task"))
        return await functions.gather(answer("coroutine"), future, task, Awaitable())

    assert run(main()) == ["coroutine", "future", "task", "awaitable"]


def test_nothing(run, functions):
    async def main():
        future = functions.gather()
        assert asyncio.isfuture(future)
        return await future

    assert run(main()) == []


def test_what_is_done_already(loop, run, functions):
    async def main():
        done = loop.create_future()
        done.set_result(1)
        return await functions.gather(done, done)

    assert run(main()) == [1, 1]


def test_one_awaitable_twice(run, functions):
    calls = []

    async def note():
        calls.append(1)
        return len(calls)

    async def main():
        coroutine, task = note(), asyncio.create_task(note())
        return await functions.gather(coroutine, coroutine, task, task)

    assert run(main()) == [2, 2, 1, 1]


def test_the_first_failure_comes_out_and_the_rest_goes_on(run, functions):
    async def main():
        seen = []

        async def slow():
            await settle(5)
            seen.append("slow")

        task = asyncio.create_task(slow())
        with pytest.raises(KeyError, match="first"):
            await functions.gather(task, fail("first", 1), fail("second", 2))
        assert not task.done()
        await task
        return seen

    assert run(main()) == ["slow"]


def test_return_exceptions(run, functions):
    async def main():
        cancelled = asyncio.create_task(answer(1))
        cancelled.cancel("child's")
        return await functions.gather(answer(0), fail("as a result"), cancelled, return_exceptions=True)

    first, second, third = run(main())
    assert first == 0
    assert isinstance(second, KeyError) and second.args == ("as a result",)
    assert isinstance(third, asyncio.CancelledError) and third.args == ("",)


def test_a_cancelled_child_is_a_failure(run, functions):
    async def main():
        child, other = asyncio.create_task(answer(1)), asyncio.create_task(answer(2, 5))
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await functions.gather(other, child)
        assert not asyncio.current_task().cancelling()
        assert not other.done()
        return await other

    assert run(main()) == 2


@pytest.mark.parametrize("return_exceptions", [False, True])
def test_cancelling_it_cancels_the_children(run, functions, return_exceptions):
    async def main():
        seen = []
        tasks = [asyncio.create_task(wait_noting(seen, number)) for number in range(3)]
        gathered = functions.gather(*tasks, return_exceptions=return_exceptions)
        await settle()
        assert gathered.cancel("all of you") is True
        assert not gathered.done()
        with pytest.raises(asyncio.CancelledError) as caught:
            await gathered
        assert gathered.done() and all(task.cancelled() for task in tasks)
        assert gathered.cancel() is False
        return seen, caught.value.args

    seen, args = run(main())
    assert seen == [(number, "all of you") for number in range(3)]
    assert args in ((), ("all of you",))


def test_cancelling_who_awaits_it_cancels_the_children(run, functions):
    async def main():
        seen = []

        async def parent():
            await functions.gather(wait_noting(seen, "one"), wait_noting(seen, "two"))

        task = asyncio.create_task(parent())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert sorted(run(main())) == [("one",), ("two",)]


@pytest.mark.parametrize("failed", [False, True])
def test_when_what_was_done_before_is_heard_of(loop, run, functions, failed):
    """At once from 3.12 on, and before that in the next turn."""

    async def main():
        future = loop.create_future()
        future.set_exception(ValueError()) if failed else future.set_result(None)
        gathered = functions.gather(future)
        before = gathered.done()
        await asyncio.wait([gathered])
        assert (gathered.exception() is None) is not failed
        return before

    assert run(main()) is PY312


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["waits", "done"], ""),
        (["done", "waits"], "message"),
        (["waits", "fails"], ""),
        (["slow", "waits"], "message"),
    ],
)
def test_the_error_is_the_last_childs(loop, run, functions, order, message):
    """Where exceptions are results: the last argument's, whichever ends last and however."""

    async def slow():
        try:
            await loop.create_future()
        finally:
            await asyncio.sleep(0)

    async def main():
        children = {"waits": loop.create_future(), "done": answer(1), "fails": fail("other"), "slow": slow()}
        gathered = functions.gather(*(children[name] for name in order), return_exceptions=True)
        for name, child in children.items():
            if name not in order and name != "waits":
                child.close()
        await settle()
        gathered.cancel("message")
        with pytest.raises(asyncio.CancelledError) as caught:
            await gathered
        return str(caught.value)

    assert run(main()) == message


def test_a_child_that_ignores_the_cancellation(loop, run, functions):
    """gather ends cancelled, because that was asked for, once all children are done."""

    async def stubborn():
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            await settle()
            return "went on"

    async def main():
        task = asyncio.create_task(stubborn())
        gathered = functions.gather(task)
        await settle()
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        return task.result()

    assert run(main()) == "went on"


def test_cancelling_what_is_done(loop, run, functions):
    async def main():
        gathered = functions.gather(answer(1))
        assert await gathered == [1]
        assert gathered.cancel() is False
        futures = [loop.create_future() for _ in range(2)]
        for future in futures:
            future.set_result(None)
        gathered = functions.gather(*futures)
        assert gathered.cancel() is False
        return await gathered

    assert run(main()) == [None, None]


def test_nested(run, functions):
    async def main():
        return await functions.gather(
            functions.gather(answer(1), answer(2)),
            functions.gather(),
            answer(3),
            functions.gather(functions.gather(answer(4))),
        )

    assert run(main()) == [[1, 2], [], 3, [[4]]]


def test_its_failure_is_reported_when_nobody_looks(run, functions, reports):
    async def main():
        gathered = functions.gather(fail("lost"))
        await settle()
        assert gathered.done()

    run(main())
    collect_garbage()
    contexts = reports.take()
    assert [str(context["exception"]) for context in contexts] == ["'lost'"]


def test_done_callbacks(run, functions):
    async def main():
        seen = []
        gathered = functions.gather(answer(1), answer(2))
        gathered.add_done_callback(lambda each: seen.append(each.result()))
        await gathered
        await settle()
        return seen

    assert run(main()) == [[1, 2]]


def test_repr(run, functions):
    async def main():
        gathered = functions.gather(answer(1))
        text = repr(gathered)
        await gathered
        return text, repr(gathered)

    pending, finished = run(main())
    assert pending.startswith("<_GatheringFuture pending")
    assert finished.startswith("<_GatheringFuture finished result=[1]")


def test_outside_of_a_loop(loop, functions):
    futures = [loop.create_future() for _ in range(2)]
    gathered = functions.gather(*futures)
    for number, future in enumerate(futures):
        future.set_result(number)
    assert loop.run_until_complete(gathered) == [0, 1]


def test_of_different_loops(loop_factory, functions):
    one, two = loop_factory().create_future(), loop_factory().create_future()
    with pytest.raises(ValueError, match="belongs to a different loop"):
        functions.gather(one, two)


@pytest.mark.parametrize("wrong", [1, None, "text"])
def test_of_what_cannot_be_awaited(run, functions, wrong):
    async def main():
        with pytest.raises(TypeError, match="a coroutine or an awaitable is required"):
            functions.gather(wrong)

    run(main())


def test_a_child_done_in_the_turn_it_is_cancelled(loop, run, functions):
    async def main():
        futures = [loop.create_future() for _ in range(2)]
        gathered = functions.gather(*futures)
        futures[0].set_result("set")
        gathered.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathered
        return futures[0].result(), futures[1].cancelled()

    assert run(main()) == ("set", True)


def test_many(run, functions):
    async def main():
        return await functions.gather(*(answer(number) for number in range(2000)))

    assert run(main()) == list(range(2000))


@pytest.mark.parametrize("late", ["first", "second", "third"])
def test_cancelled_with_return_exceptions_raises_what_the_last_argument_was_cancelled_with(
    run, functions, late
):
    """Whichever is done last."""

    async def child(name):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await settle(5 if name == late else 1)
            raise asyncio.CancelledError(name) from None

    async def main():
        outer = functions.gather(*map(child, ("first", "second", "third")), return_exceptions=True)
        await settle()
        outer.cancel("message")
        with pytest.raises(asyncio.CancelledError) as caught:
            await outer
        return caught.value.args

    assert run(main()) == ("third",)


def test_cancelled_with_return_exceptions_has_seen_the_others_exceptions(run, functions, reports):
    async def main():
        failing = asyncio.get_running_loop().create_future()
        outer = functions.gather(failing, answer(1, turns=100), return_exceptions=True)
        failing.set_exception(ZeroDivisionError())
        await settle()
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer

    run(main())
    collect_garbage()
    assert reports == []
