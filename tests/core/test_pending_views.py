"""`loop._ready` and `loop._scheduled`: what tools read there, and take out."""

import asyncio

import pytest

from tests.support import run_for, run_turn


def test_ready_is_looked_at_anew_each_time(loop):
    """playwright holds on to it."""
    ready = loop._ready
    assert not ready
    handle = loop.call_soon(int)
    assert ready
    assert len(ready) == 1
    assert list(ready) == [handle]
    assert ready[0] is handle
    assert handle in ready
    assert list(ready.copy()) == [handle]
    run_turn(loop)
    assert not ready


def test_what_was_posted_is_in_it(loop):
    handle = loop.call_soon_threadsafe(int)
    assert list(loop._ready) == [handle]
    run_turn(loop)


def test_every_entry_is_a_handle(loop, run):
    async def main():
        task = loop.create_task(asyncio.sleep(0, "result"))
        loop.call_soon(int)
        first, second = list(loop._ready)
        assert isinstance(first, asyncio.Handle)
        assert first._callback.__self__ is task
        assert first._args == ()
        assert not first._cancelled
        assert list(loop._ready) == [first, second]
        assert await task == "result"
        assert asyncio.current_task() is not task

    run(main())


def test_to_cancel_the_handle_of_a_task_is_to_leave_it_where_it_is(loop, run):
    async def main():
        task = loop.create_task(asyncio.sleep(0))
        list(loop._ready)[-1].cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        loop._add_callback(asyncio.Handle(task.cancel, (), loop))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        return task

    task = run(main())
    task._log_destroy_pending = False
    task.get_coro().close()


def test_ready_takes_handles(loop):
    seen = []
    own = loop.call_soon(seen.append, "own")
    run_turn(loop)
    loop._ready.append(own)
    loop._ready.append(asyncio.Handle(seen.append, ("asyncio's",), loop))
    cancelled = asyncio.Handle(seen.append, ("cancelled",), loop)
    cancelled.cancel()
    loop._ready.append(cancelled)
    loop._ready.appendleft(asyncio.Handle(seen.append, ("first",), loop))
    run_turn(loop)
    assert seen == ["own", "first", "own", "asyncio's"]


def test_handles_taken_out_of_ready(loop):
    seen = []
    handles = [loop.call_soon(seen.append, number) for number in range(5)]
    assert loop._ready.popleft() is handles[0]
    assert loop._ready.pop() is handles[4]
    loop._ready.remove(handles[2])
    with pytest.raises(ValueError):
        loop._ready.remove(handles[2])
    run_turn(loop)
    assert seen == [1, 3]
    loop.call_soon(seen.append, "no more")
    loop._ready.clear()
    with pytest.raises(IndexError):
        loop._ready.popleft()
    run_turn(loop)
    assert seen == [1, 3]


def test_a_turn_of_somebodys_own(loop):
    """As of tools that run the loop's callbacks themselves."""

    async def main():
        await asyncio.sleep(0)
        return "result"

    task = loop.create_task(main())
    asyncio._set_running_loop(loop)
    try:
        while loop._ready:
            handle = loop._ready.popleft()
            if not handle._cancelled:
                handle._run()
                assert asyncio.current_task(loop) is None
    finally:
        asyncio._set_running_loop(None)
    assert task.result() == "result"


def test_scheduled_is_looked_at_anew_each_time(loop):
    scheduled = loop._scheduled
    assert not scheduled
    late, early = loop.call_later(1000, int), loop.call_later(500, int)
    assert len(scheduled) == 2
    assert scheduled[0] is early
    assert list(scheduled) == [early, late]
    assert scheduled.copy() == [early, late]
    scheduled.remove(early)
    assert list(scheduled) == [late]
    with pytest.raises(ValueError):
        scheduled.remove(early)
    scheduled.clear()
    assert not scheduled
    run_turn(loop)
    late.cancel()


def test_timers_that_are_cleared_are_not_called(loop):
    seen = []
    loop.call_later(0.001, seen.append, 1)
    loop._scheduled.clear()
    run_for(loop, 0.005)
    assert seen == []
