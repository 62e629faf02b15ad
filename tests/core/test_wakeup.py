"""What ends the wait of a loop in the main thread: signals, wherever and whenever they come."""

import asyncio
import os
import signal
import threading
import time

import pytest

from tests.support import PATIENCE, no_more_descriptors, run_for, run_turn, running_thread

NEVER_SEEN = "a signal that does not interrupt the system call is seen with the next event"


@pytest.fixture
def handled():
    """Handles SIGUSR1 in Python; an Event that is set by it."""
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *args: event.set())
    yield event
    signal.signal(signal.SIGUSR1, before)
    assert signal.set_wakeup_fd(-1) == -1


def skip_asyncio(impl, because):
    if not impl.is_cloop:
        pytest.skip(f"asyncio: {because}")


def wait_for_the_wait(loop):
    """In a thread: return once the loop runs, and has had the time to fall asleep."""
    while not loop.is_running():
        time.sleep(0.001)
    time.sleep(0.02)


def test_a_signal_that_interrupts_the_wait(loop, handled):
    with running_thread(loop_stopper, loop, handled, os.kill, os.getpid()):
        loop.run_forever()
    assert handled.is_set()


def loop_stopper(loop, handled, send, target):
    """In a thread: send a signal to the sleeping loop, and stop it once the handler has run."""
    try:
        wait_for_the_wait(loop)
        send(target, signal.SIGUSR1)
        assert handled.wait(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)


def test_a_signal_that_another_thread_gets(loop, impl, handled):
    """The kernel may give a process's signal to any of its threads, and interrupts that one only."""
    skip_asyncio(impl, NEVER_SEEN)

    def work():
        loop_stopper(loop, handled, signal.pthread_kill, threading.get_ident())

    with running_thread(work):
        loop.run_forever()


def test_signals_at_any_moment(loop, impl, handled):
    """Also between the loop's last look and the system call: each wait here is about to begin."""
    skip_asyncio(impl, NEVER_SEEN)
    missed = []

    def work():
        for number in range(2000):
            handled.clear()
            loop.call_soon_threadsafe(int)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            if not handled.wait(PATIENCE):
                missed.append(number)
                break
        loop.call_soon_threadsafe(loop.stop)

    with running_thread(work):
        loop.run_forever()
    assert missed == []


def test_keyboard_interrupt_out_of_a_wait_that_another_thread_ended(loop, impl):
    skip_asyncio(impl, NEVER_SEEN)

    def work():
        wait_for_the_wait(loop)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), running_thread(work):
        loop.run_forever()
    run_turn(loop)


def test_what_fired_with_an_interrupt_is_not_lost(loop, pair):
    """The system call that a signal's handler leaves by an exception may have had a record to tell."""
    left, right = pair

    def interrupt(*args):
        raise KeyboardInterrupt

    def work():
        wait_for_the_wait(loop)
        right.send(b"x")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    for _ in range(20):
        waiting = loop.create_task(loop.sock_recv(left, 10))
        try:
            with running_thread(work):
                loop.run_forever()
        except KeyboardInterrupt:
            pass
        assert loop.run_until_complete(asyncio.wait_for(waiting, PATIENCE)) == b"x"
    signal.signal(signal.SIGUSR1, before)


def test_nobody_finds_the_loops_descriptor(loop, handled):
    """Code that the loop runs sees what was set before."""
    seen = []

    def look():
        seen.append(signal.set_wakeup_fd(-1))

    run_for(loop, 0.005)
    seen.append(signal.set_wakeup_fd(-1))
    loop.call_later(0.005, look)
    run_for(loop, 0.02)
    assert seen[0] == -1
    if CAN_SWAP:
        assert seen == [-1, -1]


# 3.11 and 3.12 do not export the function by which the descriptor is set without system calls: there it
# is cloop's for the whole run.
CAN_SWAP = hasattr(__import__("ctypes").pythonapi, "PySignal_SetWakeupFd")


@pytest.fixture
def somebody():
    """Somebody else's wake-up descriptor, set before the test; the end to read from."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    yield reader
    assert signal.set_wakeup_fd(-1) == writer
    os.close(reader)
    os.close(writer)


def test_somebody_elses_descriptor_is_told_of_signals(loop, handled, somebody):
    """Also of those that end a wait; and of nothing else."""
    with running_thread(loop_stopper, loop, handled, os.kill, os.getpid()):
        loop.run_forever()
    run_for(loop, 0.005)
    assert os.read(somebody, 10) == bytes([signal.SIGUSR1])
    with pytest.raises(BlockingIOError):
        os.read(somebody, 10)


def test_somebody_elses_descriptor_does_not_keep_signals_from_the_loop(loop, impl, handled, somebody):
    skip_asyncio(impl, NEVER_SEEN)

    def work():
        loop_stopper(loop, handled, signal.pthread_kill, threading.get_ident())

    with running_thread(work):
        loop.run_forever()
    assert os.read(somebody, 10) == bytes([signal.SIGUSR1])


def test_a_handler_that_sets_a_descriptor_of_its_own(loop, handled):
    """What it sets stays, and what it found is what was set before."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    found = []

    def handler(*args):
        found.append(signal.set_wakeup_fd(writer))
        handled.set()

    signal.signal(signal.SIGUSR1, handler)
    with running_thread(loop_stopper, loop, handled, os.kill, os.getpid()):
        loop.run_forever()
    assert signal.set_wakeup_fd(-1) == writer
    if CAN_SWAP:
        assert found == [-1]
    os.close(reader)
    os.close(writer)


def test_without_descriptors_left(loop, handled):
    """There is no pipe then, and the loop runs all the same; later there is one."""
    with no_more_descriptors():
        run_for(loop, 0.005)
    with running_thread(loop_stopper, loop, handled, os.kill, os.getpid()):
        loop.run_forever()


def test_in_another_thread_nothing_is_set(loop, handled):
    with running_thread(loop.run_forever):
        wait_for_the_wait(loop)
        assert signal.set_wakeup_fd(-1) == -1
        loop.call_soon_threadsafe(loop.stop)
