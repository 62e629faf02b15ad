"""call_soon_threadsafe: from threads, from signal handlers, from the loop's own thread."""

import asyncio
import contextvars
import gc
import random
import signal
import threading
import time
import weakref

import pytest

from tests.support import run_for, run_turn, running_thread


def test_wakes_a_sleeping_loop(loop):
    def post():
        time.sleep(0.02)
        loop.call_soon_threadsafe(loop.stop)

    long_timer = loop.call_later(60, print)
    begin = time.monotonic()
    with running_thread(post):
        loop.run_forever()
    assert time.monotonic() - begin < 5
    long_timer.cancel()


def test_wakes_a_loop_that_has_nothing_else(loop):
    with running_thread(lambda: (time.sleep(0.02), loop.call_soon_threadsafe(loop.stop))):
        loop.run_forever()


def test_wakes_again_and_again(loop):
    """Each post finds the loop asleep, so each needs a wake-up of its own."""
    seen = []
    turns = threading.Semaphore(0)

    def post():
        for number in range(100):
            loop.call_soon_threadsafe(lambda number=number: (seen.append(number), turns.release()))
            assert turns.acquire(timeout=5)
            time.sleep(random.random() / 5000)
        loop.call_soon_threadsafe(loop.stop)

    with running_thread(post):
        loop.run_forever()
    assert seen == list(range(100))


def test_many_threads_lose_nothing_and_keep_their_order(loop):
    seen: dict[int, list[int]] = {number: [] for number in range(50)}
    left = [len(seen) * 500]

    def receive(thread, number):
        seen[thread].append(number)
        left[0] -= 1
        if not left[0]:
            loop.stop()

    def post(thread):
        for number in range(500):
            loop.call_soon_threadsafe(receive, thread, number)

    threads = [threading.Thread(target=post, args=(number,)) for number in seen]
    loop.call_soon(lambda: [thread.start() for thread in threads])
    loop.run_forever()
    for thread in threads:
        thread.join()
    assert all(numbers == list(range(500)) for numbers in seen.values())


def test_posts_to_a_busy_loop(loop):
    """Where the loop never sleeps there is nothing to wake, and still each post must be seen."""
    seen = []

    def spin():
        if len(seen) < 1000:
            loop.call_soon(spin)
        else:
            loop.stop()

    def post():
        for number in range(1000):
            loop.call_soon_threadsafe(seen.append, number)

    loop.call_soon(spin)
    with running_thread(post):
        loop.run_forever()
    assert seen == list(range(1000))


def test_before_the_loop_runs(loop):
    seen = []
    with running_thread(lambda: loop.call_soon_threadsafe(seen.append, "posted")):
        pass
    run_turn(loop)
    assert seen == ["posted"]


def test_more_posts_than_a_pipe_holds(loop):
    """With nobody reading, a waker must neither block nor fail."""
    count = [0]

    def receive():
        count[0] += 1

    def post():
        for _ in range(100_000):
            loop.call_soon_threadsafe(receive)

    with running_thread(post):
        pass
    run_turn(loop)
    assert count == [100_000]


def test_from_the_own_thread_keeps_the_order(loop):
    seen = []

    def callback():
        loop.call_soon(seen.append, 1)
        loop.call_soon_threadsafe(seen.append, 2)
        loop.call_soon(seen.append, 3)
        loop.call_soon(loop.stop)

    loop.call_soon(callback)
    loop.run_forever()
    assert seen == [1, 2, 3]


def test_returns_a_handle_that_can_be_cancelled(loop):
    seen = []
    handle = loop.call_soon_threadsafe(seen.append, 1)
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()
    run_turn(loop)
    assert seen == []


def test_contexts(loop):
    variable = contextvars.ContextVar("variable", default="unset")
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    seen = []
    loop.call_soon_threadsafe(lambda: seen.append(variable.get()), context=context)

    def post():
        variable.set("the thread's")
        loop.call_soon_threadsafe(lambda: seen.append(variable.get()))

    with running_thread(post):
        pass
    run_turn(loop)
    assert sorted(seen) == ["given", "the thread's"]


def test_debug_allows_other_threads(loop):
    loop.set_debug(True)
    seen = []
    with running_thread(lambda: loop.call_soon_threadsafe(seen.append, 1)):
        run_for(loop, 0.02)
    assert seen == [1]


def test_an_exception_is_reported(loop, reports):
    loop.call_soon_threadsafe(lambda: 1 / 0)
    run_turn(loop)
    assert isinstance(reports.take_one()["exception"], ZeroDivisionError)


def test_closing_under_fire(loop_factory):
    """Threads that post while the loop closes are told so, and nothing else happens."""
    for _ in range(20):
        loop = loop_factory()
        started = threading.Barrier(3)

        def post(loop=loop, started=started):
            started.wait()
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                while True:
                    loop.call_soon_threadsafe(int)

        with running_thread(post), running_thread(post):
            started.wait()
            run_turn(loop)
            loop.close()


@pytest.fixture
def alarm():
    """Deliver SIGALRM to a handler after a short time, once or repeatedly."""
    before = signal.getsignal(signal.SIGALRM)

    def start(handler, *times):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *times)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_from_a_signal_handler_while_the_loop_sleeps(loop, alarm):
    alarm(lambda *args: loop.call_soon_threadsafe(loop.stop), 0.02)
    long_timer = loop.call_later(60, print)
    begin = time.monotonic()
    loop.run_forever()
    assert time.monotonic() - begin < 5
    long_timer.cancel()


def test_from_a_signal_handler_while_the_loop_works(loop, alarm):
    posted, seen = [0], []

    def handler(*args):
        posted[0] += 1
        loop.call_soon_threadsafe(seen.append, posted[0])

    def work():
        loop.call_soon_threadsafe(int)
        if len(seen) < 20:
            loop.call_soon(work)
        else:
            loop.stop()

    alarm(handler, 0.001, 0.001)
    loop.call_soon(work)
    loop.run_forever()
    # A signal may come while the handler of the one before still runs, and overtake it.
    assert sorted(seen) == list(range(1, len(seen) + 1))
    assert len(seen) >= 20


def test_handlers_in_python_run_while_the_loop_sleeps(loop, alarm):
    """A plain signal.signal handler must not wait for the next timer or descriptor."""
    times = []
    alarm(lambda *args: times.append(time.monotonic()), 0.02)
    begin = time.monotonic()
    run_for(loop, 0.2)
    (at,) = times
    assert at - begin < 0.15


class Holder:
    """Holds a handle whose callback is one of its methods: a cycle."""

    def post(self, loop):
        self.handle = loop.call_soon_threadsafe(self.called)

    def called(self):
        pass


@pytest.mark.parametrize("end", ["run", "cancelled", "closed"])
def test_a_handle_in_a_cycle_is_collected(loop, run, end):
    """Also where it was posted to a running loop, and has not run when that stops."""
    holder = Holder()
    gone = weakref.ref(holder)

    async def main(holder):
        holder.post(loop)
        if end == "cancelled":
            holder.handle.cancel()
        elif end == "run":
            await asyncio.sleep(0.01)

    run(main(holder))
    if end == "closed":
        holder.post(loop)
        loop.close()
    del holder
    gc.collect()
    assert gone() is None


def test_what_is_pending_when_a_loop_is_dropped_is_collected(loop_factory):
    holder = Holder()
    gone = weakref.ref(holder)
    loop = loop_factory()
    loop.call_soon(holder.post, loop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    holder.loop = loop
    loop.close()
    del holder, loop
    gc.collect()
    assert gone() is None
