"""Contexts of callbacks: each runs in a copy of the context in which it was scheduled."""

import asyncio
import contextvars
import gc
import socket
import sys
import weakref

import pytest

VAR: contextvars.ContextVar[object] = contextvars.ContextVar("VAR")


def run(loop):
    """One turn and what it took to get there."""
    loop.call_soon(loop.stop)
    loop.run_forever()


SCHEDULERS = {
    "call_soon": lambda loop, fn: loop.call_soon(fn),
    "call_later": lambda loop, fn: loop.call_later(0, fn),
    "call_at": lambda loop, fn: loop.call_at(loop.time(), fn),
    "call_soon_threadsafe": lambda loop, fn: loop.call_soon_threadsafe(fn),
}


@pytest.fixture(params=SCHEDULERS)
def schedule(request):
    return SCHEDULERS[request.param]


def test_a_callback_sees_the_values_of_its_scheduling(loop, schedule):
    seen = []
    for value in range(3):
        VAR.set(value)
        schedule(loop, lambda: seen.append(VAR.get()))
    VAR.set("later")
    while len(seen) < 3:
        run(loop)
    assert seen == [0, 1, 2]


def test_what_a_callback_sets_nobody_else_sees(loop, schedule):
    VAR.set("outside")
    seen = []

    def callback(value):
        seen.append(VAR.get())
        VAR.set(value)

    for value in range(3):
        schedule(loop, lambda value=value: callback(value))
    while len(seen) < 3:
        run(loop)
    assert seen == ["outside"] * 3
    assert VAR.get() == "outside"


def test_callbacks_inherit_what_their_scheduler_set(loop):
    seen = []

    def first():
        VAR.set("first")
        loop.call_soon(second)
        VAR.set("after")

    def second():
        seen.append(VAR.get())
        loop.stop()

    contextvars.copy_context().run(loop.call_soon, first)
    loop.run_forever()
    assert seen == ["first"]


def test_a_context_that_a_callback_keeps_stays_as_it_is(loop):
    kept = []

    def keep(value):
        VAR.set(value)
        kept.append(contextvars.copy_context())

    for value in range(3):
        loop.call_soon(keep, value)
    run(loop)
    run(loop)
    assert [context[VAR] for context in kept] == [0, 1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Handle.get_context is new in 3.12")
def test_the_context_of_a_handle_is_the_one_it_runs_in(loop):
    VAR.set("scheduled")
    handle = loop.call_soon(lambda: VAR.set("run"))
    context = handle.get_context()
    assert handle.get_context() is context
    assert isinstance(context, contextvars.Context)
    assert context[VAR] == "scheduled"
    VAR.set("changed")
    run(loop)
    assert context[VAR] == "run"
    assert handle.get_context() is context


def test_a_given_context_is_used_itself(loop):
    context = contextvars.copy_context()
    loop.call_soon(VAR.set, "set", context=context)
    loop.call_later(0, VAR.set, "later", context=context)
    run(loop)
    while context[VAR] != "later":
        run(loop)
    assert context[VAR] == "later"


def test_a_reader_has_one_context_for_all_its_calls(loop):
    left, right = socket.socketpair()
    seen = []

    def reader():
        left.recv(1)
        seen.append(VAR.get())
        VAR.set(len(seen))

    VAR.set("added")
    with left, right:
        loop.add_reader(left, reader)
        for _ in range(3):
            right.send(b"x")
            while left.fileno() and len(seen) < _ + 1:
                run(loop)
        loop.remove_reader(left)
    assert seen == ["added", 1, 2]


def test_a_future_calls_back_in_the_context_of_each_adding(loop):
    future = loop.create_future()
    seen = []

    def callback(_):
        seen.append(VAR.get())
        VAR.set("set by a callback")

    for value in range(3):
        VAR.set(value)
        future.add_done_callback(callback)
    assert all(isinstance(context, contextvars.Context) for _, context in future._callbacks)
    future.set_result(None)
    run(loop)
    run(loop)
    assert seen == [0, 1, 2]


def test_values_are_dropped_with_the_callback(loop):
    class Value:
        pass

    def scheduler():
        value = Value()
        VAR.set(value)
        loop.call_soon(lambda: None)
        return weakref.ref(value)

    watched = contextvars.Context().run(scheduler)
    assert watched() is not None
    run(loop)
    run(loop)
    gc.collect()
    assert watched() is None


def test_a_weakly_held_context_is_not_handed_on(loop):
    """Whoever has a weak reference to a context sees what became of that one, or nothing."""
    held = []
    VAR.set("outside")
    handle = loop.call_soon(VAR.set, "first")
    held.append(weakref.ref(handle._context))
    run(loop)
    del handle
    loop.call_soon(VAR.set, "second")
    run(loop)
    context = held[0]()
    assert context is None or context[VAR] == "first"


def test_garbage_for_a_context_is_refused_as_asyncio_does(loop):
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    try:
        loop.call_soon(print, context=object())
        run(loop)
    except (TypeError, AttributeError) as error:
        reports.append(error)
    assert [type(report) for report in reports] in ([TypeError], [AttributeError])


def test_callbacks_in_nested_calls_each_have_their_context(loop):
    """A callback that runs another handle by hand: both contexts are in use at once."""
    seen = []
    VAR.set("outer")

    def inner():
        seen.append(VAR.get())
        VAR.set("inner")

    handle = loop.call_soon(inner)

    def outer():
        VAR.set("set by outer")
        handle._run()
        seen.append(VAR.get())

    loop.call_soon(outer)
    run(loop)
    assert seen == ["outer", "inner", "set by outer"]


def test_tasks_have_contexts_of_their_own(loop):
    VAR.set("main")

    async def child(value):
        VAR.set(value)
        await asyncio.sleep(0)
        return VAR.get()

    async def main():
        return await asyncio.gather(*(child(i) for i in range(5)))

    assert loop.run_until_complete(main()) == [0, 1, 2, 3, 4]
    assert VAR.get() == "main"


def test_a_context_that_somebody_has_found_stays_as_it_is(loop, reports):
    """By way of the collector, between two callbacks that might run in the same one."""
    seen = []

    def fail():
        raise ZeroDivisionError

    # What it ran in goes to the report, and what the next one runs in is in sight of the collector.
    loop.call_soon(fail)
    loop.call_soon(int)
    run(loop)
    reports.take_one()
    VAR.set(token := object())
    found = [each for each in gc.get_objects() if type(each) is contextvars.Context]
    found = [each for each in found if each.get(VAR) is not token]
    loop.call_soon(lambda: seen.append([each for each in found if each.get(VAR) is token]))
    run(loop)
    assert seen == [[]]
