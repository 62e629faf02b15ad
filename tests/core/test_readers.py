"""add_reader, add_writer and their removal."""

import contextlib
import errno
import fcntl
import os
import select
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


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_error_of_the_socket_does_not_end_the_watch(loop, direction):
    """Called each turn while the error stands, and again for what comes after it."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        sock.connect(peer.getsockname())
        address = peer.getsockname()
        peer.close()
        sock.setblocking(False)
        sock.send(b"to nobody")
        seen = []
        add(loop, direction, sock, seen.append, "called")
        for count in (1, 2, 3):
            run_turn(loop)
            assert len(seen) == count
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        with socket.socket(type=socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.sendto(b"data", sock.getsockname())
            run_turn(loop)
            assert len(seen) == 4 and sock.recv(10) == b"data"
        assert remove(loop, direction, sock) is True


def test_a_pipe_that_nobody_reads_is_writable(loop):
    """And stays so, until nobody waits for it any more or it is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    seen = []
    loop.add_writer(writing, seen.append, 1)
    for _ in range(3):
        run_turn(loop)
    assert seen == [1, 1, 1]
    assert loop.remove_writer(writing) is True
    run_turn(loop)
    loop.add_writer(writing, seen.append, 2)
    run_turn(loop)
    os.close(writing)
    run_turn(loop)
    assert seen == [1, 1, 1, 2]
    assert loop.remove_writer(writing) is True


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


class Strange:
    """A file object whose fileno() is odd."""

    def __init__(self, number):
        self.number = number

    def fileno(self):
        if isinstance(self.number, Exception):
            raise self.number
        return self.number


@pytest.mark.skipif(sys.platform != "linux", reason="kqueue watches other things")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_whatever_can_be_polled(loop, direction):
    """An epoll set, an eventfd, a terminal, a FIFO, a process: each is watched and let go."""
    with contextlib.ExitStack() as stack:
        poll = stack.enter_context(select.epoll())
        leader, follower = os.openpty()
        numbers = [os.eventfd(0), leader, follower, *os.pipe(), os.pidfd_open(os.getpid())]
        for number in numbers:
            stack.callback(os.close, number)
        for thing in (poll, *numbers):
            assert add(loop, direction, thing, int) is None
            run_turn(loop)
            assert remove(loop, direction, thing) is True
            assert remove(loop, direction, thing) is False


@pytest.mark.skipif(sys.platform != "linux", reason="kqueue watches other things")
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("path", ["/", "/dev/null", sys.executable])
def test_what_can_not_be_polled(loop, direction, path):
    fd = os.open(path, os.O_RDONLY)
    try:
        for _ in range(2):
            with pytest.raises(PermissionError) as caught:
                add(loop, direction, fd, int)
            assert caught.value.errno == errno.EPERM
            assert remove(loop, direction, fd) is False
    finally:
        os.close(fd)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("number", [1_000_000, (1 << 31) - 1])
def test_large_numbers_that_are_not_open(loop, direction, number):
    """They are refused without a table of that size."""
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        add(loop, direction, number, int)
    assert caught.value.errno == errno.EBADF
    assert remove(loop, direction, number) is False


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("number", [1 << 31, 1 << 70])
def test_numbers_that_no_descriptor_has(loop, direction, number):
    with pytest.raises(OverflowError, match="Python int too large to convert to C int"):
        add(loop, direction, number, int)
    assert remove(loop, direction, number) is False


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_removal_of_what_is_no_descriptor(loop, direction):
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        remove(loop, direction, -1)
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        remove(loop, direction, sock)
    with pytest.raises(ValueError, match="Invalid file object"):
        remove(loop, direction, "0")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_file_objects_with_an_odd_number(loop, direction):
    with pytest.raises(ValueError, match="Invalid file object"):
        add(loop, direction, Strange("x"), int)
    with pytest.raises(OSError, match="no number"):
        add(loop, direction, Strange(OSError("no number")), int)
    with pytest.raises(ValueError, match="Invalid file object"):
        add(loop, direction, Strange(ValueError()), int)
    with pytest.raises(ValueError, match="Invalid file descriptor: -7"):
        add(loop, direction, Strange(-7), int)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_closed_descriptor_is_refused_and_its_number_can_be_used_again(loop, direction):
    left, right = socket.socketpair()
    number = left.detach()
    os.close(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        add(loop, direction, number, int)
    assert remove(loop, direction, number) is False
    os.dup2(right.fileno(), number)
    seen = []
    add(loop, direction, number, seen.append, "called")
    run_turn(loop)
    assert seen == ["called"]
    assert remove(loop, direction, number) is True
    os.close(number)
    right.close()


def test_a_descriptor_closed_while_it_is_watched_for_both(loop):
    """The kernel has forgotten it: giving up one interest, then the other, fails at neither."""
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, int)
    left.close()
    assert loop.remove_reader(number) is True
    assert loop.remove_reader(number) is False
    right.close()


def test_the_second_interest_of_a_descriptor_that_was_closed(loop):
    """The kernel has forgotten the first one, which the loop has not been told."""
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, int)
    left.close()
    with pytest.raises(OSError, match=r"Bad file descriptor|No such file"):
        loop.add_writer(number, int)
    assert loop.remove_writer(number) is False
    # Whether it was still there differs.
    loop.remove_reader(number)
    assert loop.remove_reader(number) is False
    right.close()


def test_interests_of_a_number_that_was_reused(loop, impl):
    """ENOENT, EEXIST: the kernel's set and the loop's table disagree, and it is put right."""
    if not impl.is_cloop:
        pytest.skip("asyncio fails with FileNotFoundError from epoll_ctl")
    left, right = socket.socketpair()
    number = left.fileno()
    seen = []
    loop.add_reader(number, seen.append, "old")
    loop.add_writer(number, seen.append, "old")
    keeper = os.dup(number)  # so that the kernel keeps the entry
    replacement, other = socket.socketpair()
    os.dup2(replacement.fileno(), number)
    loop.add_reader(number, seen.append, "new")
    assert loop.remove_writer(number) is True
    run_turn(loop)
    assert seen == []
    other.send(b"x")
    run_turn(loop)
    assert seen == ["new"]
    assert loop.remove_reader(number) is True
    # Back to the file that the kernel's set still has.
    os.dup2(keeper, number)
    loop.add_writer(number, seen.append, "again")
    run_turn(loop)
    assert seen == ["new", "again"]
    assert loop.remove_writer(number) is True
    os.close(keeper)
    for sock in (left, right, replacement, other):
        sock.close()
