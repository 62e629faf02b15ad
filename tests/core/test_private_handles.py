"""A handle's names with an underscore, which tools read and write."""

import asyncio
import contextvars
import fractions

import pytest

from tests.support import run_for, run_turn

variable = contextvars.ContextVar("variable", default="default")


@pytest.mark.parametrize("when", [5, 5.0, True, fractions.Fraction(21, 4), 2**63], ids=repr)
def test_the_time_is_the_number_that_was_given(loop, when):
    handle = loop.call_at(when, int)
    assert (type(handle._when), handle._when) == (type(when), when)
    assert (type(handle.when()), handle.when()) == (type(when), when)
    assert f" when={when} " in repr(handle)
    assert hash(handle) == hash(when)
    handle.cancel()


def test_the_time_of_call_later_is_what_the_addition_gives(loop):
    assert type(loop.call_later(5, int).when()) is float
    loop.time = lambda: 100
    assert repr(loop.call_later(5, int).when()) == "105"
    assert repr(loop.call_later(fractions.Fraction(1, 2), int).when()) == "Fraction(201, 2)"
    del loop.time


def test_times_of_several_kinds_are_compared(loop):
    handles = [loop.call_at(when, int) for when in (2**60 + 1, 2**60, 7.5, 3, fractions.Fraction(7, 2))]
    assert [handle.when() for handle in sorted(handles)] == [
        3,
        fractions.Fraction(7, 2),
        7.5,
        2**60,
        2**60 + 1,
    ]
    assert loop.call_at(3, int) == loop.call_at(3.0, int)


def test_a_delay_that_cannot_be_added_to_the_time(loop):
    for delay in ("1", object()):
        with pytest.raises(TypeError):
            loop.call_later(delay, int)


@pytest.mark.parametrize("first", [0.001, 1000])
def test_a_time_that_is_set_moves_the_timer(loop, first):
    """Caches do so, to keep what they hold a while longer without a new timer."""
    handle = loop.call_later(first, loop.stop)
    begin = loop.time()
    handle._when = begin + 0.02
    loop.run_forever()
    assert 0.019 <= loop.time() - begin < 100
    assert handle not in list(loop._scheduled)


def test_a_time_that_is_set_of_a_timer_that_is_over(loop):
    handle = loop.call_later(0, int)
    run_for(loop, 0.001)
    handle._when = 7
    assert handle.when() == 7
    run_turn(loop)


def test_a_time_that_is_no_number_is_refused(loop, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio takes it, and its loop fails")
    handle = loop.call_later(1000, int)
    for value in ("1", None, float("nan")):
        with pytest.raises((TypeError, ValueError)):
            handle._when = value
    assert handle in list(loop._scheduled)


@pytest.mark.parametrize("schedule", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_cancelled_can_be_set(loop, schedule):
    seen = []
    arguments = (0, seen.append, 1) if schedule == "call_later" else (seen.append, 1)
    handle = getattr(loop, schedule)(*arguments)
    handle._cancelled = True
    assert handle.cancelled()
    run_for(loop, 0.001)
    assert seen == []
    handle._cancelled = False
    loop._add_callback(handle)
    run_turn(loop)
    assert seen == [1]


def test_a_cancelled_one_that_is_to_run_after_all(loop, reports):
    handle = loop.call_soon(int)
    handle.cancel()
    handle._cancelled = False
    run_turn(loop)
    assert isinstance(reports.take_one()["exception"], TypeError)


def test_the_context_can_be_set(loop):
    seen = []
    handle = loop.call_soon(lambda: seen.append(variable.get()))
    context = contextvars.copy_context()
    context.run(variable.set, "set")
    handle._context = context
    assert handle._context is context
    run_turn(loop)
    assert seen == ["set"]


def test_a_context_that_is_none_is_refused(loop, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio takes it, and its loop fails")
    handle = loop.call_soon(int)
    for value in (None, {}, "context"):
        with pytest.raises(TypeError):
            handle._context = value
    run_turn(loop)


def test_the_reader_of_a_handle_that_was_cancelled_is_watched_no_longer(loop, pair):
    left, right = pair
    seen = []
    handle = loop._add_reader(left, seen.append, 1)
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()
    right.send(b"x")
    run_for(loop, 0.005)
    assert seen == []
    assert loop._remove_reader(left) is False


def test_readers_and_writers_by_their_private_names(loop, pair):
    left, right = pair
    seen = []
    loop._add_reader(left, seen.append, "read")
    loop._add_writer(left, seen.append, "write")
    right.send(b"x")
    run_for(loop, 0.001)
    assert set(seen) == {"read", "write"}
    assert loop._remove_writer(left) is True
    assert loop._remove_reader(left) is True
    assert loop._remove_reader(left) is False
