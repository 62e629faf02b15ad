"""The contract of a poller (poll/poller.pxd): who is told of what, how long it waits, what ends the wait.

By way of `loop._selector`, which asyncio's loops have too and which asks the poller and nobody else. So one
body is for epoll, for kqueue (a build with `CLOOP_POLLER=kqueue`), and for asyncio's selectors.
"""

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time

import pytest

from tests.support import PATIENCE, open_fds, run_turn, running_thread, settle

READ, WRITE = 1, 2
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="such files can be watched on a BSD")


def only_cloop(impl, because):
    if not impl.is_cloop:
        pytest.skip(f"asyncio {because}")


def wait(loop, *fds, timeout=0):
    """One wait: what it tells of these descriptors, which may be in more than one record."""
    told = {}
    for key, events in loop._selector.select(timeout):
        if key.fd in fds:
            told[key.fd] = told.get(key.fd, 0) | events
    return told


# ---- Interest and readiness


def test_nothing_fires_that_nobody_asked_for(loop, pair):
    left, right = pair
    right.send(b"data")
    assert wait(loop, left.fileno()) == {}
    loop.add_writer(right, int)
    assert wait(loop, left.fileno(), right.fileno()) == {right.fileno(): WRITE}
    loop.remove_writer(right)


def test_each_change_of_interest(loop, pair):
    left, right = pair
    fd = left.fileno()
    right.send(b"data")
    changes = [
        (loop.add_reader, READ),
        (loop.add_writer, READ | WRITE),
        (loop.remove_reader, WRITE),
        (loop.add_reader, READ | WRITE),
        (loop.remove_writer, READ),
        (loop.remove_reader, 0),
        (loop.add_writer, WRITE),
        (loop.remove_writer, 0),
    ]
    for change, interest in changes:
        change(fd, *([int] if "add" in change.__name__ else []))
        assert wait(loop, fd).get(fd, 0) == interest, change


def test_it_tells_as_long_as_it_is_so(loop, pair):
    left, right = pair
    fd = left.fileno()
    loop.add_reader(fd, int)
    assert wait(loop, fd) == {}
    right.send(b"data")
    assert [wait(loop, fd) for _ in range(3)] == [{fd: READ}] * 3
    left.recv(100)
    assert wait(loop, fd) == {}
    loop.remove_reader(fd)


def test_writing_is_told_only_where_there_is_room(loop, pair):
    left, right = pair
    fd = left.fileno()
    loop.add_writer(fd, int)
    assert wait(loop, fd) == {fd: WRITE}
    with contextlib.suppress(BlockingIOError):
        while True:
            left.send(bytes(100_000))
    assert wait(loop, fd) == {}
    with contextlib.suppress(BlockingIOError):
        while True:
            right.recv(1 << 20)
    assert wait(loop, fd) == {fd: WRITE}
    loop.remove_writer(fd)


@pytest.mark.parametrize("interest", [READ, WRITE, READ | WRITE])
def test_a_peer_that_hangs_up_is_told_as_everything_that_was_asked_for(loop, pair, interest):
    left, right = pair
    fd = left.fileno()
    if interest & READ:
        loop.add_reader(fd, int)
    if interest & WRITE:
        loop.add_writer(fd, int)
    with contextlib.suppress(BlockingIOError):
        while True:
            left.send(bytes(100_000))
    assert wait(loop, fd) == {}
    right.close()
    assert wait(loop, fd) == {fd: interest}
    loop.remove_reader(fd)
    loop.remove_writer(fd)


def test_a_pipe_that_nobody_reads(loop):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    loop.add_writer(writing, int)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(100_000))
    assert wait(loop, writing) == {}
    os.close(reading)
    assert wait(loop, writing) == {writing: WRITE}
    loop.remove_writer(writing)
    os.close(writing)


def test_more_than_one_wait_can_tell(loop, pair):
    """Nobody is left out, however many are ready all the time."""
    left, right = pair
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = 2500
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        pytest.skip(f"the system allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    copies = [os.dup(left.fileno()) for _ in range(count)]
    try:
        right.send(b"data")
        for fd in copies:
            loop.add_reader(fd, int)
        told = set()
        for _ in range(4):
            told |= wait(loop, *copies).keys()
        assert told == {*copies}
    finally:
        for fd in copies:
            loop.remove_reader(fd)
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- What can't be watched


@linux
@pytest.mark.parametrize("change", ["add_reader", "add_writer"])
def test_a_file_that_can_not_be_polled(loop, change):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError) as caught:
            getattr(loop, change)(file, int)
        assert caught.value.errno == errno.EPERM
        assert wait(loop, file.fileno()) == {}


def test_a_number_that_is_not_open(loop, pair):
    left, right = pair
    number = os.dup(left.fileno())
    os.close(number)
    with pytest.raises(OSError) as caught:
        loop.add_reader(number, int)
    assert caught.value.errno == errno.EBADF
    # Nothing has changed: the number may be watched as soon as it is open.
    right.send(b"data")
    os.dup2(left.fileno(), number)
    loop.add_reader(number, int)
    assert wait(loop, number) == {number: READ}
    loop.remove_reader(number)
    os.close(number)


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_interest_in_what_was_closed_can_be_given_up(loop, pair, direction):
    number = os.dup(pair[0].fileno())
    getattr(loop, f"add_{direction}")(number, int)
    os.close(number)
    assert getattr(loop, f"remove_{direction}")(number) is True
    assert wait(loop, number) == {}


def test_a_record_of_an_earlier_file_of_the_number(loop, impl, pair):
    """It is on its way when the number goes to another file, which has nothing to tell."""
    only_cloop(impl, "gives the record to whoever has the number")
    left, right = pair
    number = os.dup(left.fileno())
    called = []

    def reuse():
        loop.remove_reader(number)
        os.close(number)
        assert os.dup2(right.fileno(), number) == number
        loop.add_reader(number, called.append, "new")

    right.send(b"data")
    loop.add_reader(number, called.append, "old")
    wait(loop, number)
    reuse()
    assert wait(loop, number) == {}
    run_turn(loop)
    assert "new" not in called
    loop.remove_reader(number)
    os.close(number)


# ---- Interest in one event


def begin_to_receive(loop, sock):
    """A sock_recv() that waits, as a task."""
    task = loop.create_task(loop.sock_recv(sock, 100))
    run_turn(loop)
    run_turn(loop)
    assert not task.done()
    return task


def test_interest_in_one_event_ends_with_it(loop, impl, pair):
    only_cloop(impl, "watches until it is told not to")
    left, right = pair
    task = begin_to_receive(loop, left)
    right.send(b"data")
    fd = left.fileno()
    assert [wait(loop, fd), wait(loop, fd)] == [{fd: READ}, {}]
    assert loop.run_until_complete(task) == b"data"


def test_interest_in_one_event_again_and_again(loop, pair):
    left, right = pair
    for i in range(5):
        task = begin_to_receive(loop, left)
        right.send(b"%d" % i)
        assert loop.run_until_complete(task) == b"%d" % i
    right.send(b"more")
    assert wait(loop, left.fileno()) == {}


def test_interest_in_one_event_that_comes_to_last(loop, impl, pair):
    """Somebody watches the other direction for good meanwhile."""
    left, right = pair
    fd = left.fileno()
    task = begin_to_receive(loop, left)
    # asyncio has given the number's reader to the sock_recv, and keeps that.
    loop.add_writer(fd, int)
    assert wait(loop, fd) == {fd: WRITE}
    right.send(b"data")
    assert [wait(loop, fd), wait(loop, fd)] == [{fd: READ | WRITE}] * 2
    assert loop.run_until_complete(task) == b"data"
    assert wait(loop, fd) == {fd: WRITE}
    loop.remove_writer(fd)


# ---- The wait


@pytest.mark.parametrize("seconds", [0, 0.0003, 0.02])
def test_it_waits_as_long_as_it_is_asked(loop, seconds):
    begin = time.monotonic()
    assert wait(loop, timeout=seconds) == {}
    assert time.monotonic() - begin >= seconds


def test_a_wait_of_no_time_is_over_at_once(loop):
    begin = time.monotonic()
    for _ in range(100):
        wait(loop, timeout=0)
    assert time.monotonic() - begin < 1


def test_what_fires_ends_the_wait(loop, pair):
    left, right = pair
    loop.add_reader(left, int)

    def send():
        time.sleep(0.02)
        right.send(b"data")

    begin = time.monotonic()
    with running_thread(send):
        assert wait(loop, left.fileno(), timeout=PATIENCE) == {left.fileno(): READ}
    assert time.monotonic() - begin < PATIENCE
    loop.remove_reader(left)


def test_other_threads_run_while_it_waits(loop):
    counted = []

    def count():
        for _ in range(20):
            time.sleep(0.001)
            counted.append(threading.get_ident())

    with running_thread(count):
        wait(loop, timeout=0.5)
        assert len(counted) == 20


@pytest.mark.parametrize("timeout", [None, PATIENCE])
@pytest.mark.parametrize("late", [True, False])
def test_a_wake_up(loop, timeout, late):
    """From another thread: of the present wait, or of the next one where nobody waits."""

    def wake():
        time.sleep(0.02 * late)
        loop.call_soon_threadsafe(int)

    async def main():
        begin = time.monotonic()
        with running_thread(wake) as thread:
            if not late:
                thread.join()
            wait(loop, timeout=timeout)
        assert time.monotonic() - begin < PATIENCE
        await settle()
        # One wake-up ends one wait.
        begin = time.monotonic()
        wait(loop, timeout=0.02)
        assert time.monotonic() - begin >= 0.02

    loop.run_until_complete(main())


def test_a_signal(loop, impl):
    only_cloop(impl, "waits on")
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    main = threading.get_ident()

    def send():
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGUSR1)

    try:
        begin = time.monotonic()
        with running_thread(send):
            assert wait(loop, timeout=PATIENCE) == {}
        assert time.monotonic() - begin < PATIENCE
    finally:
        signal.signal(signal.SIGUSR1, before)


# ---- The end


def test_it_has_no_descriptors_once_it_is_closed(impl):
    before = open_fds()
    loop = impl.new_event_loop()
    number = loop._selector.fileno()
    assert str(number) in open_fds().keys() - before.keys()
    loop.close()
    loop.close()
    assert open_fds().keys() == before.keys()


def test_a_watch_ends_with_it(impl, pair):
    """What is watched stays open, and the next loop may watch it."""
    left, right = pair
    for _ in range(2):
        loop = impl.new_event_loop()
        loop.add_reader(left, int)
        right.send(b"data")
        assert wait(loop, left.fileno()) == {left.fileno(): READ}
        loop.close()
    assert left.recv(100) == b"data" * 2


def test_two_at_once(impl, pair):
    """Each tells what it was asked, of a descriptor that both watch."""
    left, right = pair
    loops = [impl.new_event_loop() for _ in range(2)]
    fd = left.fileno()
    loops[0].add_reader(fd, int)
    loops[1].add_writer(fd, int)
    right.send(b"data")
    assert [wait(loop, fd) for loop in loops] == [{fd: READ}, {fd: WRITE}]
    loops[0].remove_reader(fd)
    assert [wait(loop, fd) for loop in loops] == [{}, {fd: WRITE}]
    loops[1].remove_writer(fd)
    for loop in loops:
        loop.close()


def test_features(impl):
    only_cloop(impl, "tells nothing of its selector")
    loop = impl.new_event_loop()
    features = loop.poller_features()
    loop.close()
    assert features["poller"] in ("epoll", "kqueue")
    assert all(isinstance(text, str) for text in features.values())
    assert isinstance(loop, asyncio.AbstractEventLoop)


def test_a_socket_that_is_shut_down(loop):
    """The end of what comes is readable, and stays so."""
    left, right = socket.socketpair()
    with left, right:
        loop.add_reader(left, int)
        right.shutdown(socket.SHUT_WR)
        assert [wait(loop, left.fileno()) for _ in range(2)] == [{left.fileno(): READ}] * 2
        loop.remove_reader(left)
