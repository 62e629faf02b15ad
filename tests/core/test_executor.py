"""run_in_executor and the default executor."""

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref

import pytest

from tests.support import PY312, PY313, PY314, PY315, running_thread, settle, wait_until


@pytest.fixture
def loop(loop):
    """A loop whose executor's threads are gone after the test."""
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_default_executor())


def test_runs_in_another_thread(loop):
    def work(*args):
        return threading.get_ident(), args

    thread, args = loop.run_until_complete(loop.run_in_executor(None, work, 1, "two"))
    assert thread != threading.get_ident()
    assert args == (1, "two")


def test_returns_a_future_of_the_loop(loop):
    async def main():
        future = loop.run_in_executor(None, int)
        assert asyncio.isfuture(future)
        assert future.get_loop() is loop
        return await future

    assert loop.run_until_complete(main()) == 0


def test_an_exception_reaches_the_waiter(loop):
    def fail():
        raise KeyError("in a thread")

    with pytest.raises(KeyError, match="in a thread"):
        loop.run_until_complete(loop.run_in_executor(None, fail))


def test_an_executor_of_ones_own(loop):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        future = loop.run_in_executor(executor, lambda: threading.current_thread().name)
        assert loop.run_until_complete(future).startswith("mine")


class Immediate(concurrent.futures.Executor):
    """Does it in the caller's thread, before submit() returns."""

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.mark.parametrize("number", ["1", "one"])
def test_what_is_done_at_once(loop, number):
    """From 3.14 on the loop's future is done then, too."""

    async def main():
        future = loop.run_in_executor(Immediate(), int, number)
        assert future.done() == PY314
        await asyncio.wait([future])
        return future

    future = loop.run_until_complete(main())
    if number == "1":
        assert future.result() == 1
    else:
        with pytest.raises(ValueError, match="one"):
            future.result()


class Giving(concurrent.futures.Executor):
    """Gives what it was told to."""

    def __init__(self, given):
        self.given = given

    def submit(self, function, /, *args, **kwargs):
        return self.given


def test_an_executor_whose_futures_are_the_loops(loop):
    """They are passed on as they are, and nothing else is."""
    future = loop.create_future()
    assert loop.run_in_executor(Giving(future), int) is future
    with pytest.raises(AssertionError, match=r"concurrent\.futures\.Future is expected, got 5"):
        loop.run_in_executor(Giving(5), int)


class Failing(concurrent.futures.Future):
    """Answers a question by an exception."""

    def __init__(self, question):
        super().__init__()
        self.question = question

    def cancel(self):
        return self.answer("cancel")

    def exception(self, timeout=None):
        return self.answer("exception")

    def answer(self, question):
        if question == self.question:
            raise ZeroDivisionError(question)
        return getattr(super(), question)()


@pytest.mark.parametrize("question", ["cancel", "exception"])
def test_a_future_of_a_thread_that_fails_itself(loop, reports, question):
    """The loop goes on."""
    if question == "exception" and PY315:
        pytest.skip("what such a future has is taken without a question")
    source = Failing(question)

    async def main():
        future = loop.run_in_executor(Giving(source), int)
        if question == "cancel":
            future.cancel()
        else:
            with running_thread(source.set_result, 1):
                pass
        await settle()
        return future

    future = loop.run_until_complete(main())
    assert future.done() == (question == "cancel")
    report = reports.take_one()
    assert repr(report["exception"]) == f"ZeroDivisionError('{question}')"
    assert report["message"].startswith("Exception in callback")


def test_a_stop_iteration_out_of_a_thread(loop, reports):
    """No future takes it: another error does, and before 3.11.8 and 3.12.2 a report. The loop goes on."""

    async def main():
        future = loop.run_in_executor(None, next, iter(()))
        await wait_until(lambda: future.done() or reports)
        return future.exception() if future.done() else reports.take_one()["exception"]

    exception = loop.run_until_complete(main())
    assert isinstance(exception, (RuntimeError, TypeError))
    assert "StopIteration interacts badly with generators" in str(exception)


class Watched(concurrent.futures.ThreadPoolExecutor):
    """Knows whether the futures it gave are still there."""

    def __init__(self):
        super().__init__(1)
        self.given = []

    def submit(self, *args, **kwargs):
        future = super().submit(*args, **kwargs)
        self.given.append(weakref.ref(future))
        return future


@pytest.mark.parametrize("number", ["1", "one"])
def test_leaves_nothing_to_the_collector(loop, number):
    asked = threading.Event()

    def work():
        # One that is done already when the loop asks to be told keeps nobody.
        asked.wait()
        return int(number)

    gc.disable()
    try:
        with Watched() as executor:
            future = loop.run_in_executor(executor, work)
            asked.set()
            loop.run_until_complete(asyncio.wait([future]))
            assert future.done()
            future.exception()
            # Its callbacks have run then.
            loop.run_until_complete(asyncio.sleep(0))
            del future
        assert [given() for given in executor.given] == [None]
    finally:
        asked.set()
        gc.enable()


def test_a_cancelled_one_leaves_nothing_to_the_collector(loop):
    gc.disable()
    release = threading.Event()
    try:
        with Watched() as executor:
            loop.run_in_executor(executor, release.wait)
            waiting = loop.run_in_executor(executor, int)
            waiting.cancel()
            loop.run_until_complete(asyncio.wait([waiting]))
            loop.run_until_complete(asyncio.sleep(0))
            assert waiting.cancelled()
            release.set()
            del waiting
        assert executor.given[1]() is None
    finally:
        release.set()
        gc.enable()


def test_many_at_once(loop):
    async def main():
        return await asyncio.gather(*(loop.run_in_executor(None, pow, 2, number) for number in range(300)))

    assert loop.run_until_complete(main()) == [2**number for number in range(300)]


def test_the_loop_goes_on_while_the_thread_works(loop):
    async def main():
        release = threading.Event()
        future = loop.run_in_executor(None, release.wait, 10)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not future.done()
        release.set()
        return await future

    assert loop.run_until_complete(main()) is True


def test_cancelling_the_waiter(loop):
    async def main():
        release = threading.Event()
        future = loop.run_in_executor(None, release.wait, 10)
        task = loop.create_task(asyncio.wait_for(future, 60))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        release.set()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())


def test_a_result_after_the_loop_closed(loop_factory, error_log):
    """The thread outlives the loop: its result goes nowhere, and nobody is troubled."""
    loop = loop_factory()
    release = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        future = loop.run_in_executor(executor, release.wait, 10)
        loop.close()
        release.set()
    assert not future.done()
    error_log.clear()


def test_coroutine_functions_are_refused_in_debug_mode_only(loop):
    async def coroutine_function():
        pass

    coroutine = loop.run_until_complete(loop.run_in_executor(None, coroutine_function))
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()
    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"coroutines cannot be used with run_in_executor\(\)"):
        loop.run_in_executor(None, coroutine_function)


def test_what_is_not_callable_is_refused_in_debug_mode(loop):
    loop.set_debug(True)
    with pytest.raises(TypeError, match=r"a callable object was expected by run_in_executor\(\)"):
        loop.run_in_executor(None, "no callable")


def test_the_default_executor_is_made_when_needed(loop):
    assert loop._default_executor is None
    loop.run_until_complete(loop.run_in_executor(None, int))
    executor = loop._default_executor
    assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    name = loop.run_until_complete(loop.run_in_executor(None, lambda: threading.current_thread().name))
    assert name.startswith("asyncio")
    assert loop._default_executor is executor


def test_set_default_executor(loop):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        loop.set_default_executor(executor)
        future = loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert loop.run_until_complete(future).startswith("mine")


@pytest.mark.parametrize("wrong", [None, object(), "executor"])
def test_set_default_executor_takes_thread_pools_only(loop, wrong):
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(wrong)


def test_shutdown(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, int)
    loop.run_until_complete(loop.shutdown_default_executor())


def test_shutdown_waits_for_what_runs(loop):
    async def main():
        finished = []
        loop.run_in_executor(None, lambda: (time.sleep(0.03), finished.append(True)))
        await loop.shutdown_default_executor()
        return finished

    assert loop.run_until_complete(main()) == [True]


@pytest.mark.skipif(not PY312, reason="the time-out is new in 3.12")
def test_shutdown_gives_up_in_time(loop, impl):
    if not PY313 and not impl.is_cloop:
        pytest.skip("asyncio's time-out starts only once all threads have ended")
    release = threading.Event()
    future = loop.run_in_executor(None, release.wait, 10)
    begin = time.monotonic()
    with pytest.warns(RuntimeWarning, match=r"did not finishing joining its threads within 0\.05 seconds"):
        loop.run_until_complete(loop.shutdown_default_executor(timeout=0.05))
    assert time.monotonic() - begin < 5
    release.set()
    loop.run_until_complete(future)


@pytest.mark.skipif(not PY312, reason="the time-out is new in 3.12")
def test_shutdown_in_time_does_not_warn(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor(timeout=10))


def test_close_shuts_it_down_without_waiting(loop):
    loop.run_until_complete(loop.run_in_executor(None, int))
    executor = loop._default_executor
    loop.close()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(int)
    assert loop._default_executor is None


def test_closed_loop(loop):
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_in_executor(None, int)


def test_to_thread(loop):
    async def main():
        return await asyncio.to_thread(threading.get_ident)

    assert loop.run_until_complete(main()) != threading.get_ident()
