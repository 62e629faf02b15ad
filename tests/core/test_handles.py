"""Handle and TimerHandle: the attributes, order and repr that asyncio's have."""

import asyncio
import contextvars
import functools
import gc
import re
import sys
import weakref

import pytest

from tests.support import PY312, run_for, run_turn


def callback(*args):
    pass


class Callable:
    def __call__(self):
        pass

    def method(self):
        pass


def without_numbers(text):
    """A repr without addresses, line numbers and times, which differ from object to object."""
    return re.sub(r"0x[0-9a-f]+|:\d+|when=[-0-9.]+", "#", text)


CALLBACKS = [
    callback,
    functools.partial(callback, 1, key="value"),
    functools.partial(functools.partial(callback), 2),
    Callable(),
    Callable().method,
    print,
    lambda: None,
]


@pytest.mark.parametrize("call", CALLBACKS, ids=range(len(CALLBACKS)))
@pytest.mark.parametrize("args", [(), (1, "two"), (["long"] * 100,)], ids=["none", "two", "long"])
@pytest.mark.parametrize("debug", [False, True])
def test_repr_is_asyncios(loop, call, args, debug):
    """The models are asyncio's own classes, which take any loop."""
    loop.set_debug(debug)
    soon, model = loop.call_soon(call, *args), asyncio.Handle(call, args, loop)
    timer, timer_model = loop.call_later(1, call, *args), asyncio.TimerHandle(1.0, call, args, loop)
    assert without_numbers(repr(soon)) == without_numbers(repr(model))
    assert without_numbers(repr(timer)) == without_numbers(repr(timer_model))
    for handle in (soon, model, timer):
        handle.cancel()
    assert without_numbers(repr(soon)) == without_numbers(repr(model))
    # asyncio's shows no time once cancelled, or what it was in debug mode.
    assert "cancelled" in repr(timer)
    assert without_numbers(repr(timer)).startswith("<TimerHandle")


def test_debug_repr_names_the_caller(loop):
    loop.set_debug(True)
    line = sys._getframe().f_lineno + 1
    handle = loop.call_soon(callback)
    assert repr(handle).endswith(f"created at {__file__}:{line}>")
    assert handle._source_traceback[-1].lineno == line
    handle.cancel()


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_source_traceback_ends_at_the_caller(loop, method):
    loop.set_debug(True)
    args = (0.0,) if method in ("call_later", "call_at") else ()
    line = sys._getframe().f_lineno + 1
    handle = getattr(loop, method)(*args, callback)
    frame = handle._source_traceback[-1]
    assert (frame.filename, frame.lineno) == (__file__, line)
    loop.set_debug(False)
    assert getattr(loop, method)(*args, callback)._source_traceback is None


def test_private_attributes(loop):
    handle = loop.call_soon(callback, 1, 2)
    assert handle._callback is callback
    assert handle._args == (1, 2)
    assert handle._context is not None
    assert handle._cancelled is False
    assert handle._loop is loop
    handle.cancel()
    assert handle._cancelled is True
    assert handle._callback is None
    assert handle._args is None


def test_timer_private_attributes(loop):
    handle = loop.call_at(123.5, callback, 1)
    assert (handle._when, handle._callback, handle._args) == (123.5, callback, (1,))
    assert handle._scheduled is True
    handle.cancel()
    assert (handle._callback, handle._args) == (None, None)


@pytest.mark.skipif(not PY312, reason="Handle.get_context is new in 3.12")
def test_get_context(loop):
    context = contextvars.copy_context()
    assert loop.call_soon(callback, context=context).get_context() is context
    timer = loop.call_later(0, callback, context=context)
    assert timer.get_context() is context
    run_turn(loop)


def test_timers_are_ordered_by_time(loop):
    early, late = loop.call_at(1.0, callback), loop.call_at(2.0, callback)
    assert early < late and early <= late and late > early and late >= early
    assert not (late < early or late <= early or early > late or early >= late)
    assert sorted([late, early]) == [early, late]


def test_timers_of_one_time(loop):
    one, same = loop.call_at(1.0, callback, 1), loop.call_at(1.0, callback, 1)
    other = loop.call_at(1.0, callback, 2)
    assert one == same and hash(one) == hash(same) == hash(1.0)
    assert one <= same and one >= same and not one < same and not one > same
    assert one != other
    same.cancel()
    assert one != same


def test_timers_compare_only_with_timers(loop):
    timer = loop.call_at(1.0, callback)
    assert timer != 1.0
    assert timer != loop.call_soon(callback)
    with pytest.raises(TypeError):
        timer < 1.0  # noqa: B015
    run_turn(loop)


def test_timers_compare_with_asyncios(loop):
    """A library's own heap may hold both kinds."""
    timer, model = loop.call_at(1.0, callback), asyncio.TimerHandle(2.0, callback, (), loop)
    assert timer < model and model > timer and timer != model


def test_handles_can_be_hashed_and_weakly_referenced(loop):
    soon, timer = loop.call_soon(callback), loop.call_later(0, callback)
    assert len({soon, timer}) == 2
    assert weakref.ref(soon)() is soon
    assert weakref.ref(timer)() is timer
    run_turn(loop)


def test_handles_are_freed_without_the_collector(loop):
    gc.disable()
    try:
        soon, timer = loop.call_soon(callback), loop.call_later(0, callback)
        references = [weakref.ref(soon), weakref.ref(timer)]
        del soon, timer
        run_turn(loop)
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["_callback", "_args", "_context"])
@pytest.mark.parametrize("kind", ["call_soon", "call_later"])
def test_one_that_was_never_initialized_is_seen_by_the_collector(loop, kind, name):
    # In the memory of one that has run.
    made = loop.call_soon(callback) if kind == "call_soon" else loop.call_later(0, callback)
    cls = type(made)
    del made
    run_for(loop, 0.01)
    handle = cls.__new__(cls)
    value = handle
    if name == "_args":
        value = (handle,)
    elif name == "_context":
        value = contextvars.Context()
        value.run(contextvars.ContextVar("itself").set, handle)
    setattr(handle, name, value)
    reference = weakref.ref(handle)
    del handle, value
    gc.collect()
    assert reference() is None


def test_arguments_that_somebody_has_taken_away(loop, reports):
    for handle in (loop.call_soon(callback), loop.call_later(0, callback)):
        handle._args = None
    run_for(loop, 0.01)
    assert len(reports) == 2
    for context in reports.take():
        assert type(context["exception"]) is TypeError
        assert "must be an iterable, not NoneType" in str(context["exception"])


def test_arguments_that_somebody_has_set(loop):
    called = []
    handle = loop.call_soon(lambda *args: called.append(args))
    handle._args = [1, 2]
    run_turn(loop)
    assert called == [(1, 2)]
