"""Names with an underscore that libraries read: they exist and tell the truth."""

import asyncio
import signal
import threading

import pytest

from cloop.aio.latch import Latch
from cloop.core.wakeup import Wakeup
from cloop.transports.step import Step
from cloop.transports.tls_flow import TlsFlow
from tests.support import collect_garbage, open_fds, run_for, run_turn


def test_thread_id(loop):
    seen = []
    assert loop._thread_id is None
    loop.call_soon(lambda: seen.append(loop._thread_id))
    run_turn(loop)
    assert seen == [threading.get_ident()]
    assert loop._thread_id is None


def test_ready(loop):
    assert not loop._ready
    handle = loop.call_soon(int)
    assert len(loop._ready) == 1
    assert loop._ready
    assert list(loop._ready) == [handle]
    run_turn(loop)
    assert len(loop._ready) == 0


def test_scheduled(loop):
    assert not loop._scheduled
    late, early = loop.call_later(1000, int), loop.call_later(500, int)
    assert len(loop._scheduled) == 2
    assert set(loop._scheduled) == {late, early}
    assert sorted(loop._scheduled)[0] is early
    early.cancel()
    assert late in list(loop._scheduled)


def test_a_timer_that_fired_is_scheduled_no_more(loop):
    handle = loop.call_later(0, int)
    run_for(loop, 0.001)
    assert handle not in list(loop._scheduled)


def test_debug(loop):
    assert loop._debug is loop.get_debug()
    loop.set_debug(True)
    assert loop._debug is True


def test_clock_resolution(loop):
    assert 0 < loop._clock_resolution <= 1e-6


def test_run_once(loop):
    seen = []
    loop.call_soon(seen.append, 1)
    loop.call_soon(loop.call_soon, seen.append, 2)
    loop._run_once()
    assert seen == [1]
    loop._run_once()
    assert seen == [1, 2]


def test_run_once_from_within(loop, impl):
    """What tools for nested running do: turns of the loop inside one of its callbacks."""
    if not impl.is_cloop:
        pytest.skip("asyncio's outer turn fails with IndexError; such tools replace its _run_once")
    seen = []

    def nested():
        loop.call_soon(seen.append, "inner")
        loop._run_once()
        seen.append("outer")

    loop.call_soon(nested)
    loop.call_soon(seen.append, "next")
    run_turn(loop)
    assert seen == ["next", "inner", "outer"]


def test_check_closed(loop):
    assert loop._check_closed() is None
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop._check_closed()


def test_signal_handlers(loop):
    assert not loop._signal_handlers
    loop.add_signal_handler(signal.SIGUSR1, int)
    assert signal.SIGUSR1 in loop._signal_handlers
    loop.remove_signal_handler(signal.SIGUSR1)
    assert signal.SIGUSR1 not in loop._signal_handlers


def test_selector_is_none_or_tells_the_truth(loop, pair):
    left, _ = pair
    selector = getattr(loop, "_selector", None)
    if selector is not None:
        loop.add_reader(left, int)
        assert left.fileno() in selector.get_map()
        loop.remove_reader(left)
        assert left.fileno() not in selector.get_map()


def test_check_running(loop):
    async def main():
        with pytest.raises(RuntimeError, match="already running"):
            loop._check_running()

    assert loop._check_running() is None
    loop.run_until_complete(main())


def test_attributes_can_be_set(loop):
    """Loops carry the data of many libraries."""
    loop.something = [1]
    assert loop.something == [1]
    original = loop.call_soon
    calls = []

    def recording(callback, *args, context=None):
        calls.append(callback)
        return original(callback, *args, context=context)

    loop.call_soon = recording
    loop.call_soon(int)
    run_turn(loop)
    assert int in calls


def test_subclass_of_the_loop_with_its_own_init(impl):
    class Own(impl.loop_type):
        def __init__(self, label):
            super().__init__()
            self.label = label

        def create_task(self, coro, **kwargs):
            self.created = coro
            return super().create_task(coro, **kwargs)

    loop = Own("label")

    async def main():
        await asyncio.create_task(asyncio.sleep(0))
        return asyncio.get_running_loop()

    assert loop.run_until_complete(main()) is loop
    assert loop.label == "label" and loop.created is not None
    loop.close()


@pytest.mark.parametrize("make", [lambda: Latch.__new__(Latch), lambda: Wakeup(None), TlsFlow])
def test_what_nobody_is_to_make(make):
    """It would be without what its methods take for granted; and of what is not made, nothing is closed."""
    before = open_fds()
    with pytest.raises(TypeError):
        make()
    collect_garbage()
    assert open_fds() == before


def test_a_step_of_nothing():
    """What a loop with its own call_soon is given has a class that can be called."""
    assert Step()() is None
