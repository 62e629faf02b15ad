"""What data_received gets: bytes objects of their own, whatever the protocol does with them."""

import asyncio
import random
import socket

import pytest


class Taker(asyncio.Protocol):
    """Hands what comes to `take`, and counts it."""

    def __init__(self, take):
        self.take = take
        self.size = 0
        self.changed = asyncio.Event()

    def data_received(self, data):
        self.size += len(data)
        self.changed.set()
        self.take(data)

    async def wait_for(self, size):
        while self.size < size:
            self.changed.clear()
            await self.changed.wait()


async def receive(messages, take):
    """Send the messages one after the other, each when the one before has come."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    transport, taker = await loop.create_connection(lambda: Taker(take), sock=ours)
    theirs.setblocking(False)
    total = 0
    try:
        for message in messages:
            await send_all(loop, theirs, message)
            total += len(message)
            await taker.wait_for(total)
    finally:
        transport.close()
        theirs.close()
        await asyncio.sleep(0)


async def send_all(loop, sock, message):
    view = memoryview(message)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await asyncio.sleep(0)


def random_messages(count, largest, seed=7):
    source = random.Random(seed)
    return [source.randbytes(source.randrange(1, largest)) for _ in range(count)]


SIZES = [100, 600, 1024, 5000, 70_000, 300_000]


@pytest.mark.parametrize("largest", SIZES)
def test_kept_data_stays_as_it_came(run, largest):
    messages = random_messages(50, largest)
    kept = []
    run(receive(messages, kept.append))
    assert b"".join(kept) == b"".join(messages)
    assert all(type(data) is bytes for data in kept)


@pytest.mark.parametrize("largest", SIZES)
def test_data_that_nobody_keeps(run, largest):
    messages = random_messages(50, largest)
    copied = bytearray()
    run(receive(messages, copied.extend))
    assert copied == b"".join(messages)


def test_kept_now_and_then(run):
    messages = random_messages(200, 3000)
    copied = bytearray()
    kept = []

    def take(data):
        if len(copied) % 3 == 0:
            kept.append((len(copied), data))
        copied.extend(data)

    run(receive(messages, take))
    assert kept
    for start, data in kept:
        assert copied[start : start + len(data)] == data


def test_a_view_keeps_its_data(run):
    messages = random_messages(50, 3000)
    views = []
    run(receive(messages, lambda data: views.append(memoryview(data))))
    assert b"".join(views) == b"".join(messages)


def test_each_has_its_own_hash(run):
    messages = [bytes([i]) * 1024 for i in range(50)]
    hashes = []
    run(receive(messages, lambda data: hashes.append((hash(data), bytes(bytearray(data))))))
    assert hashes
    for found, data in hashes:
        assert found == hash(data)


def test_sizes_that_change(run):
    messages = [
        bytes([n % 251]) * n for size in (1, 511, 512, 513, 1023, 1024, 4096, 100) for n in [size] * 3
    ]
    copied = bytearray()
    run(receive(messages, copied.extend))
    assert copied == b"".join(messages)


def test_a_callback_that_raises_may_keep_it_too(run, reports):
    """The traceback holds what the callback was called with."""
    messages = [b"a" * 1000, b"b" * 1000]
    errors = []

    def take(data):
        errors.append(data)
        if len(errors) == 2:
            raise ValueError("no more")

    run(receive(messages, take))
    assert [bytes(data) for data in errors] == messages
    assert [str(report["exception"]) for report in reports.take()] == ["no more"]


def test_many_connections_at_once(run):
    async def main():
        loop = asyncio.get_running_loop()
        kept = {}
        pairs = []
        for i in range(20):
            ours, theirs = socket.socketpair()
            kept[i] = []
            transport, taker = await loop.create_connection(lambda i=i: Taker(kept[i].append), sock=ours)
            pairs.append((transport, taker, theirs))
        for turn in range(1, 6):
            for i, (_, _, theirs) in enumerate(pairs):
                theirs.send(bytes([i]) * 1500)
            for _, taker, _ in pairs:
                await taker.wait_for(1500 * turn)
        for transport, _, theirs in pairs:
            transport.close()
            theirs.close()
        await asyncio.sleep(0)
        return kept

    for i, data in run(main()).items():
        assert b"".join(data) == bytes([i]) * 7500
