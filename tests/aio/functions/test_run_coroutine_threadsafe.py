"""run_coroutine_threadsafe: results and cancellation across threads."""

import asyncio
import collections.abc
import concurrent.futures
import os
import signal
import threading
import time

import pytest

from tests.support import PATIENCE, run_turn, running_thread, wait_until


@pytest.fixture
def submit(loop, functions):
    """Runs `work(submit)` in a thread while the loop runs; returns what it returned."""

    def in_thread(work):
        results = []

        def body():
            try:
                results.append(work(lambda coro: functions.run_coroutine_threadsafe(coro, loop)))
            finally:
                loop.call_soon_threadsafe(loop.stop)

        with running_thread(body):
            loop.run_forever()
        return results[0]

    return in_thread


def test_the_result_comes_back(submit):
    async def where():
        await asyncio.sleep(0)
        return threading.get_ident()

    def work(submit):
        future = submit(where())
        assert isinstance(future, concurrent.futures.Future)
        return future.result(10)

    assert submit(work) == threading.get_ident()


def test_a_failure_comes_back(submit):
    async def fail():
        raise KeyError("failed")

    def work(submit):
        with pytest.raises(KeyError, match="failed"):
            submit(fail()).result(10)
        return True

    assert submit(work)


def test_many(submit):
    def work(submit):
        return [future.result(10) for future in [submit(asyncio.sleep(0, number)) for number in range(200)]]

    assert submit(work) == list(range(200))


def test_cancelled_in_the_loop(submit):
    async def cancelled():
        raise asyncio.CancelledError

    def work(submit):
        with pytest.raises(concurrent.futures.CancelledError):
            submit(cancelled()).result(10)
        return True

    assert submit(work)


def test_cancelled_from_the_thread(loop, submit):
    seen = []
    started = threading.Event()

    async def wait():
        started.set()
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def work(submit):
        future = submit(wait())
        assert started.wait(10)
        assert future.cancel() is True
        submit(wait_until(lambda: seen)).result(10)
        return future.cancelled()

    assert submit(work) is True
    assert seen == ["cancelled"]


def test_futures_are_refused(loop, functions):
    with pytest.raises(TypeError, match=r"^A coroutine object is required$"):
        functions.run_coroutine_threadsafe(loop.create_future(), loop)


def test_a_task_factory_that_fails(loop, submit, reports):
    def factory(loop, coro, **kwargs):
        coro.close()
        raise KeyError("no task")

    def work(submit):
        with pytest.raises(KeyError, match="no task"):
            submit(asyncio.sleep(0)).result(10)
        return True

    loop.set_task_factory(factory)
    assert submit(work)
    assert isinstance(reports.take_one()["exception"], KeyError)


def test_from_fifty_threads(loop, functions):
    """Each gets what is its own, in a loop that sleeps as often as it works."""

    async def double(number):
        await asyncio.sleep(0 if number % 3 else 0.0001)
        return 2 * number

    def ask(first):
        for number in range(first, first + 40):
            assert functions.run_coroutine_threadsafe(double(number), loop).result(PATIENCE) == 2 * number
        answered.append(first)

    answered = []
    threads = [threading.Thread(target=ask, args=(100 * number,)) for number in range(50)]
    loop.call_soon(lambda: [thread.start() for thread in threads])

    def stop_when_over():
        if any(thread.is_alive() for thread in threads):
            loop.call_later(0.001, stop_when_over)
        else:
            loop.stop()

    loop.call_later(0.001, stop_when_over)
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert sorted(answered) == [100 * number for number in range(50)]


def test_from_signal_handlers(loop, functions):
    """While a callback runs, and while the loop sleeps."""

    def handler(number, frame):
        futures.append(functions.run_coroutine_threadsafe(asyncio.sleep(0, len(futures)), loop))

    def send():
        for number in range(20):
            os.kill(os.getpid(), signal.SIGUSR1)
            deadline = time.monotonic() + PATIENCE
            while len(futures) < 51 + number:
                assert time.monotonic() < deadline, "the handler was not called"
                time.sleep(0.0005)

    async def main():
        for number in range(50):
            signal.raise_signal(signal.SIGUSR1)
            if number % 2:
                await asyncio.sleep(0)
        with running_thread(send):
            await wait_until(lambda: len(futures) == 70)
        return [await asyncio.wrap_future(future) for future in futures]

    futures = []
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert loop.run_until_complete(main()) == list(range(70))
    finally:
        signal.signal(signal.SIGUSR1, before)


class Silent(collections.abc.Coroutine):
    """A coroutine that nobody misses."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def send(self, value):
        raise StopIteration(None)

    def throw(self, *args):
        raise args[0]


def test_while_the_loop_closes(loop_factory, impl, functions):
    """Threads are told, and what the loop has not come to stays undone."""

    def forgotten(loop, coro, **options):
        task = impl.Task(coro, loop=loop, **options)
        task._log_destroy_pending = False
        return task

    def post(loop, started, futures):
        started.wait()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            while True:
                futures.append(functions.run_coroutine_threadsafe(Silent(), loop))

    for _ in range(10):
        loop = loop_factory()
        loop.set_task_factory(forgotten)
        started, futures = threading.Barrier(4), []
        job = (post, loop, started, futures)
        with running_thread(*job), running_thread(*job), running_thread(*job):
            started.wait()
            run_turn(loop)
            loop.close()
        assert all(future.result(0) is None for future in futures if future.done())
