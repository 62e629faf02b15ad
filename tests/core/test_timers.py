"""call_later and call_at: order, exactness, cancellation, extremes."""

import asyncio
import contextvars
import math
import random
import time
import weakref

import pytest

from tests.support import collect_garbage, run_for, run_turn


def test_time_is_monotonic_time(loop):
    before = time.monotonic()
    now = loop.time()
    assert before <= now <= time.monotonic()


def test_time_has_a_fine_grain(loop):
    """A clock that is read once a turn, or in milliseconds, gives the same value again and again."""
    assert len({loop.time() for _ in range(2000)}) > 1000


def test_timers_fire_in_order_of_their_time(loop):
    now, seen = loop.time(), []
    delays = [number / 100_000 for number in range(500)]
    random.Random(1).shuffle(delays)
    for delay in delays:
        loop.call_at(now + delay, seen.append, delay)
    run_for(loop, 0.01)
    assert seen == sorted(delays)


def test_equal_times_fire_in_order_of_insertion(loop, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio's heap keeps no order among equal times")
    when, seen = loop.time() + 0.001, []
    for number in range(200):
        loop.call_at(when, seen.append, number)
    run_for(loop, 0.01)
    assert seen == list(range(200))


def test_order_holds_when_some_are_cancelled(loop):
    now, seen = loop.time(), []
    handles = [loop.call_at(now + number / 100_000, seen.append, number) for number in range(300)]
    dropped = set(random.Random(2).sample(range(300), 150))
    for number in dropped:
        handles[number].cancel()
    run_for(loop, 0.01)
    assert seen == [number for number in range(300) if number not in dropped]


def test_never_early(loop):
    early = []

    def check(when):
        # asyncio allows itself the clock's resolution, one nanosecond here.
        if loop.time() < when - 1e-9:
            early.append(when)

    now = loop.time()
    for number in range(100):
        when = now + number * 0.00037
        loop.call_at(when, check, when)
    run_for(loop, 0.045)
    assert early == []


@pytest.mark.parametrize("delay", [0.0002, 0.0004, 0.0011])
def test_short_sleeps_take_their_time(loop, run, delay):
    """A delay below the poller's grain must not turn into no delay at all."""

    async def sleep_for_a_while():
        end, count = loop.time() + 0.05, 0
        while loop.time() < end:
            await asyncio.sleep(delay)
            count += 1
        return count

    assert run(sleep_for_a_while()) <= 0.05 / delay + 1


def test_short_sleeps_do_not_spin(loop, run):
    """Waiting takes no processor time, whichever way a time-out under a millisecond is waited for."""

    async def sleep_often():
        for _ in range(100):
            await asyncio.sleep(0.0004)

    wall, cpu = time.monotonic(), time.thread_time()
    run(sleep_often())
    wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
    assert wall >= 0.04
    assert cpu < wall / 2


def test_an_idle_loop_rests(loop):
    cpu = time.thread_time()
    run_for(loop, 0.1)
    assert time.thread_time() - cpu < 0.02


def test_times_below_a_millisecond_are_waited_for_exactly(loop, impl, run):
    if not impl.is_cloop:
        pytest.skip("asyncio rounds up to what the selector takes, with epoll a millisecond")

    async def shortest(delay, count=50):
        best = math.inf
        for _ in range(count):
            begin = loop.time()
            await asyncio.sleep(delay)
            best = min(best, loop.time() - begin)
        return best

    assert 0.0002 <= run(shortest(0.0002)) < 0.0008


@pytest.mark.parametrize("delay", [0, 0.0, -1, -1e300])
def test_delay_of_zero_or_less_is_a_timer_all_the_same(loop, delay):
    seen = []
    handle = loop.call_later(delay, seen.append, "timer")
    loop.call_soon(seen.append, "soon")
    assert isinstance(handle, asyncio.TimerHandle)
    assert handle.when() <= loop.time()
    assert seen == []
    run_turn(loop)
    assert seen == ["soon", "timer"]


@pytest.mark.parametrize("delay", [86_400 * 365, 1e10, 1e300, math.inf])
def test_huge_delays_wait_without_trouble(loop, delay):
    seen = []
    huge = loop.call_later(delay, seen.append, "huge")
    loop.call_later(0.005, seen.append, "short")
    run_for(loop, 0.02)
    assert seen == ["short"]
    assert huge.when() >= delay
    huge.cancel()


def test_times_in_the_past_run_in_order(loop):
    now, seen = loop.time(), []
    for ago in (1, 3, 2, 1e10):
        loop.call_at(now - ago, seen.append, ago)
    run_turn(loop)
    assert seen == [1e10, 3, 2, 1]


def test_when_is_what_was_asked_for(loop):
    when = loop.time() + 12.345678912345
    handle = loop.call_at(when, print)
    assert handle.when() == when
    before = loop.time()
    later = loop.call_later(5, print)
    assert before + 5 <= later.when() <= loop.time() + 5
    handle.cancel()
    later.cancel()


@pytest.mark.parametrize("wrong", [None, "1", object()])
def test_delays_must_be_numbers(loop, wrong):
    with pytest.raises(TypeError):
        loop.call_later(wrong, print)


def test_times_must_not_be_none(loop):
    with pytest.raises(TypeError, match=r"^when cannot be None$"):
        loop.call_at(None, print)


def test_timers_have_contexts(loop):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    loop.call_later(0, lambda: seen.append(variable.get()), context=context)
    token = variable.set("copied")
    loop.call_at(loop.time(), lambda: seen.append(variable.get()))
    variable.reset(token)
    run_for(loop, 0.005)
    assert sorted(seen) == ["copied", "given"]


def test_a_due_timer_can_cancel_another(loop):
    now, seen = loop.time(), []
    others = []
    loop.call_at(now - 1, lambda: others[0].cancel())
    others.append(loop.call_at(now - 0.5, seen.append, "cancelled"))
    loop.call_at(now, seen.append, "kept")
    run_turn(loop)
    assert seen == ["kept"]


def test_cancelling_frees_the_arguments_at_once(loop):
    class Payload:
        pass

    payload = Payload()
    reference = weakref.ref(payload)
    handle = loop.call_later(1000, print, payload)
    del payload
    handle.cancel()
    collect_garbage()
    assert reference() is None
    assert handle.cancelled()


def test_cancelled_timers_do_not_pile_up(loop):
    for _ in range(20):
        handles = [loop.call_later(1000 + number, print) for number in range(500)]
        for handle in handles:
            handle.cancel()
        run_turn(loop)
    # asyncio lets a hundred of them wait for their time.
    assert len(loop._scheduled) < 200


def test_a_timer_set_by_a_timer_waits_for_the_next_turn(loop):
    seen = []

    def first():
        seen.append("first")
        loop.call_later(0, seen.append, "second")

    loop.call_later(0, first)
    run_turn(loop)
    assert seen == ["first"]
    run_turn(loop)
    assert seen == ["first", "second"]


def test_an_exception_in_a_timer_is_reported(loop, reports):
    error = ValueError("raised in a timer")

    def fail():
        raise error

    handle = loop.call_later(0, fail)
    seen = []
    loop.call_later(0, seen.append, "after")
    run_for(loop, 0.005)
    context = reports.take_one()
    assert (context["exception"], context["handle"]) == (error, handle)
    assert seen == ["after"]


def test_a_clock_of_ones_own_moves_the_timers(impl):
    """Simulations and test tools replace loop.time."""
    clock = [1000.0]

    class Simulated(impl.loop_type):
        def time(self):
            return clock[0]

    loop, seen = Simulated(), []
    handle = loop.call_later(3600, seen.append, "hour")
    assert handle.when() == 4600.0
    loop.call_later(1800, seen.append, "half")
    run_turn(loop)
    assert seen == []
    clock[0] += 1800
    run_turn(loop)
    assert seen == ["half"]
    clock[0] += 1800
    run_turn(loop)
    assert seen == ["half", "hour"]
    loop.close()


def test_a_clock_set_on_one_loop_moves_its_timers(loop):
    now, seen = loop.time(), []
    loop.time = lambda: now
    loop.call_later(50, seen.append, "timer")
    run_turn(loop)
    assert seen == []
    loop.time = lambda: now + 50
    run_turn(loop)
    assert seen == ["timer"]


def test_many_timers(loop):
    now = loop.time()
    count = [0]

    def fire():
        count[0] += 1

    for number in range(20_000):
        loop.call_at(now + (number * 7919 % 20_000) / 1e6, fire)
    run_for(loop, 0.1)
    assert count == [20_000]
