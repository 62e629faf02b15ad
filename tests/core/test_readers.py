"""add_reader, add_writer and their removal."""

import errno
import fcntl
import os
import socket
import sys
import tempfile

import pytest

from tests.support import run_for, run_turn

DIRECTIONS = ["reader", "writer"]


def add(loop, direction, *args):
    return getattr(loop, f"add_{direction}")(*args)


def remove(loop, direction, fd):
    return getattr(loop, f"remove_{direction}")(fd)


def test_calls_the_reader_with_its_arguments(loop, pair):
    left, right = pair
    seen = []

    def on_readable(*args):
        seen.append((args, left.recv(100)))
        loop.stop()

    assert loop.add_reader(left, on_readable, 1, "two") is None
    right.send(b"data")
    loop.run_forever()
    assert seen == [((1, "two"), b"data")]
    assert loop.remove_reader(left) is True


def test_calls_the_writer(loop, pair):
    left, _ = pair
    seen = []
    assert loop.add_writer(left.fileno(), seen.append, "writable") is None
    run_turn(loop)
    assert seen == ["writable"]
    assert loop.remove_writer(left.fileno()) is True
    run_turn(loop)
    assert seen == ["writable"]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_remove_says_whether_there_was_one(loop, pair, direction):
    left, right = pair
    assert remove(loop, direction, left) is False
    add(loop, direction, left, int)
    assert remove(loop, direction, right) is False
    assert remove(loop, direction, left.fileno()) is True
    assert remove(loop, direction, left) is False


def test_a_file_object_and_its_number_are_the_same(loop, pair):
    left, right = pair
    seen = []
    loop.add_reader(left, seen.append, "first")
    loop.add_reader(left.fileno(), seen.append, "second")
    right.send(b"x")
    run_turn(loop)
    assert seen == ["second"]
    assert loop.remove_reader(left) is True


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_second_one_replaces_the_first(loop, pair, direction):
    left, right = pair
    right.send(b"x")
    seen = []
    add(loop, direction, left, seen.append, "first")
    add(loop, direction, left, seen.append, "second")
    run_turn(loop)
    assert seen == ["second"]
    assert remove(loop, direction, left) is True
    assert remove(loop, direction, left) is False


def test_reader_and_writer_are_independent(loop, pair):
    left, right = pair
    seen = []
    loop.add_reader(left, lambda: seen.append(left.recv(10)))
    loop.add_writer(left, seen.append, "writable")
    right.send(b"x")
    run_turn(loop)
    assert sorted(seen, key=str) == [b"x", "writable"]
    assert loop.remove_writer(left) is True
    right.send(b"y")
    run_turn(loop)
    assert seen[2:] == [b"y"]
    loop.add_writer(left, seen.append, "again")
    assert loop.remove_reader(left) is True
    right.send(b"z")
    run_turn(loop)
    assert seen[3:] == ["again"]
    assert loop.remove_writer(left) is True


def test_a_reader_is_called_each_turn_while_data_waits(loop, pair):
    left, right = pair
    count = [0]

    def on_readable():
        count[0] += 1

    right.send(b"never read")
    loop.add_reader(left, on_readable)
    for _ in range(5):
        run_turn(loop)
    assert count == [5]
    loop.remove_reader(left)


def test_a_reader_can_remove_itself(loop, pair):
    left, right = pair
    results = []
    right.send(b"x")
    loop.add_reader(left, lambda: results.append(loop.remove_reader(left)))
    run_for(loop, 0.01)
    assert results == [True]


def test_removed_in_the_turn_in_which_it_fired(loop):
    """Two are ready at once; whichever runs first removes the other, which must not run any more."""
    pairs = [socket.socketpair() for _ in range(2)]
    seen = []

    def on_readable(mine, others):
        seen.append(mine)
        loop.remove_reader(others)

    first, second = pairs[0][0], pairs[1][0]
    loop.add_reader(first, on_readable, first, second)
    loop.add_reader(second, on_readable, second, first)
    for _, other in pairs:
        other.send(b"x")
    run_turn(loop)
    assert len(seen) == 1
    assert loop.remove_reader(seen[0]) is True
    for sock in (*pairs[0], *pairs[1]):
        sock.close()


def test_the_hangup_of_the_peer_wakes_the_reader(loop, pair):
    left, right = pair
    seen = []
    loop.add_reader(left, lambda: (seen.append(left.recv(10)), loop.remove_reader(left)))
    right.close()
    run_for(loop, 0.01)
    assert seen == [b""]


def test_an_error_wakes_the_writer(loop):
    """A full pipe whose reader goes away is no longer writable, and must not wait for ever."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    seen = []

    def on_writable():
        with pytest.raises(BrokenPipeError):
            os.write(writing, b"x")
        seen.append(loop.remove_writer(writing))

    loop.add_writer(writing, on_writable)
    run_for(loop, 0.005)
    assert seen == []
    os.close(reading)
    run_for(loop, 0.01)
    os.close(writing)
    assert seen == [True]


def test_the_flags_of_the_file_are_left_alone(loop):
    """stdin and stdout are shared with other processes: O_NONBLOCK would reach them."""
    for direction, fd in zip(DIRECTIONS, os.pipe(), strict=True):
        before = fcntl.fcntl(fd, fcntl.F_GETFL)
        add(loop, direction, fd, int)
        run_turn(loop)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) == before
        assert os.get_blocking(fd)
        remove(loop, direction, fd)
        assert fcntl.fcntl(fd, fcntl.F_GETFL) == before
        os.close(fd)


@pytest.mark.skipif(sys.platform != "linux", reason="kqueue watches regular files")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_regular_files_are_refused(loop, direction):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            add(loop, direction, file, int)
        assert remove(loop, direction, file) is False


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_no_descriptor_is_refused(loop, direction):
    for wrong in ("0", None, 1.5j):
        with pytest.raises(ValueError, match="Invalid file object"):
            add(loop, direction, wrong, int)
    for wrong in (-1, -5):
        with pytest.raises(ValueError, match="Invalid file descriptor"):
            add(loop, direction, wrong, int)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_descriptors_that_are_not_open_are_refused(loop, direction):
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        add(loop, direction, 98_765, int)
    assert caught.value.errno == errno.EBADF
    assert remove(loop, direction, 98_765) is False


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_closed_socket_is_refused(loop, direction):
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        add(loop, direction, sock, int)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_removed_after_it_was_closed(loop, pair, direction):
    left, _ = pair
    add(loop, direction, left, int)
    left.close()
    assert remove(loop, direction, left) is True


def test_number_removed_after_it_was_closed_can_be_used_again(loop):
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, pytest.fail, "the closed socket's reader was called")
    right.send(b"x")
    left.close()
    right.close()
    assert loop.remove_reader(number) is True
    reading, writing = os.pipe()
    seen = []
    loop.add_reader(reading, seen.append, "pipe")
    run_turn(loop)
    assert seen == []
    os.write(writing, b"x")
    run_turn(loop)
    assert seen == ["pipe"]
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)


def test_number_reused_without_removal(loop, impl):
    """Closed without remove_reader, and the number given out again: the new owner gets the events."""
    if not impl.is_cloop:
        pytest.skip("asyncio fails with FileNotFoundError from epoll_ctl")
    left, right = socket.socketpair()
    number, seen = left.fileno(), []
    loop.add_reader(number, seen.append, "old")
    reading, writing = os.pipe()
    left.close()
    reused = os.dup2(reading, number)
    loop.add_reader(reused, seen.append, "new")
    os.write(writing, b"x")
    run_turn(loop)
    assert seen == ["new"]
    loop.remove_reader(reused)
    for fd in (reading, writing, reused):
        os.close(fd)
    right.close()


def test_number_reused_in_the_turn_in_which_it_fired(loop):
    """An event for a descriptor closed in this very turn must not reach the number's next owner."""
    pairs = [socket.socketpair() for _ in range(2)]
    seen, opened = [], []

    def on_readable(mine, other):
        seen.append("reader")
        loop.remove_reader(mine)
        number = other.fileno()
        loop.remove_reader(other)
        other.close()
        reading, writing = os.pipe()
        opened.extend((reading, writing))
        if number not in (reading, writing):
            opened.append(os.dup2(reading, number))
        loop.add_reader(number, seen.append, "the next owner")

    first, second = pairs[0][0], pairs[1][0]
    loop.add_reader(first, on_readable, first, second)
    loop.add_reader(second, on_readable, second, first)
    for _, other in pairs:
        other.send(b"x")
    run_for(loop, 0.01)
    assert seen == ["reader"]
    for fd in opened:
        loop.remove_reader(fd)
        os.close(fd)
    for sock in (*pairs[0], *pairs[1]):
        sock.close()


def test_an_exception_is_reported_and_the_reader_stays(loop, pair, reports):
    left, right = pair
    loop.add_reader(left, lambda: 1 / 0)
    right.send(b"x")
    run_turn(loop)
    run_turn(loop)
    contexts = reports.take()
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError] * 2
    assert loop.remove_reader(left) is True


def test_many_descriptors(loop):
    pairs = [socket.socketpair() for _ in range(200)]
    seen = []
    for number, (left, _) in enumerate(pairs):
        loop.add_reader(left, lambda number=number, left=left: seen.append((number, left.recv(10))))
    for _, right in pairs:
        right.send(b"x")
    run_for(loop, 0.02)
    assert sorted(seen) == [(number, b"x") for number in range(200)]
    for left, right in pairs:
        assert loop.remove_reader(left) is True
        left.close()
        right.close()


def test_closed_loop(loop, pair):
    left, _ = pair
    loop.add_reader(left, int)
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_reader(left, int)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.add_writer(left, int)
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is False


def test_two_loops_watch_one_socket(loop_factory, pair):
    left, right = pair
    right.send(b"x")
    seen = []
    for name in ("one", "two"):
        loop = loop_factory()
        loop.add_reader(left, seen.append, name)
        run_turn(loop)
        assert loop.remove_reader(left) is True
    assert seen == ["one", "two"]
