"""run_coroutine_threadsafe: results and cancellation across threads."""

import asyncio
import concurrent.futures
import threading

import pytest

from tests.support import running_thread, wait_until


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
