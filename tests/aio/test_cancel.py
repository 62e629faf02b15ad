"""Cancelling tasks: when it arrives, what stops it, what is counted."""

import asyncio

import pytest

from tests.support import PY313, settle


@pytest.fixture
def waiter(loop, future):
    """Makes tasks that wait for `future` and note what happens to them."""

    def make(seen, answer=None):
        async def wait():
            seen.append("started")
            try:
                return await future
            except asyncio.CancelledError as error:
                seen.append(("cancelled", error.args))
                if answer is None:
                    raise
                return answer

        return loop.create_task(wait())

    return make


def test_before_it_started(loop, run, waiter):
    """The coroutine's body never runs."""
    seen = []
    task = waiter(seen)
    assert task.cancel() is True
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == []
    assert task.cancelled()


def test_while_it_waits(loop, run, waiter, future):
    seen = []
    task = waiter(seen)
    run(settle())
    assert task.cancel() is True
    assert future.cancelled()
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == ["started", ("cancelled", ())]
    assert task.cancelled() and task.done()
    assert task.cancel() is False


def test_with_a_message(run, waiter):
    seen = []
    task = waiter(seen)
    run(settle())
    task.cancel("because")
    with pytest.raises(asyncio.CancelledError, match=r"^because$"):
        run(task)
    assert seen[1] == ("cancelled", ("because",))


def test_the_last_message_wins(run, waiter):
    seen = []
    task = waiter(seen)
    task.cancel("first")
    task.cancel("second")
    with pytest.raises(asyncio.CancelledError, match=r"^second$"):
        run(task)


def test_by_itself_takes_effect_at_the_next_await(loop, run):
    seen = []

    async def main():
        assert asyncio.current_task().cancel() is True
        assert asyncio.current_task()._must_cancel is True
        seen.append("goes on")
        await asyncio.sleep(0)
        seen.append("not reached")

    with pytest.raises(asyncio.CancelledError):
        run(main())
    assert seen == ["goes on"]


def test_by_itself_without_another_await(loop, run):
    """A coroutine that returns in spite of it was cancelled all the same."""

    async def main():
        asyncio.current_task().cancel("too late")
        return "returned"

    task = loop.create_task(main())
    run(asyncio.wait([task]))
    assert task.cancelled()
    with pytest.raises(asyncio.CancelledError, match="too late"):
        task.result()


def test_by_itself_before_a_done_future(loop, run, future):
    """Awaiting what is done already does not give way, so that the cancellation waits."""
    future.set_result(1)
    seen = []

    async def main():
        asyncio.current_task().cancel()
        seen.append(await future)
        await asyncio.sleep(0)
        seen.append("not reached")

    with pytest.raises(asyncio.CancelledError):
        run(main())
    assert seen == [1]


def test_by_itself_before_a_pending_future(run, future):
    async def main():
        asyncio.current_task().cancel()
        await future

    with pytest.raises(asyncio.CancelledError):
        run(main())
    assert future.cancelled()


def test_suppressed(run, waiter):
    seen = []
    task = waiter(seen, answer="went on")
    run(settle())
    task.cancel()
    assert run(task) == "went on"
    assert not task.cancelled()


def test_again_after_it_was_suppressed(loop, run):
    seen = []

    async def stubborn():
        for number in range(2):
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                seen.append(number)
        await loop.create_future()

    task = loop.create_task(stubborn())
    for _ in range(3):
        run(settle())
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == [0, 1]


def test_twice_before_it_ran(loop, run, waiter):
    seen = []
    task = waiter(seen)
    run(settle())
    assert task.cancel() is True
    assert task.cancel() is True
    assert task.cancelling() == 2
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert len(seen) == 2


def test_counting(loop, run, waiter):
    task = waiter([])
    run(settle())
    assert task.cancelling() == 0
    assert task.uncancel() == 0
    task.cancel()
    assert task.cancelling() == 1
    task.cancel()
    assert (task.cancelling(), task.uncancel(), task.uncancel(), task.uncancel()) == (2, 1, 0, 0)
    with pytest.raises(asyncio.CancelledError):
        run(task)


@pytest.mark.skipif(not PY313, reason="from 3.13, uncancel takes back what has not arrived yet")
def test_uncancel_takes_it_back(loop, run):
    async def main():
        task = asyncio.current_task()
        task.cancel()
        task.cancel()
        assert task.uncancel() == 1
        assert task._must_cancel is True
        assert task.uncancel() == 0
        assert task._must_cancel is False
        await asyncio.sleep(0)
        return "not cancelled"

    assert run(main()) == "not cancelled"


def test_goes_through_a_chain_of_tasks(loop, run, waiter):
    seen = []
    inner = waiter(seen)

    async def middle():
        await inner

    task = loop.create_task(middle())
    run(settle())
    task.cancel("from outside")
    with pytest.raises(asyncio.CancelledError) as caught:
        run(task)
    assert inner.cancelled()
    assert seen == ["started", ("cancelled", ("from outside",))]
    assert caught.value.args == ("from outside",)


def test_the_cancelled_child_cancels_the_parent_that_waits(loop, run, waiter):
    inner = waiter([])

    async def parent():
        try:
            await inner
        except asyncio.CancelledError:
            return "saw it"

    task = loop.create_task(parent())
    run(settle())
    inner.cancel()
    assert run(task) == "saw it"


def test_raising_cancelled_error_is_being_cancelled(loop, run):
    async def main():
        raise asyncio.CancelledError("raised")

    task = loop.create_task(main())
    run(asyncio.wait([task]))
    assert task.cancelled()
    assert task.cancelling() == 0
    with pytest.raises(asyncio.CancelledError, match="raised"):
        task.exception()


def test_the_original_error_is_raised_once(loop, run, waiter):
    """result() gives the CancelledError that the coroutine raised, with its traceback."""
    task = waiter([])
    run(settle())
    task.cancel("reason")
    run(asyncio.wait([task]))
    with pytest.raises(asyncio.CancelledError) as caught:
        task.result()
    assert caught.value.args == ("reason",)


def test_the_future_wins_when_it_was_first(loop, run, waiter, future):
    """Set before the cancellation, but not seen yet: the task is cancelled, and may catch it."""
    seen = []
    task = waiter(seen)
    run(settle())
    future.set_result("set")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == ["started", ("cancelled", ())]


def test_cancelling_in_a_done_callback(loop, run, waiter, future):
    """The wake-up and the cancellation meet in one turn."""
    seen = []
    task = waiter(seen)
    run(settle())
    loop.call_soon(future.set_result, 1)
    loop.call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        run(task)


def test_cancel_of_what_cannot_be_cancelled(loop, run):
    """A future whose cancel() says no: the cancellation comes when it is done."""

    class Stubborn(type(loop.create_future())):
        def cancel(self, msg=None):
            return False

    stubborn, seen = Stubborn(loop=loop), []

    async def main():
        try:
            await stubborn
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = loop.create_task(main())
    run(settle())
    assert task.cancel() is True
    assert task._must_cancel is True
    run(settle())
    assert seen == []
    stubborn.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == ["cancelled"]


def test_during_an_async_generator(loop, run):
    seen = []

    async def generator():
        try:
            yield 1
            await loop.create_future()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def main():
        async for _ in generator():
            pass

    task = loop.create_task(main())
    run(settle())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert seen == ["cleaned up"]


def test_timeouts(loop, run):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await loop.create_future()
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.timeout(10) as scope:
            await asyncio.sleep(0)
        assert not scope.expired()
        await asyncio.sleep(0)

    run(main())
    assert not [handle for handle in loop._scheduled if not handle.cancelled()]


def test_timeout_and_outside_cancellation_together(loop, run):
    async def main():
        async with asyncio.timeout(0):
            await loop.create_future()

    task = loop.create_task(main())
    run(settle(1))
    task.cancel()
    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        run(task)


def test_cancelling_thousands(loop, run):
    async def wait():
        await loop.create_future()

    async def main():
        tasks = [loop.create_task(wait()) for _ in range(5000)]
        await settle()
        for task in tasks:
            task.cancel()
        done, pending = await asyncio.wait(tasks)
        return all(task.cancelled() for task in done), len(pending)

    assert run(main()) == (True, 0)
