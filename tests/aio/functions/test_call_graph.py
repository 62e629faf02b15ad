"""Who awaits whom, as asyncio.capture_call_graph() tells it from 3.14 on."""

import asyncio

import pytest

from tests.support import settle

pytestmark = pytest.mark.skipif(
    not hasattr(asyncio, "capture_call_graph"), reason="asyncio.capture_call_graph is new in 3.14"
)


def awaited_by(future):
    """The names of the tasks that await a future."""
    return {each.future.get_name() for each in asyncio.capture_call_graph(future).awaited_by}


async def await_it(future):
    return await future


async def group(one, two):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(await_it(one), name="in the group")
        tasks.create_task(await_it(two))


@pytest.mark.parametrize("name", ["gather", "wait", "shield", "wait_for", "as_completed"])
@pytest.mark.parametrize("foreign", [False, True], ids=["own", "of asyncio"])
def test_functions(loop, run, functions, name, foreign):
    """While a function waits, its futures are awaited by the task that called it; then no more."""

    def new_task(coro, **kwargs):
        return asyncio.Task(coro, loop=loop, **kwargs) if foreign else loop.create_task(coro, **kwargs)

    calls = {
        "gather": lambda one, two: functions.gather(one, two),
        "wait": lambda one, two: functions.wait([one, two]),
        "shield": lambda one, two: functions.shield(one),
        "wait_for": lambda one, two: functions.wait_for(one, 60),
        "as_completed": lambda one, two: anext(functions.as_completed([one, two])),
    }

    async def call(one, two):
        return await calls[name](one, two)

    async def main():
        gate = asyncio.Event()
        one, two = new_task(gate.wait()), new_task(gate.wait())
        caller = new_task(call(one, two), name="caller")
        await settle()
        seen = awaited_by(one)
        gate.set()
        await caller
        await settle()
        return seen, awaited_by(one), awaited_by(two)

    assert run(main()) == ({"caller"}, set(), set())


def test_task_group(loop, run):
    async def main():
        one, two = loop.create_future(), loop.create_future()
        task = asyncio.create_task(group(one, two), name="group")
        await settle()
        (member,) = (each for each in asyncio.all_tasks() if each.get_name() == "in the group")
        seen = awaited_by(member), awaited_by(one)
        one.set_result(None)
        two.set_result(None)
        await task
        return *seen, awaited_by(member)

    assert run(main()) == ({"group"}, {"in the group"}, set())


def test_survivors_of_a_gather(loop, run, functions):
    """Once gather() has failed, nobody awaits those that go on."""

    async def fail():
        raise KeyError("failed")

    async def main():
        gate = loop.create_future()
        survivor = asyncio.create_task(await_it(gate))
        with pytest.raises(KeyError, match="failed"):
            await functions.gather(survivor, fail())
        await settle()
        seen = awaited_by(survivor)
        gate.set_result(None)
        await survivor
        return seen

    assert run(main()) == set()


def test_a_task_of_asyncio_awaits_a_future(loop, run):
    async def main():
        future = loop.create_future()
        task = asyncio.Task(await_it(future), loop=loop, name="waiter")
        await settle()
        seen = awaited_by(future)
        future.set_result(None)
        await task
        return seen, future._asyncio_awaited_by

    seen, after = run(main())
    assert seen == {"waiter"}
    assert not after


def test_public_functions(loop, run):
    """They may be told of any futures, and of what is none; each is counted once."""
    add, discard = asyncio.future_add_to_awaited_by, asyncio.future_discard_from_awaited_by

    async def main():
        future = loop.create_future()
        waiters = [loop.create_future() for _ in range(3)]
        assert future._asyncio_awaited_by is None
        for waiter in [*waiters, waiters[0]]:
            add(future, waiter)
        assert future._asyncio_awaited_by == frozenset(waiters)
        for waiter in waiters[:2]:
            discard(future, waiter)
        discard(future, waiters[0])
        assert future._asyncio_awaited_by == frozenset(waiters[2:])
        add(future, "no future")
        add("no future", future)
        discard(future, "no future")
        discard("no future", future)
        assert future._asyncio_awaited_by == frozenset(waiters[2:])
        discard(future, waiters[2])
        assert not future._asyncio_awaited_by

    run(main())
