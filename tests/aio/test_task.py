"""Task: creation, names, results, stacks, what it looks like."""

import asyncio
import contextvars
import gc
import inspect
import io
import re
import traceback
import weakref
from types import GenericAlias

import pytest

from tests.support import PY312, collect_garbage, run_turn, running_thread, settle


async def answer():
    await asyncio.sleep(0)
    return 42


async def forever(loop):
    await loop.create_future()


@pytest.fixture
def pending(loop, run):
    """A task that waits; it is cancelled afterwards."""
    task = loop.create_task(forever(loop), name="pending")
    run(settle())
    yield task
    task.cancel()
    run(asyncio.wait([task]))


def test_created_by_the_loop(loop, impl, run):
    task = loop.create_task(answer())
    assert type(task) is impl.Task
    assert isinstance(task, impl.Future)
    assert task.get_loop() is loop
    assert run(task) == 42


def test_is_asyncios(pending):
    assert isinstance(pending, asyncio.Task)
    assert isinstance(pending, asyncio.Future)
    assert asyncio.isfuture(pending)


def test_asyncio_create_task(loop, impl, run):
    async def main():
        task = asyncio.create_task(answer())
        ensured = asyncio.ensure_future(answer())
        assert type(task) is type(ensured) is impl.Task
        return await task, await ensured

    assert run(main()) == (42, 42)


def test_the_coroutine_starts_in_the_next_turn(loop):
    seen = []

    async def main():
        seen.append("started")

    task = loop.create_task(main())
    assert seen == []
    run_turn(loop)
    assert seen == ["started"]
    assert task.done()


def test_tasks_start_in_order_among_callbacks(loop):
    seen = []

    async def main(name):
        seen.append(name)

    tasks = [loop.create_task(main("one"))]
    loop.call_soon(seen.append, "two")
    tasks.append(loop.create_task(main("three")))
    run_turn(loop)
    assert seen == ["one", "two", "three"]


def test_sleep_zero_lets_each_of_the_others_run_once(loop, run):
    seen = []

    async def step(name):
        for number in range(3):
            seen.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(step("a"), step("b"), step("c"))

    run(main())
    assert seen == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


def test_names(loop, run):
    async def main():
        named = asyncio.create_task(answer(), name="its name")
        numbered = asyncio.create_task(answer(), name=12)
        unnamed, next_one = asyncio.create_task(answer()), asyncio.create_task(answer())
        assert named.get_name() == "its name"
        assert numbered.get_name() == "12"
        numbers = [re.fullmatch(r"Task-(\d+)", each.get_name()) for each in (unnamed, next_one)]
        assert int(numbers[0][1]) < int(numbers[1][1])
        named.set_name(object)
        assert named.get_name() == str(object)
        await asyncio.gather(named, numbered, unnamed, next_one)

    run(main())


def test_names_are_not_shared_with_asyncios_tasks(loop, run):
    """One counter for both, so that no two tasks of a process have one name."""

    async def main():
        tasks = [loop.create_task(answer()), asyncio.Task(answer()), loop.create_task(answer())]
        await asyncio.gather(*tasks)
        return [each.get_name() for each in tasks]

    assert len(set(run(main()))) == 3


@pytest.mark.parametrize("wrong", [None, 1, "coroutine", answer, object()])
def test_takes_coroutines_only(loop, impl, wrong):
    message = re.escape(f"a coroutine was expected, got {wrong!r}")
    with pytest.raises(TypeError, match=message):
        loop.create_task(wrong)
    with pytest.raises(TypeError, match=message):
        impl.Task(wrong, loop=loop)


def test_create_task_refuses_unknown_arguments(loop):
    coroutine = answer()
    with pytest.raises(TypeError):
        loop.create_task(coroutine, unknown=1)
    coroutine.close()
    with pytest.raises(TypeError):
        loop.create_task(coroutine, "name")


def test_get_coro_and_loop(loop, run, pending):
    coroutine = answer()
    task = loop.create_task(coroutine)
    assert task.get_coro() is coroutine
    assert run(task) == 42
    assert task.get_coro() is coroutine
    assert pending.get_loop() is loop


@pytest.mark.skipif(not PY312, reason="Task.get_context is new in 3.12")
def test_get_context(loop, run):
    context = contextvars.copy_context()
    task = loop.create_task(answer(), context=context)
    assert task.get_context() is context
    other = loop.create_task(answer())
    assert isinstance(other.get_context(), contextvars.Context)
    run(asyncio.wait([task, other]))


def test_results_and_exceptions(loop, run):
    async def fail():
        raise KeyError("failed")

    good, bad = loop.create_task(answer()), loop.create_task(fail())
    with pytest.raises(asyncio.InvalidStateError, match=r"^Result is not set\.$"):
        good.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        bad.exception()
    run(asyncio.wait([good, bad]))
    assert good.result() == 42 and good.exception() is None
    assert isinstance(bad.exception(), KeyError)
    with pytest.raises(KeyError, match="failed"):
        bad.result()


def test_results_cannot_be_set(loop, pending):
    with pytest.raises(RuntimeError, match=r"^Task does not support set_result operation$"):
        pending.set_result(1)
    with pytest.raises(RuntimeError, match=r"^Task does not support set_exception operation$"):
        pending.set_exception(KeyError())
    assert not pending.done()


@pytest.mark.parametrize("steps", [0, 1])
def test_stop_iteration_out_of_a_coroutine(run, steps):
    async def main():
        for _ in range(steps):
            await asyncio.sleep(0)
        raise StopIteration(1)

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        run(main())


def test_values_that_look_like_others(run):
    async def main(value):
        await asyncio.sleep(0)
        return value

    for value in [None, (1, 2), (), StopIteration(3), KeyError("value"), asyncio.CancelledError]:
        assert run(main(value)) is value


def test_base_exceptions_are_kept(loop, run):
    class Odd(BaseException):
        pass

    async def main():
        raise Odd("odd")

    task = loop.create_task(main())
    run(asyncio.wait([task]))
    assert isinstance(task.exception(), Odd)
    with pytest.raises(Odd, match="odd"):
        task.result()


def test_done_callbacks(loop, run):
    seen = []
    task = loop.create_task(answer())
    task.add_done_callback(lambda each: seen.append((each is task, each.result())))
    task.add_done_callback(print)
    assert task.remove_done_callback(print) == 1
    run(task)
    run_turn(loop)
    assert seen == [(True, 42)]


def test_awaited_by_many(loop, run):
    async def main():
        task = loop.create_task(answer())
        waiters = [loop.create_task(wait_for_it(task)) for _ in range(10)]
        return await asyncio.gather(*waiters)

    assert run(main()) == [42] * 10


async def wait_for_it(task):
    return await task


def test_the_traceback_shows_the_coroutines(run):
    async def inner():
        await asyncio.sleep(0)
        raise KeyError("inner")

    async def outer():
        await inner()

    with pytest.raises(KeyError) as caught:
        run(outer())
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["outer", "inner"]


def test_get_stack(loop, run, pending):
    async def waits(future):
        await future

    async def main():
        future = loop.create_future()
        task = loop.create_task(waits(future))
        await settle()
        (frame,) = task.get_stack()
        assert frame.f_code is waits.__code__
        assert task.get_stack(limit=1) == [frame]
        assert main.__code__ in [frame.f_code for frame in asyncio.current_task().get_stack()]
        future.set_result(None)
        await task
        return task

    assert run(main()).get_stack() == []


def test_get_stack_of_a_failed_task(loop, run):
    async def inner():
        raise KeyError("failed")

    async def outer():
        await inner()

    task = loop.create_task(outer())
    run(asyncio.wait([task]))
    names = [frame.f_code.co_name for frame in task.get_stack()]
    assert names[-2:] == ["outer", "inner"]
    assert [frame.f_code.co_name for frame in task.get_stack(limit=1)] == ["outer"] or len(names) > 2
    task.exception()


def test_print_stack(loop, run, pending):
    file = io.StringIO()
    pending.print_stack(file=file)
    assert file.getvalue().startswith(f"Stack for {pending!r} (most recent call last):\n")
    assert "await loop.create_future()" in file.getvalue()
    task = loop.create_task(answer())
    run(task)
    file = io.StringIO()
    task.print_stack(file=file)
    assert file.getvalue() == f"No stack for {task!r}\n"


def without_numbers(text):
    return re.sub(r"0x[0-9a-f]+|:\d+|Task-\d+|line \d+", "#", text)


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "state", ["new", "waiting", "finished", "failed", "cancelled", "cancelling", "callback"]
)
def test_repr_is_asyncios(loop, impl, run, state, debug):
    async def body():
        if state == "failed":
            raise KeyError("failed")
        if state in ("waiting", "cancelled"):
            await loop.create_future()
        if state == "cancelling":
            asyncio.current_task().cancel()
            texts.append(repr(asyncio.current_task()))
        return "result"

    loop.set_debug(debug)
    texts, tasks = (
        [],
        [impl.Task(body(), loop=loop, name="name"), asyncio.Task(body(), loop=loop, name="name")],
    )
    for task in tasks:
        if state == "callback":
            task.add_done_callback(without_numbers)
            task.remove_done_callback(without_numbers)
            task.add_done_callback(wait_for_nothing)
        if state not in ("new", "callback"):
            run(settle())
        if state == "cancelled":
            task.cancel()
            run(settle())
        if state != "cancelling":
            texts.append(repr(task))
    for task in tasks:
        task.cancel()
    run(asyncio.gather(*tasks, return_exceptions=True))
    mine, model = (without_numbers(text) for text in texts)
    assert mine == model


def wait_for_nothing(task):
    pass


def test_repr_of_a_waiting_task_names_the_future(pending):
    assert repr(pending).startswith("<Task pending name='pending' coro=<forever() running at ")
    assert " wait_for=<Future pending cb=[" in repr(pending)


def test_repr_does_not_recurse(loop, run):
    async def main():
        return asyncio.all_tasks()

    task = loop.create_task(main())
    run(task)
    assert "..." in repr(task)


def test_private_names(loop, pending):
    assert pending._coro is pending.get_coro()
    assert asyncio.isfuture(pending._fut_waiter)
    assert pending._must_cancel is False
    assert pending._log_destroy_pending is True
    assert pending._state == "PENDING"
    assert pending._loop is loop


def test_weak_references_and_hash(pending):
    assert weakref.ref(pending)() is pending
    assert {pending: 1}[pending] == 1


def test_attributes_can_be_set(pending):
    pending.note = "noted"
    assert pending.note == "noted"


def test_generic_alias(impl):
    assert isinstance(impl.Task[int], GenericAlias)


def test_subclass(loop, impl, run):
    class Own(impl.Task):
        def __init__(self, coro, label, **kwargs):
            self.label = label
            super().__init__(coro, **kwargs)

        def cancel(self, msg=None):
            self.label = "cancelled"
            return super().cancel(msg)

    async def main():
        task, other = Own(answer(), "label", loop=loop), Own(answer(), "other", loop=loop)
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other
        return task.label, other.label, await task, isinstance(task, asyncio.Task)

    assert run(main()) == ("label", "cancelled", 42, True)


def test_freed_without_the_collector(loop, run):
    async def main():
        reference = weakref.ref(loop.create_task(answer()))
        while reference() is not None:
            await asyncio.sleep(0)

    gc.disable()
    try:
        run(asyncio.wait_for(main(), 5))
    finally:
        gc.enable()


def test_a_waiting_task_lives_while_its_future_does(loop, run):
    """Nothing but the future refers to the task."""
    future, seen = loop.create_future(), []

    async def waits():
        seen.append(await future)

    async def main():
        task = loop.create_task(waits())
        await settle()
        del task
        collect_garbage()
        future.set_result("woken")
        await settle()

    run(main())
    assert seen == ["woken"]


def test_constructor_needs_a_loop(impl):
    coroutine = answer()
    # A thread that has no loop.
    with pytest.raises(RuntimeError, match="no current event loop"), running_thread(impl.Task, coroutine):
        pass
    coroutine.close()


def test_signature_is_asyncios(impl):
    """Every keyword of the running version's Task, and no other that is required."""
    model = set(inspect.signature(asyncio.tasks._PyTask).parameters)
    coroutine, loop = answer(), impl.new_event_loop()
    values = {"loop": loop, "name": "n", "context": contextvars.copy_context(), "eager_start": False}
    task = impl.Task(coroutine, **{name: values[name] for name in model - {"coro"}})
    assert loop.run_until_complete(task) == 42
    loop.close()


def test_many_tasks(loop, run):
    async def child(number):
        await asyncio.sleep(0)
        return number

    async def main():
        tasks = [loop.create_task(child(number)) for number in range(5000)]
        assert len(asyncio.all_tasks()) == 5001
        return [await task for task in tasks]

    assert run(main()) == list(range(5000))


def test_a_long_chain_of_tasks(loop, run):
    """Each waits for the next: ending them must not recurse."""

    async def link(next_one):
        return await next_one if next_one is not None else "end"

    async def main():
        task = None
        for _ in range(5000):
            task = loop.create_task(link(task))
        return await task

    assert run(main()) == "end"


def test_a_deep_stack_of_coroutines(run):
    async def deep(depth):
        if depth:
            return 1 + await deep(depth - 1)
        await asyncio.sleep(0)
        return 0

    assert run(deep(300)) == 300
