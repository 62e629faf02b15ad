"""Futures and tasks that end in silence: what is reported, and what is not."""

import asyncio

import pytest

from tests.support import PY312, collect_garbage, run_turn, settle


async def fail():
    raise KeyError("failed")


def test_an_exception_that_nobody_looked_at(loop, reports):
    future = loop.create_future()
    error = KeyError("lost")
    future.set_exception(error)
    text = repr(future)
    del future
    collect_garbage()
    context = reports.take_one()
    assert context["message"] == "Future exception was never retrieved"
    assert context["exception"] is error
    assert repr(context["future"]) == text
    assert set(context) == {"message", "exception", "future"}


def test_a_tasks_exception_that_nobody_looked_at(loop, run, reports):
    async def main():
        asyncio.create_task(fail())
        await settle()

    run(main())
    collect_garbage()
    context = reports.take_one()
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], KeyError)
    assert isinstance(context["future"], asyncio.Task)


def test_debug_mode_says_where_it_was_created(loop, reports):
    loop.set_debug(True)
    future = loop.create_future()
    future.set_exception(KeyError("lost"))
    del future
    collect_garbage()
    context = reports.take_one()
    assert any(frame.filename == __file__ for frame in context["source_traceback"])


def look_at_result(future):
    with pytest.raises(KeyError):
        future.result()


@pytest.mark.parametrize(
    "look",
    [
        lambda future: future.exception(),
        look_at_result,
        lambda future: setattr(future, "_log_traceback", False),
    ],
    ids=["exception", "result", "_log_traceback"],
)
def test_looked_at(loop, look):
    future = loop.create_future()
    future.set_exception(KeyError("seen"))
    look(future)
    del future
    collect_garbage()


def test_awaited(loop, run):
    future = loop.create_future()
    future.set_exception(KeyError("seen"))

    async def main(future):
        with pytest.raises(KeyError):
            await future

    run(main(future))
    del future
    collect_garbage()


def test_looked_at_by_a_done_callback_only(loop, reports):
    """A callback alone is no look."""
    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    future.set_exception(KeyError("lost"))
    run_turn(loop)
    del future
    collect_garbage()
    assert reports.take_one()["message"] == "Future exception was never retrieved"


def test_cancelled_ones_are_not_reported(loop, run):
    future, task = loop.create_future(), loop.create_task(asyncio.sleep(1))
    future.cancel()
    task.cancel()
    run(settle())
    del future, task
    collect_garbage()


def test_results_are_not_reported(loop, run):
    future, task = loop.create_future(), loop.create_task(asyncio.sleep(0))
    future.set_result(1)
    run(settle())
    del future, task
    collect_garbage()


def test_pending_futures_are_not_reported(loop):
    loop.create_future()
    collect_garbage()


def test_a_pending_task_that_is_dropped(loop, run, reports):
    async def wait():
        await loop.create_future()

    async def main():
        asyncio.create_task(wait(), name="dropped")
        await settle()

    run(main())
    collect_garbage()
    context = reports.take_one()
    assert context["message"] == "Task was destroyed but it is pending!"
    assert context["task"].get_name() == "dropped"
    assert set(context) == {"message", "task"}


def test_a_pending_task_in_debug_mode(loop, run, reports):
    loop.set_debug(True)

    async def wait():
        await loop.create_future()

    async def main():
        asyncio.create_task(wait())
        await settle()

    run(main())
    collect_garbage()
    context = reports.take_one()
    assert any(frame.filename == __file__ for frame in context["source_traceback"])


def test_a_pending_task_that_was_told_not_to(loop, run):
    async def wait():
        await loop.create_future()

    async def main():
        task = asyncio.create_task(wait())
        task._log_destroy_pending = False
        await settle()

    run(main())
    collect_garbage()


def test_the_coroutine_of_a_dropped_task_is_closed(loop, run, reports):
    seen = []

    async def wait():
        try:
            await loop.create_future()
        finally:
            seen.append("finally")

    async def main():
        asyncio.create_task(wait())
        await settle()

    run(main())
    collect_garbage()
    reports.take_one()
    assert seen == ["finally"]


def test_to_the_default_handler(loop, error_log):
    loop.set_exception_handler(None)
    future = loop.create_future()
    future.set_exception(KeyError("lost"))
    del future
    collect_garbage()
    (text,) = error_log
    assert text.startswith(
        "Future exception was never retrieved\nfuture: <Future finished exception=KeyError('lost')>"
    )
    error_log.clear()


def test_after_the_loop_is_closed(loop, reports):
    future = loop.create_future()
    future.set_exception(KeyError("lost"))
    loop.close()
    del future
    collect_garbage()
    assert reports.take_one()["message"] == "Future exception was never retrieved"


def test_gather_looks_at_all_it_was_given(loop, run):
    """The exceptions that gather does not raise count as seen."""

    async def main():
        with pytest.raises(KeyError):
            await asyncio.gather(fail(), fail(), fail())
        await settle()

    run(main())
    collect_garbage()


def test_a_task_group_looks_at_all(run):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(fail())
        return len(caught.value.exceptions)

    assert run(main()) == 2
    collect_garbage()


@pytest.mark.skipif(not PY312, reason="eager tasks are new in 3.12")
def test_an_eager_task_that_failed(loop, run, impl, reports):
    async def main():
        impl.Task(fail(), loop=loop, eager_start=True)

    run(main())
    collect_garbage()
    assert reports.take_one()["message"] == "Task exception was never retrieved"


def test_an_exception_in_a_cycle_with_its_future(loop, reports):
    future = loop.create_future()
    error = KeyError("cycle")
    error.future = future
    future.set_exception(error)
    del future, error
    collect_garbage()
    assert reports.take_one()["message"] == "Future exception was never retrieved"
