"""Waits of the loop's sock_ methods: when they are tried again, and what they leave behind."""

import asyncio
import contextlib
import os
import random
import socket

import pytest

from tests.support import settle, tcp_pair

from .sockets import blocked_write, receivers

# ---- Other kinds of sockets


class Reluctant:
    """A socket whose methods would block the first few times."""

    def __init__(self, sock, times):
        self.sock = sock
        self.times = times
        self.calls = []

    def fileno(self):
        return self.sock.fileno()

    def gettimeout(self):
        return 0.0

    def __getattr__(self, name):
        method = getattr(self.sock, name)

        def call(*args):
            self.calls.append(name)
            if self.times:
                self.times -= 1
                raise BlockingIOError
            return method(*args)

        return call


@receivers
def test_the_methods_of_any_object_are_called(loop, run, tcp, receive, expected, ended):
    left, right = tcp
    right.send(b"data")
    sock = Reluctant(left, 3)
    assert run(receive(loop, sock)) == expected
    assert len(set(sock.calls)) == 1
    assert len(sock.calls) == 4


def test_sending_by_the_methods_of_any_object(loop, run, tcp):
    left, right = tcp
    sock = Reluctant(left, 2)
    assert run(loop.sock_sendall(sock, b"data")) is None
    assert sock.calls == ["send"] * 3
    assert right.recv(10) == b"data"


class Own(socket.socket):
    """A subclass that changes what is received."""

    def recv(self, *args):
        return b"own " + super().recv(*args)

    def send(self, data, *args):
        return super().send(bytes(data).upper(), *args)


def test_subclasses_have_their_way(loop, run, tcp):
    left, right = tcp
    with Own(fileno=left.detach()) as sock:
        sock.setblocking(False)
        loop.call_soon(right.send, b"data")
        assert run(loop.sock_recv(sock, 10)) == b"own data"
        run(loop.sock_sendall(sock, b"shout"))
        assert right.recv(10) == b"SHOUT"


def test_interrupts_end_the_run(loop, tcp):
    left, right = tcp

    class Interrupted(Reluctant):
        def recv(self, size):
            if self.times:
                self.times -= 1
                raise BlockingIOError
            raise KeyboardInterrupt

    async def main():
        await loop.sock_recv(Interrupted(left, 1), 10)

    task = loop.create_task(main())
    right.send(b"x")
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


# ---- Waits


@receivers
def test_a_cancelled_wait_leaves_nothing(loop, run, tcp, receive, expected, ended):
    left, right = tcp

    async def main():
        task = asyncio.ensure_future(receive(loop, left))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.remove_reader(left) is False
        right.send(b"data")
        await settle()
        # Nobody has taken it.
        assert left.recv(10) == b"data"

    run(main())


def test_the_socket_may_be_closed_when_the_wait_is_cancelled(loop, run):
    """And its number be another's at once."""

    async def receive(sock):
        try:
            await loop.sock_recv(sock, 10)
        finally:
            sock.close()

    async def main():
        for _ in range(20):
            left, right = tcp_pair()
            number = left.fileno()
            task = asyncio.ensure_future(receive(left))
            await settle()
            task.cancel()
            await asyncio.wait([task])
            reused, other = tcp_pair()
            assert number in (reused.fileno(), other.fileno(), right.fileno())
            other.send(b"new")
            assert await loop.sock_recv(reused, 10) == b"new"
            task = asyncio.ensure_future(loop.sock_recv(reused, 10))
            await settle()
            other.send(b"newer")
            assert await task == b"newer"
            for sock in (right, reused, other):
                sock.close()

    run(main())


def test_cancelled_sends_connects_and_accepts_leave_nothing(loop, run, tcp, listener):
    left, _ = tcp
    blocked_write(left)
    with socket.socket() as client:
        client.setblocking(False)
        # A full backlog of an address that never answers is not to be had everywhere; accept and
        # send stand for connect, which leaves by the same way.
        calls = [(left, loop.sock_sendall(left, b"x")), (listener, loop.sock_accept(listener))]

        async def main():
            for sock, call in calls:
                task = asyncio.ensure_future(call)
                await settle()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert loop.remove_reader(sock) is loop.remove_writer(sock) is False

        run(main())


def test_a_coroutine_that_is_closed_leaves_nothing(loop, impl, tcp):
    if not impl.is_cloop:
        pytest.skip("asyncio watches on, and the data that comes is lost")
    left, right = tcp

    async def main():
        receiving = loop.sock_recv(left, 10)
        receiving.send(None)
        receiving.close()
        assert loop.remove_reader(left) is False
        receiving = loop.sock_recv(left, 10)
        receiving.send(None)
        with pytest.raises(ZeroDivisionError):
            receiving.throw(ZeroDivisionError())
        right.send(b"data")
        await settle()
        assert left.recv(10) == b"data"

    loop.run_until_complete(main())


def test_the_later_of_two_waits_takes_the_place(loop, run, tcp):
    left, right = tcp

    async def main():
        first = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        second = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        right.send(b"data")
        assert await second == b"data"
        await settle()
        assert not first.done()
        first.cancel()
        await asyncio.wait([first])
        third = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        right.send(b"more")
        assert await third == b"more"

    run(main())


def test_an_earlier_wait_that_is_cancelled_leaves_the_later_alone(loop, run, tcp):
    left, right = tcp

    async def main():
        first = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        second = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        first.cancel()
        await asyncio.wait([first])
        right.send(b"data")
        assert await second == b"data"

    run(main())


def test_a_reader_takes_the_place_of_a_wait_and_the_other_way_about(loop, run, tcp):
    left, right = tcp
    seen = []

    async def main():
        waiting = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        loop.add_reader(left, lambda: seen.append(left.recv(10)))
        for data in (b"one", b"two"):
            right.send(data)
            await settle()
        assert seen == [b"one", b"two"]
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        right.send(b"three")
        await settle()
        assert seen[2:] == [b"three"]
        waiting = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        right.send(b"four")
        assert await waiting == b"four"
        assert seen[3:] == []
        assert loop.remove_reader(left) is False

    run(main())


def test_a_writer_beside_a_wait_for_reading(loop, run, tcp):
    left, right = tcp
    seen = []

    async def main():
        waiting = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        loop.add_writer(left, seen.append, "writable")
        await settle()
        assert len(seen) >= 2
        right.send(b"one")
        assert await waiting == b"one"
        del seen[:]
        await settle()
        assert len(seen) >= 2
        waiting = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        assert loop.remove_writer(left) is True
        await settle()
        right.send(b"two")
        assert await waiting == b"two"
        assert loop.remove_reader(left) is loop.remove_writer(left) is False

    run(main())


def test_somebody_else_takes_the_data_first(loop, run, tcp):
    """The wait goes on: the descriptor has fired, and there was nothing."""
    left, right = tcp
    stolen = []

    async def main():
        left2 = left.dup()

        def steal():
            with contextlib.suppress(BlockingIOError):
                stolen.append(left2.recv(10))

        loop.add_reader(left2, steal)
        waiting = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        for data in (b"one", b"two"):
            right.send(data)
            await settle()
        loop.remove_reader(left2)
        left2.close()
        right.send(b"three")
        received = await waiting
        if received != b"three":
            stolen.append(await loop.sock_recv(left, 10))
        assert sorted([*stolen, received]) == [b"one", b"three", b"two"]

    run(main())


def test_another_file_under_the_number(loop, run, tcp):
    """dup2() over the socket's descriptor, between two calls on one socket object."""
    left, right = tcp

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        right.send(b"one")
        assert await task == b"one"
        replacement, other = tcp_pair()
        os.dup2(replacement.fileno(), left.fileno())
        replacement.close()
        task = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        other.send(b"two")
        assert await asyncio.wait_for(task, 5) == b"two"
        other.close()

    run(main())


def test_a_duplicate_that_stays_open_does_not_keep_the_loop_busy(loop, run, impl):
    """As when a child process inherits the socket: the kernel's entry lives as long as the file."""

    async def main():
        left, right = tcp_pair()
        task = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        right.send(b"data")
        await task
        duplicate = os.dup(left.fileno())
        left.close()
        right.send(b"for the child")
        before = loop._turns if impl.is_cloop else 0
        await asyncio.sleep(0.02)
        if impl.is_cloop:
            assert loop._turns - before < 10
        os.close(duplicate)
        right.close()

    run(main())


def test_a_socket_closed_under_a_wait(loop, run):
    """It is the user's error; the number's next owner must not suffer from it."""

    async def main():
        left, right = tcp_pair()
        number = left.fileno()
        stale = asyncio.ensure_future(loop.sock_recv(left, 10))
        await settle()
        left.close()
        right.close()
        await settle()
        stale.cancel()
        await asyncio.wait([stale])
        reading, writing = tcp_pair()
        assert number in (reading.fileno(), writing.fileno())
        task = asyncio.ensure_future(loop.sock_recv(reading, 10))
        await settle()
        writing.send(b"data")
        assert await task == b"data"
        reading.close()
        writing.close()

    run(main())


def test_random_use(loop, run):
    """Waits begun, cancelled and served at random, over numbers that are given out again and again."""
    rng = random.Random(11)

    async def exchange(number):
        left, right = tcp_pair()
        with left, right:
            for turn in range(rng.randrange(1, 6)):
                message = f"{number}:{turn}".encode()
                task = asyncio.ensure_future(loop.sock_recv(left, 100))
                if rng.random() < 0.7:
                    await settle(rng.randrange(3))
                if rng.random() < 0.3:
                    task.cancel()
                    await asyncio.wait([task])
                    continue
                if rng.random() < 0.3:
                    loop.add_writer(left, int)
                    await settle(rng.randrange(3))
                await loop.sock_sendall(right, message)
                if rng.random() < 0.5:
                    loop.remove_writer(left)
                assert await task == message
                loop.remove_writer(left)

    async def main():
        for _ in range(20):
            await asyncio.gather(*[exchange(number) for number in range(20)])

    run(main())


def test_connects_cancelled_while_descriptors_come_and_go(loop, run, listener):
    """No event or byte ever reaches a wrong owner."""
    rng = random.Random(5)
    address = listener.getsockname()

    async def connect(number):
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, b"%d" % number)
            answer = await loop.sock_recv(sock, 100)
            assert answer == b"%d!" % number

    async def answer(sock):
        with sock, contextlib.suppress(ConnectionError):
            if data := await loop.sock_recv(sock, 100):
                await loop.sock_sendall(sock, data + b"!")

    async def serve(tasks):
        while True:
            sock, _ = await loop.sock_accept(listener)
            tasks.append(asyncio.ensure_future(answer(sock)))

    def churn():
        for _ in range(300):
            for fd in os.pipe():
                os.close(fd)

    async def main():
        answers = []
        serving = asyncio.ensure_future(serve(answers))
        churning = loop.run_in_executor(None, churn)
        for _ in range(5):
            tasks = [asyncio.ensure_future(connect(number)) for number in range(60)]
            for task in rng.sample(tasks, 30):
                await settle(rng.randrange(3))
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        await churning
        await settle()
        serving.cancel()
        await asyncio.wait([serving, *answers])

    run(main())
