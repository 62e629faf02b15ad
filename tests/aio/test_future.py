"""Future: states, callbacks, awaiting, what it looks like."""

import asyncio
import concurrent.futures
import contextvars
import gc
import re
import weakref
from types import GenericAlias

import pytest

from tests.support import PY314, collect_garbage, run_turn, running_thread, settle


def test_created_by_the_loop(loop, impl, future):
    assert type(future) is impl.Future
    assert future.get_loop() is loop
    assert future._loop is loop


def test_is_asyncios(future):
    assert isinstance(future, asyncio.Future)
    assert asyncio.isfuture(future)
    assert not isinstance(future, asyncio.Task)
    assert asyncio.ensure_future(future, loop=future.get_loop()) is future
    assert asyncio.wrap_future(future) is future


def test_pending(future):
    assert not future.done() and not future.cancelled()
    assert future._state == "PENDING"
    with pytest.raises(asyncio.InvalidStateError, match=r"^Result is not set\.$"):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        future.exception()


def test_result(future):
    value = object()
    assert future.set_result(value) is None
    assert future.done() and not future.cancelled()
    assert future._state == "FINISHED"
    assert future.result() is value and future.result() is value
    assert future.exception() is None


def test_exception(future):
    error = ValueError("set")
    future.set_exception(error)
    assert future.done() and not future.cancelled()
    assert future.exception() is error
    for _ in range(2):
        with pytest.raises(ValueError, match="set") as caught:
            future.result()
        assert caught.value is error


def test_exception_class_is_instantiated(future):
    future.set_exception(KeyError)
    assert isinstance(future.exception(), KeyError)


@pytest.mark.parametrize("wrong", [1, "error", None, object])
def test_exception_must_be_one(future, wrong):
    with pytest.raises(TypeError):
        future.set_exception(wrong)
    assert not future.done()


def test_stop_iteration_is_refused(loop, future):
    """It would end the coroutine that awaits it as if it had returned; how it is refused has changed."""

    def outcome(each):
        try:
            each.set_exception(StopIteration)
        except TypeError as error:
            return str(error)
        return repr(each.exception())

    model = asyncio.futures._CFuture(loop=loop)
    assert outcome(future) == outcome(model)
    assert future.done() == model.done()


@pytest.mark.parametrize(
    "finish", [lambda f: f.set_result(1), lambda f: f.set_exception(KeyError()), lambda f: f.cancel()]
)
def test_finishes_once(future, finish):
    finish(future)
    with pytest.raises(asyncio.InvalidStateError, match=r"^invalid state$|^FINISHED|^CANCELLED"):
        future.set_result(2)
    with pytest.raises(asyncio.InvalidStateError, match=r"^invalid state$|^FINISHED|^CANCELLED"):
        future.set_exception(ValueError)
    assert future.cancel() is False
    if not future.cancelled():
        future.exception()


def test_cancel(future):
    assert future.cancel() is True
    assert future.cancelled() and future.done()
    assert future.cancel() is False
    for method in (future.result, future.exception):
        with pytest.raises(asyncio.CancelledError) as caught:
            method()
        assert caught.value.args == ()


def test_cancel_message(future):
    future.cancel("reason")
    with pytest.raises(asyncio.CancelledError, match=r"^reason$"):
        future.result()
    assert future._cancel_message == "reason"


def test_callbacks_run_in_order_in_the_next_turn(loop, future):
    seen = []
    for number in range(100):
        future.add_done_callback(lambda each, number=number: seen.append((number, each is future)))
    future.set_result(None)
    assert seen == []
    run_turn(loop)
    assert seen == [(number, True) for number in range(100)]


def test_callbacks_take_their_place_among_others(loop, future):
    seen = []
    future.add_done_callback(lambda _: seen.append("callback"))
    loop.call_soon(seen.append, "before")
    future.set_result(None)
    loop.call_soon(seen.append, "after")
    run_turn(loop)
    assert seen == ["before", "callback", "after"]


def test_callback_added_when_done(loop, future):
    future.set_result(1)
    seen = []
    future.add_done_callback(seen.append)
    assert seen == []
    run_turn(loop)
    assert seen == [future]


def test_callbacks_in_contexts(loop, future):
    variable = contextvars.ContextVar("variable", default="unset")
    given = contextvars.copy_context()
    given.run(variable.set, "given")
    seen = []
    future.add_done_callback(lambda _: seen.append(variable.get()), context=given)
    variable_token = variable.set("copied")
    future.add_done_callback(lambda _: seen.append(variable.get()))
    variable.reset(variable_token)
    future.set_result(None)
    run_turn(loop)
    assert seen == ["given", "copied"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_remove_done_callback(loop, future, count):
    seen = []
    for _ in range(count):
        future.add_done_callback(seen.append)
    kept = lambda each: seen.append("kept")  # noqa: E731
    future.add_done_callback(kept)
    assert future.remove_done_callback(print) == 0
    assert future.remove_done_callback(seen.append) == count
    assert future.remove_done_callback(seen.append) == 0
    future.set_result(None)
    run_turn(loop)
    assert seen == ["kept"]


def test_remove_the_only_callback(loop, future):
    seen = []
    future.add_done_callback(seen.append)
    assert future.remove_done_callback(seen.append) == 1
    future.set_result(None)
    run_turn(loop)
    assert seen == []


def test_a_callback_that_raises(loop, future, reports):
    seen = []
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: seen.append("second"))
    future.set_result(None)
    run_turn(loop)
    assert seen == ["second"]
    assert isinstance(reports.take_one()["exception"], ZeroDivisionError)


def test_callbacks_of_a_cancelled_future(loop, future):
    seen = []
    future.add_done_callback(seen.append)
    future.cancel()
    run_turn(loop)
    assert seen == [future]


def test_await(loop, run, future):
    async def main():
        loop.call_soon(future.set_result, "result")
        first = await future
        return first, await future

    assert run(main()) == ("result", "result")


def test_await_a_done_one_does_not_give_way(loop, run, future):
    async def main():
        seen = []
        loop.call_soon(seen.append, "turn")
        future.set_result(1)
        await future
        assert seen == []

    run(main())


def test_awaited_by_many(loop, run, future):
    """The waiters wake in the order in which they came, whether callbacks or tasks."""
    seen = []

    async def wait(number):
        seen.append((number, await future))

    async def main():
        tasks = [loop.create_task(wait(number)) for number in range(5)]
        await settle()
        future.add_done_callback(lambda _: seen.append("callback"))
        tasks.append(loop.create_task(wait(5)))
        await settle()
        future.set_result("value")
        await asyncio.gather(*tasks)

    run(main())
    assert seen == [*((number, "value") for number in range(5)), "callback", (5, "value")]


def test_one_waiter_of_many_leaves(loop, run, future):
    async def main():
        tasks = [loop.create_task(wait_for_it(future)) for _ in range(3)]
        await settle()
        tasks[1].cancel()
        await settle()
        # Cancelling a task cancels the future it waits for, and so all of them.
        return future.cancelled(), await asyncio.gather(*tasks, return_exceptions=True)

    cancelled, results = run(main())
    assert cancelled
    assert [type(each) for each in results] == [asyncio.CancelledError] * 3


async def wait_for_it(future):
    return await future


def test_await_an_exception(loop, run, future):
    async def main():
        loop.call_soon(future.set_exception, KeyError("awaited"))
        with pytest.raises(KeyError, match="awaited"):
            await future

    run(main())


def test_the_traceback_does_not_grow(run, future):
    """Awaited again and again, an exception shows the last await, not all of them."""

    async def main():
        future.set_exception(KeyError("awaited"))
        lengths = set()
        for _ in range(5):
            try:
                await future
            except KeyError as error:
                traceback, length = error.__traceback__, 0
                while traceback:
                    traceback, length = traceback.tb_next, length + 1
                lengths.add(length)
        return lengths

    assert len(run(main())) == 1


def test_by_hand(future):
    """The protocol between a future and whatever drives a coroutine."""
    iterator = iter(future)
    assert future._asyncio_future_blocking is False
    assert next(iterator) is future
    assert future._asyncio_future_blocking is True
    future._asyncio_future_blocking = False
    future.set_result("value")
    with pytest.raises(StopIteration) as caught:
        next(iterator)
    assert caught.value.value == "value" and caught.value.args == ("value",)
    with pytest.raises(StopIteration) as caught_too:
        future.__await__().send(None)
    assert caught_too.value is not caught.value and caught_too.value.args == ("value",)
    assert caught.value.value == "value" and caught.value.__traceback__


def test_by_hand_without_a_result(future):
    iterator = future.__await__()
    next(iterator)
    with pytest.raises(RuntimeError, match=r"^await wasn't used with future$"):
        next(iterator)


def test_by_hand_throw_and_close(future):
    iterator = future.__await__()
    next(iterator)
    with pytest.raises(KeyError, match="thrown"):
        iterator.throw(KeyError("thrown"))
    future._asyncio_future_blocking = False
    other = future.__await__()
    next(other)
    other.close()
    assert not future.done()


def test_a_result_that_is_a_tuple_or_an_exception(loop, run):
    """Values that StopIteration treats specially come through unchanged."""

    async def main(value):
        future = loop.create_future()
        loop.call_soon(future.set_result, value)
        return await future

    for value in [(1, 2), (), StopIteration(3), KeyError("value"), None]:
        assert run(main(value)) is value


def without_addresses(future):
    return re.sub(r"0x[0-9a-f]+|:\d+", "#", repr(future))


def double(future):
    pass


@pytest.mark.parametrize(
    "prepare",
    [
        lambda f: None,
        lambda f: f.set_result("result" * 30),
        lambda f: f.set_exception(ValueError("error")),
        lambda f: f.cancel(),
        lambda f: f.add_done_callback(double),
        lambda f: [f.add_done_callback(double) for _ in range(2)],
        lambda f: [f.add_done_callback(double) for _ in range(4)],
    ],
)
@pytest.mark.parametrize("debug", [True, False])
def test_repr_is_asyncios(loop, impl, prepare, debug):
    loop.set_debug(debug)
    mine, model = impl.Future(loop=loop), asyncio.futures._PyFuture(loop=loop)
    for each in (mine, model):
        prepare(each)
        if each.done() and not each.cancelled():
            each.exception()
    assert without_addresses(mine).replace(impl.Future.__name__, "Future") == without_addresses(
        model
    ).replace("_PyFuture", "Future")


def test_constructor(loop, impl):
    assert impl.Future(loop=loop).get_loop() is loop
    with pytest.raises(TypeError):
        impl.Future(loop)
    # A thread that has no loop.
    with pytest.raises(RuntimeError, match="no current event loop"), running_thread(impl.Future):
        pass


def test_constructor_takes_the_running_loop(loop, impl, run):
    async def main():
        return impl.Future().get_loop() is loop

    assert run(main())


def test_private_state(future):
    assert future._callbacks is None or list(future._callbacks) == []
    assert future._result is None and future._exception is None
    assert future._source_traceback is None
    assert future._log_traceback is False
    with pytest.raises(ValueError, match="_log_traceback can only be set to False"):
        future._log_traceback = True
    future._log_traceback = False
    future.set_exception(ValueError("error"))
    assert future._log_traceback is True
    assert isinstance(future._exception, ValueError)
    future._log_traceback = False


def test_subclass(loop, impl, run):
    class Own(impl.Future):
        def __init__(self, label, **kwargs):
            super().__init__(**kwargs)
            self.label = label

        def result(self):
            return (self.label, super().result())

    async def main():
        own = Own("label", loop=loop)
        loop.call_soon(own.set_result, 1)
        await asyncio.wait([own])
        return own.result(), isinstance(own, asyncio.Future)

    assert run(main()) == (("label", 1), True)


def test_overridden_add_done_callback_sees_the_awaiting_task(loop, impl, run):
    calls = []

    class Own(impl.Future):
        def add_done_callback(self, callback, *, context=None):
            calls.append(callback)
            super().add_done_callback(callback, context=context)

    async def main():
        own = Own(loop=loop)
        loop.call_soon(own.set_result, 1)
        return await own

    assert run(main()) == 1
    assert len(calls) == 1


def test_generic_alias(impl):
    assert isinstance(impl.Future[int], GenericAlias)


def test_weak_references_and_hash(future):
    assert weakref.ref(future)() is future
    assert {future: 1}[future] == 1


def test_in_a_cycle_it_is_collected(loop):
    future = loop.create_future()
    future.add_done_callback(lambda _, kept=future: None)
    reference = weakref.ref(future)
    del future
    collect_garbage()
    assert reference() is None


def test_freed_without_the_collector(loop):
    gc.disable()
    try:
        future = loop.create_future()
        reference = weakref.ref(future)
        future.add_done_callback(lambda _: None)
        future.set_result(1)
        del future
        run_turn(loop)
        assert reference() is None
    finally:
        gc.enable()


def test_wrap_future(loop, run):
    source = concurrent.futures.Future()

    async def main():
        wrapped = asyncio.wrap_future(source)
        assert wrapped.get_loop() is loop
        with running_thread(source.set_result, "from a thread"):
            return await wrapped

    assert run(main()) == "from a thread"


def test_wrap_future_cancelled(run):
    source = concurrent.futures.Future()

    async def main():
        wrapped = asyncio.wrap_future(source)
        wrapped.cancel()
        await settle()

    run(main())
    assert source.cancelled()


def test_many_futures(loop, run):
    async def main():
        futures = [loop.create_future() for _ in range(10_000)]
        for number, each in enumerate(futures):
            loop.call_soon(each.set_result, number)
        return [await each for each in futures]

    assert run(main()) == list(range(10_000))


@pytest.mark.parametrize("outcome", ["result", "none", "exception", "cancelled"])
def test_an_iterator_that_is_asked_again(run, loop, outcome):
    """From 3.14 on it tells the outcome again."""

    def ask(iterator):
        try:
            return next(iterator)
        except StopIteration as exc:
            return exc.value
        except (ZeroDivisionError, asyncio.CancelledError) as exc:
            return repr(exc)

    async def main():
        future = loop.create_future()
        iterator = iter(future)
        assert next(iterator) is future
        if outcome == "exception":
            future.set_exception(ZeroDivisionError(1))
        elif outcome == "cancelled":
            future.cancel()
        else:
            future.set_result(None if outcome == "none" else 42)
        return [ask(iterator) for _ in range(3)]

    first = {
        "result": 42,
        "none": None,
        "exception": "ZeroDivisionError(1)",
        "cancelled": "CancelledError()",
    }[outcome]
    assert run(main()) == [first] * 3 if PY314 else [first, None, None]


@pytest.mark.parametrize("equal", [True, False])
def test_a_callback_whose_comparison_completes_the_future(loop, future, equal):
    class Callback:
        def __init__(self, name):
            self.name = name

        def __call__(self, _):
            seen.append(self.name)

        def __eq__(self, other):
            compared.append(self.name)
            if not future.done():
                future.set_result(None)
            return equal

        __hash__ = None

    seen, compared = [], []
    for name in "abcd":
        future.add_done_callback(Callback(name))
    assert future.remove_done_callback(Callback("other")) == equal
    assert compared == ["a"]
    run_turn(loop)
    assert seen == ["a", "b", "c", "d"]
