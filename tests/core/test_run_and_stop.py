"""run_forever, run_until_complete, stop, nested runs, close."""

import asyncio
import inspect
import sys
import threading

import pytest

from tests.support import PY312, PY313, run_turn, running_thread


async def answer():
    await asyncio.sleep(0)
    return 42


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "awaited"


def test_run_until_complete_returns_the_result(loop):
    assert loop.run_until_complete(answer()) == 42
    assert loop.run_until_complete(loop.create_task(answer())) == 42
    assert loop.run_until_complete(Awaitable()) == "awaited"
    future = loop.create_future()
    loop.call_soon(future.set_result, "set")
    assert loop.run_until_complete(future) == "set"
    assert loop.run_until_complete(future) == "set"


def test_run_until_complete_raises_the_exception(loop):
    async def fail():
        raise KeyError("key")

    with pytest.raises(KeyError, match="key"):
        loop.run_until_complete(fail())


def test_run_until_complete_of_a_cancelled_task(loop):
    task = loop.create_task(answer())
    task.cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        loop.run_until_complete(task)


@pytest.mark.parametrize("wrong", [None, 1, "coroutine", answer, print])
def test_run_until_complete_takes_awaitables_only(loop, wrong):
    with pytest.raises(TypeError, match="coroutine or an awaitable is required"):
        loop.run_until_complete(wrong)


def test_a_future_of_another_loop(loop_factory):
    loop, future = loop_factory(), loop_factory().create_future()
    with pytest.raises(ValueError, match="belongs to a different loop"):
        loop.run_until_complete(future)


def test_stopped_before_completion(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)
    loop.call_soon(future.set_result, 1)
    assert loop.run_until_complete(future) == 1


def test_run_until_complete_leaves_no_callback_behind(loop):
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    seen = []
    future.set_result(None)
    loop.call_soon(seen.append, 1)
    run_turn(loop)
    loop.call_soon(loop.call_soon, seen.append, 2)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert seen == [1, 2]


def test_stop_before_the_run_takes_one_turn(loop):
    seen = []

    def callback():
        seen.append("ready")
        loop.call_soon(seen.append, "next turn")

    loop.call_soon(callback)
    loop.call_later(0, seen.append, "due")
    loop.stop()
    loop.run_forever()
    assert seen == ["ready", "due"]
    run_turn(loop)
    assert seen == ["ready", "due", "next turn"]


def test_stop_finishes_the_turn(loop):
    seen = []

    def stopper():
        loop.stop()
        loop.call_soon(seen.append, "next turn")

    loop.call_soon(stopper)
    loop.call_soon(seen.append, "same turn")
    loop.run_forever()
    assert seen == ["same turn"]
    run_turn(loop)
    assert seen == ["same turn", "next turn"]


def test_is_running_and_the_running_loop(loop):
    seen = []

    def look():
        seen.append(
            (loop.is_running(), asyncio.get_running_loop() is loop, asyncio._get_running_loop() is loop)
        )

    assert not loop.is_running()
    loop.call_soon(look)
    run_turn(loop)
    assert seen == [(True, True, True)]
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None


def test_running_state_is_reset_after_an_exception(loop):
    loop.call_soon(sys.exit, 3)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert loop.run_until_complete(answer()) == 42


def test_a_nested_run_raises_before_the_coroutine_starts(loop):
    """uvloop makes the Task first, and it runs although the call failed."""
    coroutine = answer()

    async def outer():
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(coroutine)
        tasks = asyncio.all_tasks()
        await asyncio.sleep(0.001)
        return tasks

    assert len(loop.run_until_complete(outer())) == 1
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutine.close()


def test_a_nested_run_forever_does_no_harm(loop, impl):
    if PY313 and not impl.is_cloop:
        pytest.skip("asyncio forgets the running loop from 3.13")

    async def outer():
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_forever()
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    assert loop.run_until_complete(outer()) is loop


def test_a_run_of_another_loop_inside_raises_before_the_coroutine_starts(loop_factory):
    loop, other = loop_factory(), loop_factory()
    coroutine = answer()

    async def outer():
        with pytest.raises(RuntimeError, match="Cannot run the event loop while another loop is running"):
            other.run_until_complete(coroutine)
        await asyncio.sleep(0)

    loop.run_until_complete(outer())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    coroutine.close()
    assert other.run_until_complete(answer()) == 42


def test_loops_take_turns(loop_factory):
    """Two loops of one thread, run one after the other, do not disturb each other."""
    one, two = loop_factory(), loop_factory()
    task = one.create_task(asyncio.sleep(0.001, "one"))
    assert two.run_until_complete(answer()) == 42
    assert one.run_until_complete(task) == "one"


def test_loops_run_in_threads_at_once(loop_factory):
    results = []

    def work(loop):
        async def main():
            for _ in range(100):
                await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            return len(asyncio.all_tasks())

        results.append(loop.run_until_complete(main()))

    loops = [loop_factory() for _ in range(4)]
    with running_thread(work, loops[0]), running_thread(work, loops[1]), running_thread(work, loops[2]):
        work(loops[3])
    assert results == [1] * 4


def test_a_loop_can_move_to_another_thread(loop):
    loop.run_until_complete(answer())
    results = []
    with running_thread(lambda: results.append(loop.run_until_complete(answer()))):
        pass
    assert results == [42]
    assert loop.run_until_complete(answer()) == 42


def test_running_in_two_threads_is_refused(loop):
    started, refused = threading.Event(), threading.Event()

    def run_too():
        started.wait()
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_forever()
        refused.set()
        loop.call_soon_threadsafe(loop.stop)

    loop.call_soon(started.set)
    with running_thread(run_too):
        loop.run_forever()
    assert refused.is_set()


def test_async_generator_hooks_are_restored(loop):
    before = sys.get_asyncgen_hooks()
    seen = []
    loop.call_soon(lambda: seen.append(sys.get_asyncgen_hooks()))
    run_turn(loop)
    assert seen[0].firstiter is not None and seen[0].finalizer is not None
    assert sys.get_asyncgen_hooks() == before


def test_close(loop):
    assert not loop.is_closed()
    loop.close()
    assert loop.is_closed()
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_forever()
    coroutine = answer()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_create_task_on_a_closed_loop(loop):
    loop.close()
    coroutine = answer()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coroutine)
    coroutine.close()


def test_close_while_running(loop):
    async def main():
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()
        return await answer()

    assert loop.run_until_complete(main()) == 42


def test_stop_after_close_and_before(loop):
    loop.stop()
    loop.close()
    loop.stop()
    assert loop.is_closed()


def test_repr(loop):
    name = type(loop).__name__
    assert f"{name} running=False closed=False debug=False" in repr(loop)
    loop.close()
    assert "closed=True" in repr(loop)


def test_runner_and_run(impl):
    async def main():
        assert isinstance(asyncio.get_running_loop(), impl.loop_type)
        return await answer()

    with asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        assert runner.run(main()) == 42
        assert runner.run(main()) == 42
    if PY312:
        assert asyncio.run(main(), loop_factory=impl.new_event_loop) == 42
    assert impl.run(main()) == 42


def test_run_sets_debug(impl):
    async def main():
        return asyncio.get_running_loop().get_debug()

    assert impl.run(main(), debug=True) is True
    assert impl.run(main(), debug=False) is False


def test_run_refuses_what_asyncio_run_refuses(impl, loop):
    async def nested():
        coroutine = answer()
        with pytest.raises(RuntimeError, match=r"cannot be called from a running event loop"):
            impl.run(coroutine)
        coroutine.close()

    loop.run_until_complete(nested())
    with pytest.raises((ValueError, TypeError), match=r"a coroutine was expected|An asyncio\.Future"):
        impl.run("no coroutine")


def test_run_cancels_what_is_left_and_closes_generators(impl):
    seen = []

    async def leftover():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def generator():
        try:
            yield 1
        finally:
            seen.append("closed")

    async def main():
        leaked = generator()
        task = asyncio.create_task(leftover())
        await anext(leaked)
        await asyncio.sleep(0)
        seen.append(type(task).__name__)
        globals()["kept"] = leaked

    try:
        impl.run(main())
    finally:
        globals().pop("kept", None)
    assert seen == ["Task", "cancelled", "closed"]


def test_new_event_loop_is_a_loop(impl):
    loop = impl.new_event_loop()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert isinstance(loop, impl.loop_type)
    loop.close()
