"""KeyboardInterrupt and SystemExit leave the run at once, and a loop that can go on where it stopped."""

import asyncio
import contextvars
import functools
import os
import signal
import threading
import time

import pytest

from tests.support import PATIENCE, run_turn, running_thread

INTERRUPTS = [KeyboardInterrupt, SystemExit]


def interrupt_once_up(loop_is_up):
    """In a thread: Ctrl-C once the loop runs, and has had the time to fall asleep.

    Without a wake-up descriptor, a signal that comes just before the system call is seen after it.
    """
    assert loop_is_up.wait(PATIENCE)
    time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(params=INTERRUPTS)
def interrupt(request):
    """A function that raises one of them."""

    def raise_it(*args):
        raise request.param("interrupted")

    raise_it.type = request.param
    return raise_it


def interrupted_run(loop, interrupt):
    """Run until the interrupt comes out."""
    with pytest.raises(interrupt.type, match="interrupted"):
        loop.run_forever()
    assert not loop.is_running()


def test_out_of_call_soon_nothing_is_lost(loop, interrupt):
    seen = []
    loop.call_soon(seen.append, "before")
    loop.call_soon(interrupt)
    loop.call_soon(seen.append, "after")
    loop.call_soon(interrupt)
    loop.call_soon(seen.append, "last")
    interrupted_run(loop, interrupt)
    assert seen == ["before"]
    interrupted_run(loop, interrupt)
    assert seen == ["before", "after"]
    run_turn(loop)
    assert seen == ["before", "after", "last"]


def test_order_is_kept_across_an_interrupt(loop, interrupt):
    seen = []

    def first():
        loop.call_soon(seen.append, "added by first")

    loop.call_soon(first)
    loop.call_soon(interrupt)
    loop.call_soon(seen.append, "second")
    interrupted_run(loop, interrupt)
    loop.call_soon(seen.append, "added after")
    run_turn(loop)
    assert seen == ["second", "added by first", "added after"]


def test_out_of_a_timer(loop, interrupt):
    seen = []
    now = loop.time()
    loop.call_at(now - 3, seen.append, "before")
    loop.call_at(now - 2, interrupt)
    loop.call_at(now - 1, seen.append, "after")
    interrupted_run(loop, interrupt)
    assert seen == ["before"]
    run_turn(loop)
    assert seen == ["before", "after"]


def test_out_of_a_reader(loop, interrupt, pair):
    left, right = pair
    loop.add_reader(left, interrupt)
    right.send(b"x")
    interrupted_run(loop, interrupt)
    interrupted_run(loop, interrupt)
    seen = []
    loop.add_reader(left, lambda: seen.append(left.recv(10)))
    run_turn(loop)
    assert seen == [b"x"]
    assert loop.remove_reader(left) is True


def test_out_of_a_writer(loop, interrupt, pair):
    left, _ = pair
    loop.add_writer(left, interrupt)
    interrupted_run(loop, interrupt)
    assert loop.remove_writer(left) is True


def test_out_of_what_a_thread_posted(loop, interrupt):
    seen = []

    def post():
        loop.call_soon_threadsafe(interrupt)
        loop.call_soon_threadsafe(seen.append, "after")

    with running_thread(post):
        pass
    interrupted_run(loop, interrupt)
    run_turn(loop)
    assert seen == ["after"]


def test_out_of_a_done_callback(loop, interrupt):
    seen = []
    future = loop.create_future()
    future.add_done_callback(lambda future: seen.append("first"))
    future.add_done_callback(interrupt)
    future.add_done_callback(lambda future: seen.append("third"))
    future.set_result(None)
    interrupted_run(loop, interrupt)
    assert seen == ["first"]
    run_turn(loop)
    assert seen == ["first", "third"]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_out_of_a_task(loop, interrupt, steps):
    """The task is done with it, and it leaves the run as well."""

    async def main():
        for _ in range(steps):
            await asyncio.sleep(0)
        interrupt()

    task = loop.create_task(main())
    seen = []
    task.add_done_callback(lambda task: seen.append(type(task.exception())))
    interrupted_run(loop, interrupt)
    assert task.done()
    assert asyncio.current_task(loop) is None
    run_turn(loop)
    assert seen == [interrupt.type]


def test_out_of_a_task_woken_by_a_future(loop, interrupt):
    future = loop.create_future()

    async def main():
        await future
        interrupt()

    async def other():
        await future
        return "other"

    task, other_task = loop.create_task(main()), loop.create_task(other())
    loop.call_soon(future.set_result, None)
    interrupted_run(loop, interrupt)
    assert isinstance(task.exception(), interrupt.type)
    assert loop.run_until_complete(other_task) == "other"


def test_out_of_run_until_complete(loop, interrupt):
    async def main():
        interrupt()

    with pytest.raises(interrupt.type, match="interrupted"):
        loop.run_until_complete(main())
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"


def test_another_callback_interrupts_run_until_complete(loop, interrupt):
    """The task that was waited for goes on in the next run."""
    task = loop.create_task(asyncio.sleep(0.001, "done"))
    loop.call_soon(interrupt)
    with pytest.raises(interrupt.type, match="interrupted"):
        loop.run_until_complete(task)
    assert not task.done()
    assert loop.run_until_complete(task) == "done"


def test_out_of_an_exception_handler(loop, interrupt):
    seen = []
    loop.set_exception_handler(lambda loop, context: interrupt())
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(seen.append, "after")
    interrupted_run(loop, interrupt)
    run_turn(loop)
    assert seen == ["after"]


def test_out_of_an_async_generators_finalizer(loop, interrupt):
    async def generator():
        try:
            yield
        finally:
            interrupt()

    async def main():
        each = generator()
        await anext(each)
        await each.aclose()

    task = loop.create_task(main())
    interrupted_run(loop, interrupt)
    assert isinstance(task.exception(), interrupt.type)
    run_turn(loop)


@pytest.mark.parametrize("busy", [False, True], ids=["asleep", "busy"])
def test_ctrl_c_in_a_plain_run(loop, busy):
    """Without a Runner, SIGINT is KeyboardInterrupt out of wherever the loop is."""

    def spin():
        loop.call_soon(spin)

    timer = loop.call_later(60, print)
    if busy:
        loop.call_soon(spin)
    loop_is_up = threading.Event()
    loop.call_soon(loop_is_up.set)
    with pytest.raises(KeyboardInterrupt), running_thread(interrupt_once_up, loop_is_up):
        loop.run_forever()
    timer.cancel()
    seen = []
    loop.call_soon(seen.append, "again")
    run_turn(loop)
    assert seen == ["again"]


def test_ctrl_c_under_a_runner_cancels_the_main_task(impl):
    seen = []

    async def main():
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(main())
    assert seen == ["cancelled"]


def test_ctrl_c_wakes_a_sleeping_runner(impl):
    """The signal comes from outside while the loop waits in the system call."""

    async def main():
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        loop_is_up = threading.Event()
        runner.get_loop().call_later(0.01, loop_is_up.set)
        with running_thread(interrupt_once_up, loop_is_up):
            runner.run(main())


def press_ctrl_c(*args):
    signal.raise_signal(signal.SIGINT)
    return 0


class Pressing:
    """Whoever looks for it in a dict, compares or iterates presses Ctrl-C."""

    __hash__ = __eq__ = __lt__ = __index__ = press_ctrl_c
    __iter__ = __next__ = press_ctrl_c


NESTED = {
    "sorted": lambda: sorted([1, 2, 3], key=press_ctrl_c),
    "map": lambda: list(map(press_ctrl_c, range(3))),
    "hash": lambda: {}.get(Pressing()),
    "compare": lambda: min(Pressing(), Pressing()),
    "context": lambda: contextvars.copy_context().run(press_ctrl_c),
    "partial": lambda: functools.partial(functools.reduce, press_ctrl_c)([1, 2, 3]),
    "sleep": lambda: (threading.Thread(target=interrupt_soon).start(), time.sleep(60)),
    "future": lambda: asyncio.isfuture(Pressing()) or bytes(Pressing()),
}


def interrupt_soon():
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("call", NESTED.values(), ids=NESTED)
def test_ctrl_c_nested_in_c(loop, call):
    """Out of functions in C that a callback has called, and out of the run; the loop goes on after it."""
    seen = []
    loop.call_soon(seen.append, "before")
    loop.call_soon(call)
    loop.call_soon(seen.append, "after")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert seen == ["before"]
    run_turn(loop)
    assert seen == ["before", "after"]


def test_ctrl_c_nested_in_c_under_a_runner(impl):
    """The first one lets the call come to its end, and cancels the task; the second ends it at once."""
    seen = []

    async def main():
        seen.append(sorted([3, 1, 2], key=lambda n: press_ctrl_c() if n == 1 else n))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            seen.append(sorted([3, 1, 2], key=press_ctrl_c))

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(main())
    assert seen == [[1, 2, 3], "cancelled"]


def test_ctrl_c_in_a_busy_main_task(impl):
    seen = []

    async def main():
        try:
            for turn in range(10**9):
                await asyncio.sleep(0)
                if turn == 20:
                    press_ctrl_c()
        except asyncio.CancelledError:
            seen.append(turn)
            raise

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(main())
    assert seen == [21]


def test_a_main_task_that_is_over_when_ctrl_c_comes(impl):
    """There is nothing to cancel any more."""

    async def main():
        asyncio.current_task().add_done_callback(press_ctrl_c)

    with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(main())


def test_system_exit_under_a_runner(impl):
    async def main():
        raise SystemExit(5)

    with pytest.raises(SystemExit) as caught, asyncio.Runner(loop_factory=impl.new_event_loop) as runner:
        runner.run(main())
    assert caught.value.code == 5
