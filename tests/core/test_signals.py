"""add_signal_handler and remove_signal_handler."""

import asyncio
import os
import signal
import time

import pytest

from tests.support import run_for, run_turn, running_thread


@pytest.fixture(autouse=True)
def signals_restored():
    """Every test leaves the process's handlers, and its wake-up descriptor, as they were."""
    watched = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]
    before = [signal.getsignal(each) for each in watched]
    yield
    assert [signal.getsignal(each) for each in watched] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_handler_is_called_in_the_loop(loop):
    seen = []
    assert (
        loop.add_signal_handler(signal.SIGUSR1, lambda *args: seen.append((loop.is_running(), args)), 1, 2)
        is None
    )
    os.kill(os.getpid(), signal.SIGUSR1)
    assert seen == []
    run_for(loop, 0.01)
    assert seen == [(True, (1, 2))]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


def test_a_signal_wakes_a_sleeping_loop(loop):
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    timer = loop.call_later(60, print)
    with running_thread(lambda: (loop_waits(loop), os.kill(os.getpid(), signal.SIGUSR1))):
        loop.run_forever()
    assert loop.time() < timer.when() - 50
    timer.cancel()
    loop.remove_signal_handler(signal.SIGUSR1)


def loop_waits(loop):
    """Return once the loop runs, and then a little later."""
    while not loop.is_running():
        time.sleep(0.001)
    time.sleep(0.01)


def test_several_signals(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "one")
    loop.add_signal_handler(signal.SIGUSR2, seen.append, "two")
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
        run_for(loop, 0.005)
    assert seen == ["one", "two"] * 3
    loop.remove_signal_handler(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    run_for(loop, 0.005)
    assert seen[6:] == ["two"]
    loop.remove_signal_handler(signal.SIGUSR2)


def test_a_second_handler_replaces_the_first(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "second")
    signal.raise_signal(signal.SIGUSR1)
    run_for(loop, 0.01)
    assert seen == ["second"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


def test_remove(loop):
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    loop.add_signal_handler(signal.SIGUSR1, int)
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_sigint_goes_back_to_keyboard_interrupt(loop):
    seen = []
    loop.add_signal_handler(signal.SIGINT, seen.append, "interrupted")
    signal.raise_signal(signal.SIGINT)
    run_for(loop, 0.01)
    assert seen == ["interrupted"]
    assert loop.remove_signal_handler(signal.SIGINT) is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigchld_is_allowed(loop):
    """tornado and others reap children themselves."""
    seen = []
    loop.add_signal_handler(signal.SIGCHLD, seen.append, "child")
    signal.raise_signal(signal.SIGCHLD)
    run_for(loop, 0.01)
    assert seen == ["child"]
    loop.remove_signal_handler(signal.SIGCHLD)


def test_close_restores_the_handlers(loop):
    loop.add_signal_handler(signal.SIGUSR1, int)
    loop.add_signal_handler(signal.SIGINT, int)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.set_wakeup_fd(-1) == -1


def test_works_in_every_run_of_the_loop(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "seen")
    for _ in range(3):
        run_turn(loop)
        signal.raise_signal(signal.SIGUSR1)
        run_for(loop, 0.01)
    assert seen == ["seen"] * 3
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_that_interrupts(loop):
    def interrupt():
        raise KeyboardInterrupt

    loop.add_signal_handler(signal.SIGUSR1, interrupt)
    loop.call_soon(signal.raise_signal, signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt):
        run_for(loop, 5)
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handler_that_raises_is_reported(loop, reports):
    loop.add_signal_handler(signal.SIGUSR1, lambda: 1 / 0)
    signal.raise_signal(signal.SIGUSR1)
    run_for(loop, 0.01)
    assert isinstance(reports.take_one()["exception"], ZeroDivisionError)
    loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize("number", [0, -1, 100_000])
def test_numbers_that_are_no_signals(loop, number):
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.add_signal_handler(number, int)
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.remove_signal_handler(number)


def test_what_is_no_number(loop):
    with pytest.raises(TypeError, match="sig must be an int, not 'SIGUSR1'"):
        loop.add_signal_handler("SIGUSR1", int)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_signals_that_cannot_be_caught(loop, number):
    with pytest.raises(RuntimeError, match=f"sig {number.value} cannot be caught"):
        loop.add_signal_handler(number, int)
    assert loop.remove_signal_handler(number) is False


def test_coroutines_are_refused(loop):
    async def coroutine_function():
        pass

    coroutine = coroutine_function()
    for wrong in (coroutine, coroutine_function):
        with pytest.raises(TypeError, match=r"coroutines cannot be used with add_signal_handler\(\)"):
            loop.add_signal_handler(signal.SIGUSR1, wrong)
    coroutine.close()


def test_closed_loop(loop):
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_signal_handler(signal.SIGUSR1, int)


def test_other_threads_are_refused(loop):
    def misuse():
        with pytest.raises(RuntimeError, match="set_wakeup_fd only works in main thread"):
            loop.add_signal_handler(signal.SIGUSR1, int)

    with running_thread(misuse):
        pass
