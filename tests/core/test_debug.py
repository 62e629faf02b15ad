"""Debug mode: slow callbacks, wrong threads, where a coroutine came from."""

import asyncio
import logging
import signal
import sys
import threading
import time

import pytest

from tests.support import PATIENCE, collect_garbage, run_turn, running_thread

# What a busy machine halts for shorter is not ours.
SLOW = 0.1
SLOWER = 0.15


def slow(*args):
    time.sleep(SLOWER)


@pytest.fixture
def debug_loop(loop):
    """A loop in debug mode that calls anything above SLOW slow."""
    loop.set_debug(True)
    loop.slow_callback_duration = SLOW
    return loop


@pytest.fixture
def slow_log(caplog):
    """Messages about slow callbacks."""
    caplog.set_level(logging.WARNING, "asyncio")

    def messages():
        found = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        return [message for message in found if message.startswith("Executing ")]

    return messages


def took(message):
    """The seconds that a message tells."""
    return float(message.rpartition(" took ")[2].removesuffix(" seconds"))


def assert_one(messages, *parts):
    """One message of what was as slow as slow(), which has these parts and a plausible time."""
    (message,) = [each for each in messages if took(each) >= SLOWER]
    for part in parts:
        assert part in message
    assert took(message) < PATIENCE


def test_get_and_set(loop, monkeypatch):
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False
    assert loop.slow_callback_duration == 0.1


def test_the_environment_turns_it_on(impl, monkeypatch):
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    loop = impl.new_event_loop()
    assert loop.get_debug() is True
    loop.close()
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "")
    loop = impl.new_event_loop()
    assert loop.get_debug() is bool(sys.flags.dev_mode)
    loop.close()


def test_slow_call_soon(debug_loop, slow_log):
    debug_loop.call_soon(slow)
    debug_loop.call_soon(int)
    run_turn(debug_loop)
    assert_one(slow_log(), "<Handle slow() at", "created at")


def test_slow_timer(debug_loop, slow_log):
    debug_loop.call_later(0, slow)
    run_turn(debug_loop)
    assert_one(slow_log(), "<TimerHandle when=", "slow() at")


def test_slow_threadsafe(debug_loop, slow_log):
    with running_thread(debug_loop.call_soon_threadsafe, slow):
        pass
    run_turn(debug_loop)
    assert_one(slow_log(), "Handle slow() at")


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_slow_reader_and_writer(debug_loop, slow_log, pair, direction):
    left, right = pair
    right.send(b"x")
    getattr(debug_loop, f"add_{direction}")(left, slow)
    run_turn(debug_loop)
    getattr(debug_loop, f"remove_{direction}")(left)
    assert_one(slow_log(), "<Handle slow() at")


@pytest.mark.parametrize("steps", [0, 1])
def test_slow_task_step(debug_loop, slow_log, steps):
    async def slow_coroutine():
        for _ in range(steps):
            await asyncio.sleep(0)
        slow()

    task = debug_loop.create_task(slow_coroutine(), name="the slow task")
    while not task.done():
        run_turn(debug_loop)
    assert_one(slow_log(), "<Task ", "name='the slow task'", "slow_coroutine()")


def test_slow_task_woken_by_a_future(debug_loop, slow_log):
    future = debug_loop.create_future()

    async def slow_coroutine():
        await future
        slow()

    debug_loop.call_soon(future.set_result, None)
    debug_loop.run_until_complete(slow_coroutine())
    assert_one(slow_log(), "<Task ", "slow_coroutine()")


def test_slow_done_callback(debug_loop, slow_log):
    future = debug_loop.create_future()
    future.add_done_callback(slow)
    future.set_result(None)
    run_turn(debug_loop)
    assert_one(slow_log(), "slow(", "<Handle ")


class SlowProtocol(asyncio.Protocol):
    def __init__(self, what):
        self.what = what
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        if self.what == "connection_made":
            slow()

    def data_received(self, data):
        if self.what == "data_received":
            slow()

    def connection_lost(self, error):
        if self.what == "connection_lost":
            slow()
        self.lost.set_result(None)


@pytest.mark.parametrize("what", ["connection_made", "data_received", "connection_lost"])
def test_slow_protocol(debug_loop, slow_log, pair, what):
    left, right = pair

    async def main():
        _, protocol = await debug_loop.create_connection(lambda: SlowProtocol(what), sock=left)
        right.send(b"x")
        right.close()
        await protocol.lost

    debug_loop.run_until_complete(main())
    assert_one(slow_log(), "Executing <")


def test_slow_signal_handler(debug_loop, slow_log):
    debug_loop.add_signal_handler(signal.SIGUSR1, slow)
    debug_loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    debug_loop.call_later(0.05, debug_loop.stop)
    debug_loop.run_forever()
    debug_loop.remove_signal_handler(signal.SIGUSR1)
    assert_one(slow_log(), "slow() at")


def test_nothing_slow_no_message(debug_loop, slow_log):
    async def main():
        for _ in range(100):
            await asyncio.sleep(0)
        slow()

    # Above what a busy machine adds, and above slow() all the same.
    debug_loop.slow_callback_duration = PATIENCE
    debug_loop.run_until_complete(main())
    assert slow_log() == []


def test_no_messages_without_debug_mode(loop, slow_log):
    loop.slow_callback_duration = SLOW
    loop.call_soon(slow)
    run_turn(loop)
    assert slow_log() == []


def test_the_wrong_thread_is_told(debug_loop):
    def misuse():
        message = "Non-thread-safe operation invoked on an event loop other than the current one"
        for call in (
            lambda: debug_loop.call_soon(int),
            lambda: debug_loop.call_later(1, int),
            lambda: debug_loop.call_at(1, int),
        ):
            with pytest.raises(RuntimeError, match=message):
                call()

    started = threading.Event()
    with running_thread(lambda: (started.wait(), misuse(), debug_loop.call_soon_threadsafe(debug_loop.stop))):
        debug_loop.call_soon(started.set)
        debug_loop.run_forever()


def test_any_thread_may_use_a_loop_that_does_not_run(debug_loop):
    seen = []
    with running_thread(lambda: debug_loop.call_soon(seen.append, 1)):
        pass
    run_turn(debug_loop)
    assert seen == [1]


def test_futures_and_tasks_know_where_they_were_made(debug_loop, run):
    async def main():
        line = sys._getframe().f_lineno + 1
        future, task = debug_loop.create_future(), debug_loop.create_task(asyncio.sleep(0))
        await task
        frames = [(frame.filename, frame.lineno) for frame in future._source_traceback]
        return line, frames, repr(task)

    line, frames, text = run(main())
    # asyncio's future was made in its own create_future, one frame further in.
    assert (__file__, line) in frames[-2:]
    assert f"created at {__file__}:{line}" in text


@pytest.mark.parametrize("debug", [True, False])
def test_never_awaited_names_the_origin(loop, run, debug):
    async def forgotten():
        pass

    async def main():
        forgotten()

    loop.set_debug(debug)
    with pytest.warns(RuntimeWarning, match="was never awaited") as caught:
        run(main())
        collect_garbage()
    message = str(caught[0].message)
    assert ("Coroutine created at (most recent call last)" in message) is debug
    assert (__file__ in message) is debug


def test_origin_tracking_lasts_while_the_loop_runs(debug_loop):
    depths = []
    before = sys.get_coroutine_origin_tracking_depth()
    debug_loop.call_soon(lambda: depths.append(sys.get_coroutine_origin_tracking_depth()))
    run_turn(debug_loop)
    assert depths[0] > before
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_set_debug_in_a_running_loop(loop):
    depths = []

    async def main():
        for debug in (True, False):
            loop.set_debug(debug)
            await asyncio.sleep(0.001)
            depths.append(sys.get_coroutine_origin_tracking_depth() > 0)

    loop.run_until_complete(main())
    assert depths == [True, False]


def test_everything_works_in_debug_mode(debug_loop, pair):
    """One program through both of a loop's ways of running: with the checks and without."""
    left, right = pair
    debug_loop.slow_callback_duration = 10

    async def main():
        received = debug_loop.create_future()
        debug_loop.add_reader(left, lambda: received.done() or received.set_result(left.recv(10)))
        right.send(b"x")
        results = await asyncio.gather(received, asyncio.sleep(0.001, "slept"), asyncio.to_thread(int))
        debug_loop.remove_reader(left)
        await debug_loop.shutdown_default_executor()
        return results

    assert debug_loop.run_until_complete(main()) == [b"x", "slept", 0]
