"""call_soon: order, turns, contexts, cancellation, what is refused."""

import asyncio
import contextvars
import weakref

import pytest

from tests.support import collect_garbage, run_turn


def test_runs_in_order(loop):
    seen = []
    for number in range(100):
        loop.call_soon(seen.append, number)
    run_turn(loop)
    assert seen == list(range(100))


def test_order_holds_while_the_queue_grows_and_shrinks(loop):
    """Enough entries, pushed and popped in turns, to move a ring buffer around and resize it."""
    seen = []

    def push(first, count):
        for number in range(first, first + count):
            loop.call_soon(seen.append, number)

    first = 0
    for count in (3, 50, 1, 700, 20, 5000, 2):
        push(first, count)
        run_turn(loop)
        first += count
    assert seen == list(range(first))


def test_what_a_callback_adds_waits_for_the_next_turn(loop):
    seen = []

    def first():
        seen.append("first")
        loop.call_soon(seen.append, "added")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    run_turn(loop)
    assert seen == ["first", "second"]
    run_turn(loop)
    assert seen == ["first", "second", "added"]


def test_one_turn_runs_ready_then_io_then_timers(loop, pair):
    left, right = pair
    seen = []

    def arrange():
        right.send(b"x")
        loop.call_at(loop.time() - 1, seen.append, "timer")
        loop.call_soon(seen.append, "soon")
        loop.call_soon(loop.call_soon, loop.stop)

    def on_readable():
        left.recv(10)
        seen.append("io")

    loop.add_reader(left, on_readable)
    loop.call_soon(arrange)
    loop.run_forever()
    loop.remove_reader(left)
    assert seen == ["soon", "io", "timer"]


def test_passes_arguments_and_returns_a_handle(loop):
    seen = []
    handle = loop.call_soon(lambda *args: seen.append(args), 1, "two", None)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    run_turn(loop)
    assert seen == [(1, "two", None)]


def test_cancelled_is_not_run(loop):
    seen = []
    handles = [loop.call_soon(seen.append, number) for number in range(5)]
    handles[1].cancel()
    handles[3].cancel()
    handles[3].cancel()
    assert [handle.cancelled() for handle in handles] == [False, True, False, True, False]
    run_turn(loop)
    assert seen == [0, 2, 4]


def test_a_callback_can_cancel_the_next(loop):
    seen = []
    handles = []
    loop.call_soon(lambda: handles[0].cancel())
    handles.append(loop.call_soon(seen.append, "cancelled"))
    loop.call_soon(seen.append, "kept")
    run_turn(loop)
    assert seen == ["kept"]


def test_cancelling_after_the_run_is_harmless(loop):
    seen = []
    handle = loop.call_soon(seen.append, 1)
    run_turn(loop)
    handle.cancel()
    assert seen == [1]
    assert handle.cancelled()


def test_runs_in_a_copy_of_the_current_context(loop):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []
    token = variable.set("at the call")
    loop.call_soon(lambda: (seen.append(variable.get()), variable.set("inside")))
    variable.reset(token)
    run_turn(loop)
    assert seen == ["at the call"]
    assert variable.get() == "unset"


def test_runs_in_the_context_given(loop):
    variable = contextvars.ContextVar("variable", default="unset")
    context = contextvars.copy_context()
    loop.call_soon(variable.set, "inside", context=context)
    run_turn(loop)
    assert context[variable] == "inside"
    assert variable.get() == "unset"


def test_one_context_serves_many_callbacks(loop):
    variable = contextvars.ContextVar("variable", default=0)
    context = contextvars.copy_context()
    for _ in range(10):
        loop.call_soon(lambda: variable.set(variable.get() + 1), context=context)
    run_turn(loop)
    assert context[variable] == 10


def test_an_exception_is_reported_and_the_rest_runs(loop, reports):
    seen = []
    error = ValueError("raised in a callback")

    def fail():
        raise error

    handle = loop.call_soon(fail)
    loop.call_soon(seen.append, "after")
    run_turn(loop)
    assert seen == ["after"]
    context = reports.take_one()
    assert context["exception"] is error
    assert context["handle"] is handle
    assert context["message"].startswith("Exception in callback ")
    assert "fail" in context["message"]


def test_closed_loop_refuses(loop):
    loop.close()
    for method in (loop.call_soon, loop.call_soon_threadsafe):
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            method(print)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_at(1, print)


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe"])
def test_debug_refuses_coroutines_and_what_is_not_callable(loop, method):
    async def coroutine_function():
        pass

    loop.set_debug(True)
    call = getattr(loop, method)
    coroutine = coroutine_function()
    for wrong in (coroutine, coroutine_function):
        with pytest.raises(TypeError, match=rf"coroutines cannot be used with {method}\(\)"):
            call(wrong)
    coroutine.close()
    with pytest.raises(TypeError, match=rf"a callable object was expected by {method}\(\), got 1"):
        call(1)


def test_debug_refuses_coroutines_as_timers(loop):
    async def coroutine_function():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"coroutines cannot be used with call_"):
        loop.call_later(1, coroutine_function)
    with pytest.raises(TypeError, match=r"coroutines cannot be used with call_at\(\)"):
        loop.call_at(1, coroutine_function)


def test_references_are_dropped_after_the_run(loop):
    """A handle that the caller keeps does not matter; the loop must keep nothing."""

    class Payload:
        pass

    payload = Payload()
    reference = weakref.ref(payload)
    loop.call_soon(lambda value: None, payload)
    del payload
    run_turn(loop)
    collect_garbage()
    assert reference() is None
