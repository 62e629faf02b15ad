"""asyncio.current_task and all_tasks tell the truth, wherever they are asked."""

import asyncio
import gc
import subprocess
import sys
import threading

import pytest

from tests.support import PY312, PY314, run_turn, running_thread, settle


def test_in_a_task(loop, run):
    async def main():
        own = asyncio.current_task()
        assert asyncio.current_task(loop) is own
        await asyncio.sleep(0)
        assert asyncio.current_task() is own
        await asyncio.sleep(0.001)
        return asyncio.current_task() is own

    task = loop.create_task(main())
    assert run(task) is True
    assert asyncio.current_task(loop) is None


def test_outside_of_a_loop(loop):
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.current_task()
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.all_tasks()
    assert asyncio.current_task(loop) is None
    assert asyncio.all_tasks(loop) == set()


def test_each_task_sees_itself(run):
    async def look(tasks):
        for _ in range(5):
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)

    async def main():
        seen = [[] for _ in range(10)]
        tasks = [asyncio.create_task(look(each)) for each in seen]
        await asyncio.gather(*tasks)
        return tasks, seen

    tasks, seen = run(main())
    assert seen == [[task] * 5 for task in tasks]


def test_none_in_callbacks_between_steps(loop, run, pair):
    """Callbacks of every kind that run in one turn with task steps, before and after them."""
    left, right = pair
    seen = []

    def look(*args):
        seen.append(asyncio.current_task())

    async def steps():
        for _ in range(4):
            loop.call_soon(look)
            loop.call_later(0, look)
            loop.call_soon_threadsafe(look)
            future = loop.create_future()
            future.add_done_callback(look)
            future.set_result(None)
            await asyncio.sleep(0)
            assert asyncio.current_task() is not None

    async def main():
        right.send(b"x")
        loop.add_reader(left, look)
        await asyncio.gather(*(steps() for _ in range(3)))
        await settle()
        loop.remove_reader(left)

    run(main())
    assert len(seen) > 48
    assert set(seen) == {None}


def test_none_in_done_callbacks_of_the_task(loop, run):
    seen = []

    async def main():
        return 1

    task = loop.create_task(main())
    task.add_done_callback(lambda _: seen.append(asyncio.current_task()))
    run(task)
    run_turn(loop)
    assert seen == [None]


def test_none_after_a_step_that_failed(loop, run):
    seen = []

    async def fail():
        loop.call_soon(lambda: seen.append(asyncio.current_task()))
        raise KeyError("failed")

    task = loop.create_task(fail())
    run(settle())
    task.exception()
    assert seen == [None]


def test_in_what_a_step_calls(loop, run):
    """Finalizers, other coroutines driven by hand and plain functions belong to the step."""
    seen = []

    class Finalized:
        def __del__(self):
            seen.append(asyncio.current_task())

    async def inner():
        seen.append(asyncio.current_task())

    async def main():
        finalized = Finalized()
        del finalized
        with pytest.raises(StopIteration):
            inner().send(None)
        await inner()
        return asyncio.current_task()

    task = run(main())
    assert seen == [task] * 3


def test_from_an_interrupted_step(loop):
    async def main():
        raise KeyboardInterrupt

    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert asyncio.current_task(loop) is None
    task.exception()


def test_of_two_loops_in_two_threads(loop_factory):
    """A loop's current task is its own, seen from inside."""
    results = {}
    barrier = threading.Barrier(2)

    def work(loop):
        async def main():
            own = asyncio.current_task()
            for _ in range(50):
                await asyncio.sleep(0)
                assert asyncio.current_task() is own
            barrier.wait(10)
            results[loop] = asyncio.all_tasks() == {own}
            barrier.wait(10)

        loop.run_until_complete(main())

    one, two = loop_factory(), loop_factory()
    with running_thread(work, one):
        work(two)
    assert results == {one: True, two: True}


def test_seen_from_another_thread(loop, run):
    seen = {}

    def look():
        seen["current"] = asyncio.current_task(loop)
        seen["all"] = asyncio.all_tasks(loop)

    async def other():
        await loop.create_future()

    async def main():
        waiting = asyncio.create_task(other())
        await settle()
        with running_thread(look):
            pass
        tasks = asyncio.current_task(), waiting
        waiting.cancel()
        return tasks

    current, waiting = run(main())
    assert seen["all"] == {current, waiting}
    assert seen["current"] is current


def test_all_tasks(loop, run):
    async def wait(future):
        await future

    async def main():
        future = loop.create_future()
        tasks = {asyncio.create_task(wait(future)) for _ in range(100)}
        everything = tasks | {asyncio.current_task()}
        assert asyncio.all_tasks() == everything
        await settle()
        assert asyncio.all_tasks(loop) == everything
        gc.collect()
        assert asyncio.all_tasks() == everything
        future.set_result(None)
        await asyncio.wait(tasks)
        return asyncio.all_tasks() == {asyncio.current_task()}

    assert run(main()) is True
    assert asyncio.all_tasks(loop) == set()


def test_all_tasks_of_its_loop_only(loop_factory):
    one, two = loop_factory(), loop_factory()
    tasks = [loop.create_task(asyncio.sleep(0)) for loop in (one, two)]
    assert asyncio.all_tasks(one) == {tasks[0]}
    assert asyncio.all_tasks(two) == {tasks[1]}
    for loop, task in zip((one, two), tasks, strict=True):
        loop.run_until_complete(task)
    assert asyncio.all_tasks(one) == asyncio.all_tasks(two) == set()


def test_all_tasks_does_not_keep_them_alive(loop, run):
    async def main():
        for _ in range(100):
            await asyncio.create_task(asyncio.sleep(0))
        await settle()
        return len(asyncio.all_tasks())

    assert run(main()) == 1


@pytest.mark.skipif(not PY312, reason="eager tasks are new in 3.12")
def test_eager_tasks_of_other_kinds_nest(loop, run, impl):
    """asyncio's and cloop's tasks, started inside each other."""
    seen = []

    async def nest(kinds):
        own = asyncio.current_task()
        seen.append(type(own))
        if kinds:
            inner = kinds[0](nest(kinds[1:]), loop=loop, eager_start=True)
            assert inner.done()
            assert asyncio.current_task() is own
            inner.result()

    async def main():
        own = asyncio.current_task()
        kinds = [asyncio.Task, impl.Task, asyncio.tasks._PyTask, impl.Task, asyncio.Task]
        if PY314:
            # From 3.14, Python tasks keep a record apart from the C one.
            kinds.remove(asyncio.tasks._PyTask)
        await nest(kinds)
        assert asyncio.current_task() is own
        return [own, *kinds]

    assert [type(run(main())[0])] == seen[:1]
    assert len(seen) >= 5


def test_enter_and_leave(loop, run):
    """What tools use that drive tasks themselves, in a callback of the running loop."""
    tasks = [loop.create_task(asyncio.sleep(0)) for _ in range(2)]

    def drive():
        asyncio._enter_task(loop, tasks[0])
        assert asyncio.current_task(loop) is tasks[0]
        with pytest.raises(RuntimeError, match="Cannot enter into task"):
            asyncio._enter_task(loop, tasks[1])
        with pytest.raises(RuntimeError, match=r"Leaving task|leave task"):
            asyncio._leave_task(loop, tasks[1])
        asyncio._leave_task(loop, tasks[0])
        assert asyncio.current_task(loop) is None

    loop.call_soon(drive)
    run(asyncio.wait(tasks))


def test_tasks_of_a_thread_that_has_ended(loop_factory):
    """Their loop is there still, and so are they."""
    made = []

    def work():
        loop = loop_factory()
        task = loop.create_task(asyncio.sleep(0, "slept"))
        run_turn(loop)
        made.extend([loop, task])

    with running_thread(work):
        pass
    loop, task = made
    assert asyncio.all_tasks(loop) == {task}
    with running_thread(lambda: made.append(loop.create_task(asyncio.sleep(0)))):
        pass
    assert asyncio.all_tasks(loop) == {task, made[2]}
    assert loop.run_until_complete(task) == "slept"
    loop.run_until_complete(made[2])
    assert asyncio.all_tasks(loop) == set()


IMPORTS_IN_A_TASK = """
import asyncio, gc, sys

async def main():
    own, loop = asyncio.current_task(), asyncio.get_running_loop()
    import cloop
    assert asyncio.current_task() is own and asyncio.get_running_loop() is loop
    await asyncio.sleep(0)
    assert asyncio.current_task() is own
    kept = [each for each in gc.get_objects() if type(each).__name__ == "Probe"]
    assert not kept, kept
    return cloop

# A slow import would be reported in debug mode.
cloop = asyncio.run(main(), debug=False)

async def again():
    assert asyncio.current_task() in asyncio.all_tasks()

cloop.run(again())
try:
    asyncio.get_running_loop()
except RuntimeError:
    print("well")
"""


def test_imported_in_the_middle_of_a_task():
    """Where the current task is kept is found out by the import, and left as it was."""
    program = [sys.executable, "-c", IMPORTS_IN_A_TASK]
    done = subprocess.run(program, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("well\n", "")
