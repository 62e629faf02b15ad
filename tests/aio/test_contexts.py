"""Context variables in tasks."""

import asyncio
import contextvars

import pytest

from tests.support import settle

variable = contextvars.ContextVar("variable", default="unset")


async def look():
    await asyncio.sleep(0)
    return variable.get()


async def change(value):
    variable.set(value)
    await asyncio.sleep(0)
    return variable.get()


def test_a_task_gets_a_copy_at_its_creation(loop, run):
    async def main():
        variable.set("at creation")
        task = asyncio.create_task(look())
        variable.set("later")
        return await task, variable.get()

    assert run(main()) == ("at creation", "later")
    assert variable.get() == "unset"


def test_changes_stay_inside_the_task(run):
    async def main():
        results = await asyncio.gather(change("a"), change("b"), look())
        return results, variable.get()

    assert run(main()) == (["a", "b", "unset"], "unset")


def test_the_steps_of_tasks_do_not_mix(run):
    async def count(label):
        for number in range(20):
            variable.set((label, number))
            await asyncio.sleep(0)
            assert variable.get() == (label, number)

    async def main():
        await asyncio.gather(*(count(label) for label in range(10)))

    run(main())


def test_an_explicit_context_is_used_itself(loop, run):
    given = contextvars.Context()

    async def main():
        assert await asyncio.create_task(change("given"), context=given) == "given"
        assert await asyncio.create_task(look(), context=given) == "given"

    run(main())
    assert given[variable] == "given"
    assert variable.get() == "unset"


def test_two_tasks_in_one_context(loop, run):
    given = contextvars.Context()

    async def main():
        tasks = [asyncio.create_task(change(value), context=given) for value in ("one", "two")]
        return await asyncio.gather(*tasks)

    assert run(main()) == ["two", "two"]


def test_awaiting_a_coroutine_shares_the_context(run):
    async def main():
        await change("inner")
        return variable.get()

    assert run(main()) == "inner"


def test_the_task_wakes_in_its_own_context(loop, run, future):
    """Whoever sets the result has nothing to do with the context of the one that waits."""

    async def wait():
        variable.set("the waiter's")
        await future
        return variable.get()

    async def main():
        task = asyncio.create_task(wait())
        await settle()
        variable.set("the setter's")
        future.set_result(None)
        return await task

    assert run(main()) == "the waiter's"


def test_callbacks_of_a_task_run_in_the_context_of_who_added_them(loop, run):
    seen = []

    async def main():
        task = asyncio.create_task(change("the task's"))
        variable.set("adder's")
        task.add_done_callback(lambda _: seen.append(variable.get()))
        await task
        await settle()

    run(main())
    assert seen == ["adder's"]


def test_run_until_complete_leaves_the_callers_context(loop):
    token = variable.set("caller's")
    try:
        assert loop.run_until_complete(change("inside")) == "inside"
        assert variable.get() == "caller's"
    finally:
        variable.reset(token)


def test_a_runner_shares_one_context(impl):
    with asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(change("kept"))
        assert runner.run(look()) == "kept"


def test_a_context_already_entered_is_refused(loop, run, reports):
    """The task cannot step in a context that is current already; it must not hang in silence."""

    async def body():
        return "never"

    async def main():
        context = contextvars.copy_context()
        context.run(lambda: loop.call_soon(loop.call_soon, int, context=context))
        await settle()
        return context

    context = run(main())
    assert isinstance(context, contextvars.Context)
    with pytest.raises(RuntimeError, match="cannot enter context"):
        context.run(context.run, int)


def test_reset_in_the_same_task(run):
    async def main():
        token = variable.set("set")
        await asyncio.sleep(0)
        variable.reset(token)
        await asyncio.sleep(0)
        return variable.get()

    assert run(main()) == "unset"


def test_generators_see_the_context_of_who_drives_them(run):
    async def numbers():
        for _ in range(3):
            yield variable.get()
            await asyncio.sleep(0)

    async def main():
        seen = []
        async for value in numbers():
            seen.append(value)
            variable.set(f"after {len(seen)}")
        return seen

    assert run(main()) == ["unset", "after 1", "after 2"]
