"""Names with an underscore that libraries read: they exist and tell the truth."""

import asyncio
import contextlib
import signal
import socket
import threading
from unittest import mock

import pytest

from cloop.aio.latch import Latch
from cloop.core.step import Step
from cloop.core.wakeup import Wakeup
from cloop.transports.tls.machine import TlsMachine
from tests.support import collect_garbage, open_fds, run_for, run_turn


def test_thread_id(loop):
    seen = []
    assert loop._thread_id is None
    loop.call_soon(lambda: seen.append(loop._thread_id))
    run_turn(loop)
    assert seen == [threading.get_ident()]
    assert loop._thread_id is None


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


def test_a_coarser_clock_resolution(loop):
    """Timers that are due within it run early, as those of a clock that can't tell."""
    seen = []
    loop._clock_resolution = 50
    assert loop._clock_resolution == 50
    loop.call_later(40, seen.append, "early")
    late = loop.call_later(1000, seen.append, "late")
    run_turn(loop)
    assert seen == ["early"]
    loop._clock_resolution = 1e-9
    loop.call_later(40, seen.append, "late").cancel()
    run_turn(loop)
    assert seen == ["early"]
    late.cancel()


def test_closed(loop):
    assert loop._closed is False
    loop._closed = True
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon(int)
    loop._closed = False
    run_turn(loop)
    loop.close()
    assert loop._closed is True


def test_a_loop_is_not_opened_again(loop, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio's loop is without a selector then, and fails")
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop._closed = False
    assert loop.is_closed()


def test_task_factory(loop, run):
    async def main():
        return "result"

    assert loop._task_factory is None
    factory = lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options)  # noqa: E731
    loop._task_factory = factory
    assert loop._task_factory is loop.get_task_factory() is factory
    assert type(loop.create_task(asyncio.sleep(0))) is asyncio.Task
    assert run(main()) == "result"
    loop._task_factory = None
    assert loop.get_task_factory() is None


def test_ensure_resolved(loop, run):
    infos = run(loop._ensure_resolved(("127.0.0.1", 80), family=socket.AF_INET, loop=loop))
    assert infos == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 80))]
    found = run(loop._ensure_resolved(("localhost", 80), type=socket.SOCK_DGRAM, loop=loop))
    assert any(address[:2] == ("127.0.0.1", 80) for *_, address in found)
    run(loop.shutdown_default_executor())


def test_transports(loop, run):
    async def main():
        left, right = socket.socketpair()
        with right:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
            assert loop._transports[transport.get_extra_info("socket").fileno()] is transport
            assert list(loop._transports.values()) == [transport]
            transport.close()
            await asyncio.sleep(0.001)

    assert not loop._transports
    run(main())
    # asyncio keeps those that somebody still holds.
    collect_garbage()
    assert not list(loop._transports)


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


@pytest.mark.parametrize("make", [lambda: Latch.__new__(Latch), lambda: Wakeup(None), TlsMachine])
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


def test_a_byte_for_the_self_pipe_wakes_the_loop(loop):
    reader, writer = loop._ssock, loop._csock
    assert loop._csock is writer
    assert not reader.getblocking() and not writer.getblocking()
    run_turn(loop)
    seen = []

    def wake():
        seen.append(1)
        loop._stopping = True
        writer.send(b"\0")

    timer = threading.Timer(0.01, wake)
    timer.start()
    loop.run_forever()
    timer.join()
    assert seen == [1]
    run_turn(loop)
    with pytest.raises(BlockingIOError):
        reader.recv(1)
    loop.close()
    assert loop._ssock is None and loop._csock is None


def test_signals_by_the_self_pipe(loop):
    """As of programs that want Ctrl-C to wake the loop."""
    before = signal.set_wakeup_fd(loop._csock.fileno())
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: loop.stop())
    try:
        threading.Timer(0.01, signal.raise_signal, (signal.SIGUSR1,)).start()
        loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, previous)
        signal.set_wakeup_fd(before)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slow_callback_duration", 0.01),
        ("_asyncgens", set()),
        ("_clock_resolution", 0.5),
        ("_closed", True),
        ("_debug", True),
        ("_exception_handler", print),
        ("_executor_shutdown_called", True),
        ("_selector", mock.Mock()),
        ("_signal_handlers", {}),
        ("_task_factory", print),
    ],
)
def test_patched_for_a_while(loop, loop_factory, name, value):
    """mock.patch.object() deletes an attribute at its end and looks whether it is still there."""
    with contextlib.closing(loop_factory()) as other:
        before = getattr(loop, name)
        with mock.patch.object(loop, name, value):
            with mock.patch.object(loop, name, value), mock.patch.object(other, name, value):
                pass
            assert getattr(loop, name) == value
        assert getattr(loop, name) == before
        assert getattr(other, name) is not value
        delattr(loop, name)
        assert not hasattr(loop, name) and hasattr(other, name)
        with pytest.raises(AttributeError):
            delattr(loop, name)
        setattr(loop, name, before)
        assert getattr(loop, name) == before
    loop.run_until_complete(asyncio.sleep(0))


def test_deleted_in_debug_mode(impl, loop):
    if not impl.is_cloop:
        pytest.skip("asyncio's loop ends with an AttributeError")
    loop.set_debug(True)
    del loop.slow_callback_duration
    loop.run_until_complete(asyncio.sleep(0))
    loop.slow_callback_duration = 0.1


def test_a_timer_of_asyncios_own_class(loop):
    asyncio.TimerHandle(loop.time() + 1, print, (), loop).cancel()
