"""Random calls in random order, descriptors closed and reused among them: errors, but no crash or hang."""

import os
import random
import socket

import pytest

from tests.support import run_turn

# What asyncio raises for descriptors that are gone or were never there.
EXPECTED = (OSError, ValueError, RuntimeError)


class User:
    """Uses one loop at random."""

    def __init__(self, loop, seed):
        self.loop = loop
        self.random = random.Random(seed)
        self.sockets = []
        self.handles = []
        self.calls = 0

    def called(self):
        """Any callback: it may act on the loop itself."""
        self.calls += 1
        if self.random.random() < 0.3:
            self.act()

    def act(self):
        """One random action."""
        try:
            self.random.choice(ACTIONS)(self)
        except EXPECTED:
            pass

    def open_pair(self):
        if len(self.sockets) < 40:
            for sock in socket.socketpair():
                sock.setblocking(False)
                self.sockets.append(sock)

    def close_one(self):
        if self.sockets:
            self.sockets.pop(self.random.randrange(len(self.sockets))).close()

    def close_one_unwatched(self):
        if self.sockets:
            with self.sockets.pop(self.random.randrange(len(self.sockets))) as sock:
                self.loop.remove_reader(sock)
                self.loop.remove_writer(sock)

    def some_descriptor(self):
        if self.sockets and self.random.random() < 0.9:
            return self.random.choice(self.sockets)
        return self.random.randrange(3, 80)

    def owned_descriptor(self):
        return self.random.choice(self.sockets) if self.sockets else -1

    def send(self):
        if self.sockets:
            self.random.choice(self.sockets).send(b"x" * self.random.choice([1, 10_000]))

    def receive(self):
        if self.sockets:
            self.random.choice(self.sockets).recv(5000)

    def add_reader(self):
        self.loop.add_reader(self.owned_descriptor(), self.called)

    def add_writer(self):
        self.loop.add_writer(self.owned_descriptor(), self.called)

    def remove_reader(self):
        self.loop.remove_reader(self.some_descriptor())

    def remove_writer(self):
        self.loop.remove_writer(self.some_descriptor())

    def schedule(self):
        method = self.random.choice([self.loop.call_soon, self.loop.call_soon_threadsafe])
        self.handles.append(method(self.called))

    def schedule_later(self):
        self.handles.append(self.loop.call_later(self.random.choice([-1, 0, 1e-5, 1e-3, 50]), self.called))

    def cancel(self):
        if self.handles:
            self.handles.pop(self.random.randrange(len(self.handles))).cancel()

    def stop(self):
        self.loop.stop()

    def finish(self):
        for handle in self.handles:
            handle.cancel()
        self.loop.close()
        for sock in self.sockets:
            sock.close()


ACTIONS = [
    User.open_pair,
    User.open_pair,
    User.close_one,
    User.close_one_unwatched,
    User.send,
    User.receive,
    User.add_reader,
    User.add_reader,
    User.add_writer,
    User.remove_reader,
    User.remove_writer,
    User.schedule,
    User.schedule_later,
    User.cancel,
    User.stop,
]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("debug", [True, False])
def test_survives(loop, seed, debug):
    loop.set_debug(debug)
    user = User(loop, seed)
    for _ in range(150):
        for _ in range(user.random.randrange(6)):
            user.act()
        run_turn(loop)
    assert user.calls > 50
    user.finish()


@pytest.mark.parametrize("seed", range(5))
def test_numbers_alone(loop, seed):
    """The same with bare numbers, closed behind the loop's back and given out again."""
    generator, numbers, calls = random.Random(seed), [], []
    for _ in range(300):
        if len(numbers) < 30 or generator.random() < 0.5:
            numbers.extend(os.pipe())
        else:
            os.close(numbers.pop(generator.randrange(len(numbers))))
        for add in (loop.add_reader, loop.add_writer):
            try:
                add(generator.choice(numbers), calls.append, 1)
            except EXPECTED:
                pass
        run_turn(loop)
    loop.close()
    for number in numbers:
        os.close(number)
    assert calls
