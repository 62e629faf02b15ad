"""shield: the outer one can be cancelled, the inner one not through it."""

import asyncio
import sys

import pytest

from tests.support import collect_garbage, settle


async def answer(value, turns=1):
    await settle(turns)
    return value


def test_result_and_failure_pass_through(run, functions):
    async def fail():
        raise KeyError("failed")

    async def main():
        with pytest.raises(KeyError, match="failed"):
            await functions.shield(fail())
        return await functions.shield(answer("value"))

    assert run(main()) == "value"


def test_cancelling_the_outer_leaves_the_inner(run, functions):
    async def main():
        inner = asyncio.create_task(answer("value", 5))
        outer = functions.shield(inner)
        await settle(1)
        assert outer.cancel() is True
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not inner.done()
        return await inner

    assert run(main()) == "value"


def test_cancelling_who_awaits_the_outer(run, functions):
    async def main():
        inner = asyncio.create_task(answer("value", 8))

        async def parent():
            await functions.shield(inner)

        task = asyncio.create_task(parent())
        await settle(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await inner

    assert run(main()) == "value"


def test_cancelling_the_inner_cancels_the_outer(loop, run, functions, future):
    async def main():
        outer = functions.shield(future)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        return outer.cancelled()

    assert run(main()) is True


def test_what_is_done_is_returned_itself(run, functions, future):
    async def main():
        future.set_result(1)
        return functions.shield(future) is future

    assert run(main()) is True


def test_no_callbacks_are_left(loop, run, functions, future):
    async def main():
        for _ in range(10):
            outer = functions.shield(future)
            outer.cancel()
            await settle()
        return future._callbacks

    assert not run(main())


def test_a_failure_after_the_outer_was_cancelled(loop, run, functions, future, reports):
    """Nobody sees it any more, so that it is reported in the one way or the other."""

    async def main(inner):
        outer = functions.shield(inner)
        outer.cancel()
        await settle()
        inner.set_exception(KeyError("lost"))
        await settle()

    inner = future
    run(main(inner))
    contexts = reports.take()
    if not contexts:
        assert inner._log_traceback is True
        inner.exception()
    else:
        assert isinstance(contexts[0]["exception"], KeyError)
        inner.exception()
    collect_garbage()
    reports.take()


def test_a_failure_in_the_turn_in_which_the_outer_is_cancelled(run, functions, reports):
    """Up to 3.13 nobody is told of it, from 3.14 on it is one that was never retrieved."""

    async def fail(steps):
        await settle(steps)
        raise KeyError("lost")

    async def main():
        inner = asyncio.create_task(fail(1))
        outer = functions.shield(inner)
        # Behind the step in which it fails, and before the outer one is told.
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, outer.cancel)
        await settle(5)
        assert outer.cancelled()

    run(main())
    collect_garbage()
    messages = [report["message"] for report in reports.take()]
    assert messages == (["Task exception was never retrieved"] if sys.version_info >= (3, 14) else [])


def test_the_inner_one_is_kept_by_its_future_only(run, functions):
    """As documented: keep a reference. Without one the pair may be collected, but never crashes."""

    async def main():
        outer = functions.shield(answer("value", 3))
        collect_garbage()
        return await outer

    assert run(main()) == "value"


def test_an_inner_future_that_raises_when_it_is_asked(run, functions, reports):
    class Broken(asyncio.Future):
        broken = False

        def done(self):
            if self.broken:
                raise KeyError("broken")
            return super().done()

    async def main():
        inner = Broken()
        outer = functions.shield(inner)
        inner.broken = True
        outer.cancel()
        await settle()
        inner.broken = False
        return outer.cancelled()

    assert run(main()) is True
    (report,) = reports.take()
    assert report["exception"].args == ("broken",)
    assert "outer_done" in report["message"]


def test_repr_while_it_is_waited_for(run, functions):
    """What follows the inner future is no part of what the outer one says without end."""

    async def main():
        inner = asyncio.get_running_loop().create_future()
        outer = functions.shield(inner)

        async def awaiting():
            await outer

        task = asyncio.create_task(awaiting())
        await asyncio.sleep(0)
        texts = [repr(outer), repr(inner), repr(task)]
        inner.set_result(None)
        await task
        return texts

    shown = run(main())
    assert all(" pending" in text for text in shown)
    assert "wait_for=<" in shown[2]


def test_repr_of_a_future_with_a_callback_that_shows_it(loop, impl):
    class Callback:
        def __repr__(self):
            return f"<of {future!r}>"

        def __call__(self, _):
            pass

    future = impl.Future(loop=loop)
    future.add_done_callback(Callback())
    assert repr(future) == "<Future pending cb=[<of ...>()]>"
