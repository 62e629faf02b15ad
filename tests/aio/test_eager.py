"""Tasks that start at once: Task(eager_start=True), the eager factories, create_task's keyword."""

import asyncio
import contextvars
import inspect

import pytest

from tests.support import PY312, collect_garbage, settle

pytestmark = pytest.mark.skipif(not PY312, reason="eager tasks are new in 3.12")

CREATE_TASK_TAKES_MORE = "kwargs" in inspect.signature(asyncio.BaseEventLoop.create_task).parameters


async def answer():
    return 42


async def answer_later():
    await asyncio.sleep(0)
    return 42


@pytest.fixture
def eager(loop, impl):
    """Makes an eager task on the loop."""
    return lambda coro, **kwargs: impl.Task(coro, loop=loop, eager_start=True, **kwargs)


def test_finished_before_the_constructor_returns(run, eager):
    async def main():
        task = eager(answer(), name="named")
        assert task.done()
        assert task.result() == 42
        assert task.get_name() == "named"
        assert task not in asyncio.all_tasks()
        return await task

    assert run(main()) == 42


def test_goes_on_later_when_it_waits(run, eager):
    async def main():
        task = eager(answer_later())
        assert not task.done()
        assert task in asyncio.all_tasks()
        return await task

    assert run(main()) == 42


def test_waits_for_a_future(loop, run, eager, future):
    async def wait():
        return await future

    async def main():
        task = eager(wait())
        loop.call_soon(future.set_result, "set")
        return await task

    assert run(main()) == "set"


def test_fails_at_once(run, eager):
    async def fail():
        raise KeyError("eager")

    async def main():
        task = eager(fail())
        assert task.done()
        assert isinstance(task.exception(), KeyError)

    run(main())


def test_cancelled_error_at_once(run, eager):
    async def cancelled():
        raise asyncio.CancelledError("eager")

    async def main():
        task = eager(cancelled())
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError, match="eager"):
            await task

    run(main())


def test_done_callbacks_still_come_in_the_next_turn(run, eager):
    async def main():
        seen = []
        eager(answer()).add_done_callback(seen.append)
        assert seen == []
        await asyncio.sleep(0)
        return len(seen)

    assert run(main()) == 1


def test_current_task_is_the_eager_one_and_then_the_outer_again(run, eager):
    async def look(seen):
        seen.append(asyncio.current_task())

    async def nest(depth, seen):
        own = asyncio.current_task()
        seen.append(own)
        if depth:
            task = eager(nest(depth - 1, seen))
            assert asyncio.current_task() is own
            await task

    async def main():
        own, seen = asyncio.current_task(), []
        task = eager(look(seen))
        assert seen == [task]
        assert asyncio.current_task() is own
        seen.clear()
        await eager(nest(5, seen))
        assert asyncio.current_task() is own
        assert len(set(seen)) == 6
        await asyncio.sleep(0)
        assert asyncio.current_task() is own

    run(main())


def test_current_task_after_an_eager_failure(run, eager):
    async def fail():
        raise KeyError("eager")

    async def main():
        own = asyncio.current_task()
        task = eager(fail())
        assert asyncio.current_task() is own
        task.exception()

    run(main())


def test_all_tasks_while_starting(run, eager):
    async def look():
        return asyncio.all_tasks()

    async def main():
        task = eager(look())
        assert task in task.result()
        assert asyncio.current_task() in task.result()

    run(main())


def test_runs_in_its_context(run, eager):
    variable = contextvars.ContextVar("variable", default="unset")

    async def body():
        first = variable.get()
        variable.set("changed inside")
        await asyncio.sleep(0)
        return first, variable.get()

    async def main():
        variable.set("outer")
        context = contextvars.copy_context()
        given = contextvars.Context()
        given.run(variable.set, "given")
        copied, explicit = eager(body()), eager(body(), context=given)
        assert variable.get() == "outer"
        results = await copied, await explicit
        assert given[variable] == "changed inside" and context[variable] == "outer"
        return results

    assert run(main()) == (("outer", "changed inside"), ("given", "changed inside"))


def test_outside_a_running_loop_it_waits(loop, run, eager):
    seen = []

    async def body():
        seen.append("ran")

    task = eager(body())
    assert seen == []
    run(task)
    assert seen == ["ran"]


def test_cancelled_after_its_start(run, eager):
    async def main():
        task = eager(answer_later())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


def test_cancels_itself_while_starting(run, eager):
    async def body():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)
        return "not reached"

    async def main():
        task = eager(body())
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_bad_yields_while_starting(run, eager, future):
    async def awaits_itself():
        await tasks[0]

    class Yields:
        def __await__(self):
            yield "garbage"

    async def yields():
        await Yields()

    tasks = []

    async def main():
        task = eager(yields())
        with pytest.raises(RuntimeError, match="Task got bad yield: 'garbage'"):
            await task

    run(main())


@pytest.mark.parametrize("factory", ["asyncio's", "own"])
def test_factories(loop, run, impl, factory):
    """asyncio.eager_task_factory makes asyncio's tasks; create_eager_task_factory those it is given."""
    own = asyncio.create_eager_task_factory(impl.Task)
    loop.set_task_factory(asyncio.eager_task_factory if factory == "asyncio's" else own)

    async def main():
        task = asyncio.create_task(answer(), name="named")
        assert task.done() and task.get_name() == "named"
        later = loop.create_task(answer_later())
        assert not later.done()
        if factory == "own":
            assert type(task) is impl.Task
        async with asyncio.TaskGroup() as group:
            in_group = [group.create_task(answer_later()), group.create_task(answer())]
        gathered = await asyncio.gather(answer(), answer_later())
        return task.result(), await later, [each.result() for each in in_group], gathered

    assert run(main()) == (42, 42, [42, 42], [42, 42])


def test_factory_with_context(loop, run, impl):
    variable = contextvars.ContextVar("variable", default="unset")
    given = contextvars.Context()
    given.run(variable.set, "given")
    loop.set_task_factory(asyncio.create_eager_task_factory(impl.Task))

    async def main():
        return await loop.create_task(look(variable), context=given)

    assert run(main()) == "given"


async def look(variable):
    return variable.get()


@pytest.mark.skipif(not CREATE_TASK_TAKES_MORE, reason="create_task passes it on only in later versions")
def test_create_tasks_keyword(loop, run):
    async def main():
        assert loop.create_task(answer(), eager_start=True).done()
        later = loop.create_task(answer(), eager_start=False)
        assert not later.done()
        return await later

    assert run(main()) == 42


@pytest.mark.skipif(CREATE_TASK_TAKES_MORE, reason="create_task passes it on")
def test_create_task_has_no_keyword(loop):
    coroutine = answer()
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        loop.create_task(coroutine, eager_start=True)
    coroutine.close()


def test_many_eager_tasks_settle_in_order(run, eager):
    async def child(number, seen):
        seen.append(number)
        await asyncio.sleep(0)
        seen.append(number + 100)

    async def main():
        seen = []
        tasks = [eager(child(number, seen)) for number in range(100)]
        assert seen == list(range(100))
        await asyncio.gather(*tasks)
        return seen

    assert run(main()) == list(range(200))


def test_interrupt_while_starting(loop, eager, reports):
    """KeyboardInterrupt out of the first step comes out of the constructor's caller."""

    async def interrupted():
        raise KeyboardInterrupt("eager")

    async def main():
        eager(interrupted())

    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt, match="eager"):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), KeyboardInterrupt)
    loop.run_until_complete(settle())
    del task
    collect_garbage()
    # The caller never got hold of the eager task.
    assert reports.take_one()["message"] == "Task exception was never retrieved"


@pytest.mark.parametrize("context", ["entered", "none at all"])
def test_one_that_can_not_start(impl, run, eager, context):
    """It raises, and was never a task."""
    if not impl.is_cloop:
        pytest.skip("asyncio takes it for the current task for good, or reports that it was destroyed")

    async def main():
        here = asyncio.current_task()
        coro = answer()
        entered = contextvars.copy_context()
        if context == "entered":
            with pytest.raises(RuntimeError, match="cannot enter context"):
                entered.run(eager, coro, context=entered)
        else:
            with pytest.raises(TypeError):
                eager(coro, context=object())
        coro.close()
        assert asyncio.current_task() is here
        assert asyncio.all_tasks() == {here}
        # A report would reach the exception handler.
        collect_garbage()
        assert await eager(answer_later()) == 42

    run(main())
