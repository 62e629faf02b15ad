"""add_signal_handler and remove_signal_handler."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.support import PATIENCE, run_for, run_turn, running_thread


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
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_a_loop_that_runs_in_another_thread(loop):
    """The main thread adds the handler, and the loop calls it where it runs."""
    called_in = []

    def handler():
        called_in.append(threading.get_ident())
        loop.stop()

    with running_thread(loop.run_forever) as thread:
        loop_waits(loop)
        loop.add_signal_handler(signal.SIGUSR1, handler)
        os.kill(os.getpid(), signal.SIGUSR1)
        thread.join(PATIENCE)
    assert called_in == [thread.ident]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_removed_while_the_loop_is_idle(loop):
    loop.add_signal_handler(signal.SIGUSR1, int)
    run_turn(loop)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_came_before_its_handler_was_removed(loop):
    seen = []
    loop.add_signal_handler(signal.SIGUSR1, seen.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, seen.append, 2)
    signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    loop.remove_signal_handler(signal.SIGUSR1)
    run_for(loop, 0.005)
    assert seen == [2]
    loop.remove_signal_handler(signal.SIGUSR2)


def test_a_handler_that_removes_itself_and_adds_another(loop):
    seen = []

    def first():
        seen.append("first")
        assert loop.remove_signal_handler(signal.SIGUSR1) is True
        loop.add_signal_handler(signal.SIGUSR1, seen.append, "second")

    loop.add_signal_handler(signal.SIGUSR1, first)
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
        run_for(loop, 0.005)
    assert seen == ["first", "second", "second"]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_from_before_there_was_a_handler(loop):
    """It was somebody else's, also where it ended a wait of the loop."""
    seen = []
    signal.signal(signal.SIGUSR1, lambda *args: loop.call_soon_threadsafe(loop.stop))
    with running_thread(lambda: (loop_waits(loop), os.kill(os.getpid(), signal.SIGUSR1))):
        loop.run_forever()
    loop.add_signal_handler(signal.SIGUSR1, seen.append, "called")
    run_for(loop, 0.005)
    assert seen == []
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_handle_that_was_cancelled_takes_its_handler_along(loop):
    loop.add_signal_handler(signal.SIGUSR1, int)
    loop._signal_handlers[signal.SIGUSR1].cancel()
    signal.raise_signal(signal.SIGUSR1)
    run_for(loop, 0.005)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert loop.remove_signal_handler(signal.SIGUSR1) is False


def test_handlers_are_those_of_their_loop(loop_factory):
    """Each loop has its own, and what one gives up does not touch the other's."""
    first, second = loop_factory(), loop_factory()
    seen = []
    first.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    assert second.remove_signal_handler(signal.SIGUSR1) is False
    second.add_signal_handler(signal.SIGUSR2, seen.append, "second")
    second.close()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL
    # asyncio has lost the wake-up descriptor to the loop that is closed: to add a handler gets it back.
    first.add_signal_handler(signal.SIGUSR1, seen.append, "first")
    signal.raise_signal(signal.SIGUSR1)
    run_for(first, 0.005)
    assert seen == ["first"]
    first.close()


def test_close_in_another_thread(loop):
    """Handlers of the process can't be changed there: the loop is closed, and says so."""

    def close():
        with pytest.raises(ValueError, match="signal only works in main thread"):
            loop.close()

    loop.add_signal_handler(signal.SIGUSR1, int)
    with running_thread(close):
        pass
    assert loop.is_closed()
    loop.close()
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    # asyncio leaves the descriptor of a socket that is closed.
    signal.set_wakeup_fd(-1)


@contextlib.contextmanager
def wakeup_pipe():
    """Somebody else's wake-up descriptor: its reading and its writing end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    assert signal.set_wakeup_fd(writer) == -1
    yield reader, writer
    os.close(reader)
    os.close(writer)


def only_cloop(impl, because):
    if not impl.is_cloop:
        pytest.skip(f"asyncio {because}")


def test_the_wakeup_descriptor_is_given_back(loop, impl):
    only_cloop(impl, "sets -1, whoever had it before")
    with wakeup_pipe() as (reader, writer):
        loop.add_signal_handler(signal.SIGUSR1, loop.stop)
        signal.raise_signal(signal.SIGUSR1)
        loop.run_forever()
        loop.remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda *args: None)
        signal.raise_signal(signal.SIGUSR1)
        assert os.read(reader, 10) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(-1) == writer
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_a_descriptor_that_was_closed_is_not_given_back(loop, impl):
    """Its number may be a file by now, which is not to be written to."""
    only_cloop(impl, "sets -1, whoever had it before")
    with wakeup_pipe() as (_, writer):
        loop.add_signal_handler(signal.SIGUSR1, int)
    other_reader, other_writer = os.pipe()
    os.dup2(other_writer, writer)
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1
    for fd in {other_reader, other_writer, writer}:
        os.close(fd)


@pytest.mark.parametrize("first_to_close", [0, 1])
def test_two_loops_with_handlers(loop_factory, impl, first_to_close):
    only_cloop(impl, "has one loop's close() make the other deaf")
    loops = [loop_factory(), loop_factory()]
    seen = []
    loops[0].add_signal_handler(signal.SIGUSR1, seen.append, 0)
    loops[1].add_signal_handler(signal.SIGUSR2, seen.append, 1)
    loops[first_to_close].close()
    left = 1 - first_to_close
    signal.raise_signal([signal.SIGUSR1, signal.SIGUSR2][left])
    run_for(loops[left], 0.005)
    assert seen == [left]
    loops[left].close()
    assert signal.set_wakeup_fd(-1) == -1


# ---- Storms


def storm(*numbers, times):
    """In a child: send signals to this process, one after the other, as fast as it goes."""
    program = f"import os; [os.kill({os.getpid()}, n) for _ in range({times}) for n in {numbers!r}]"
    return subprocess.Popen([sys.executable, "-c", program])


def test_a_storm_on_a_loop_that_works(loop, impl):
    """As many calls as signals were delivered: Unix makes one of those that are pending at once."""
    # What asyncio's socket does not hold is lost, with complaints on stderr.
    times = 100_000 if impl.is_cloop else 200
    calls = [0]

    def handler():
        calls[0] += 1

    async def main():
        with await asyncio.to_thread(storm, signal.SIGUSR1.value, times=times) as process:
            while process.poll() is None:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)

    loop.add_signal_handler(signal.SIGUSR1, handler)
    loop.run_until_complete(main())
    assert 0 < calls[0] <= times
    before = calls[0]
    signal.raise_signal(signal.SIGUSR1)
    run_for(loop, 0.01)
    assert calls[0] == before + 1
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_storm_on_a_loop_that_does_not_look(loop, impl):
    """What comes after more signals than the pipe holds is not lost, and nobody complains."""
    only_cloop(impl, "loses them, and complains on stderr")
    calls = {signal.SIGUSR1: 0, signal.SIGUSR2: 0, signal.SIGTERM: 0}

    def handler(number):
        calls[number] += 1

    for number in calls:
        loop.add_signal_handler(number, handler, number)
    for _ in range(100_000):
        signal.raise_signal(signal.SIGUSR1)
    signal.raise_signal(signal.SIGUSR2)
    run_for(loop, 0.01)
    assert 60_000 < calls[signal.SIGUSR1] <= 100_000
    assert calls[signal.SIGUSR2] == 1
    assert calls[signal.SIGTERM] == 0
    for number in calls:
        loop.remove_signal_handler(number)
