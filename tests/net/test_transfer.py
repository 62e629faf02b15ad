"""Much data and many connections: nothing is lost, changed or mixed up."""

import asyncio
import hashlib
import random

import pytest

from tests.support import wait_until

from .protocols import Echo, Recorder, connected

SIZE = 30_000_000


class Digest(Recorder):
    """Keeps only a digest and the size of what it receives."""

    def __init__(self):
        super().__init__()
        self.digest = hashlib.sha256()
        self.size = 0

    def data_received(self, data):
        self.digest.update(data)
        self.size += len(data)


@pytest.fixture(scope="module")
def data():
    """Random bytes, so that a shift or a repetition shows."""
    return random.Random(8).randbytes(SIZE)


@pytest.mark.parametrize("chunk", [1 << 12, 1 << 16, 1 << 20, SIZE])
def test_one_way(run, data, chunk):
    async def main():
        async with connected(server=Digest) as (client, server):
            view = memoryview(data)
            for start in range(0, SIZE, chunk):
                client.transport.write(view[start : start + chunk])
                if client.transport.get_write_buffer_size() > 1 << 20:
                    await wait_until(lambda: client.transport.get_write_buffer_size() < 1 << 16)
            client.transport.close()
            await server.lost
            return server.size, server.digest.digest()

    assert run(main()) == (SIZE, hashlib.sha256(data).digest())


def test_both_ways_at_once(run, data):
    async def main():
        async with connected(Digest, Digest) as (client, server):
            client.transport.write(data)
            server.transport.write(data)
            await wait_until(lambda: client.size == server.size == SIZE)
            return client.digest.digest() == server.digest.digest() == hashlib.sha256(data).digest()

    assert run(main()) is True


def test_writelines_of_many_pieces(run, data):
    generator, size = random.Random(9), SIZE

    async def main():
        async with connected(server=Digest) as (client, server):
            start = 0
            while start < size:
                pieces = []
                for _ in range(generator.choice([1, 7, 200, 1500])):
                    length = generator.choice([1, 50, 1000, 30_000])
                    pieces.append(data[start : min(start + length, size)])
                    start += length
                client.transport.writelines(piece for piece in pieces if piece)
                await wait_until(lambda: client.transport.get_write_buffer_size() < 1 << 20)
            client.transport.close()
            await server.lost
            return server.size, server.digest.digest()

    assert run(main()) == (size, hashlib.sha256(data[:size]).digest())


def test_echo_with_pauses(run, data):
    """Both ends pause each other: neither may stall."""

    class PoliteEcho(Echo):
        def pause_writing(self):
            self.transport.pause_reading()

        def resume_writing(self):
            self.transport.resume_reading()

    size = 5_000_000

    async def main():
        async with connected(Digest, PoliteEcho) as (client, _):
            client.transport.write(data[:size])
            for _ in range(50):
                client.transport.pause_reading()
                await asyncio.sleep(0.0005)
                client.transport.resume_reading()
                await asyncio.sleep(0.0005)
            await wait_until(lambda: client.size == size)
            return client.digest.digest()

    assert run(main()) == hashlib.sha256(data[:size]).digest()


def test_a_thousand_connections(loop, run, many_descriptors):
    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        address = server.sockets[0].getsockname()
        clients = []
        for _ in range(10):
            opening = [loop.create_connection(Recorder, *address) for _ in range(100)]
            clients += [protocol for _, protocol in await asyncio.gather(*opening)]
        for number, client in enumerate(clients):
            client.transport.write(b"client %04d" % number)
        for number, client in enumerate(clients):
            assert await client.wait_for_data(11) == b"client %04d" % number
        for client in clients:
            client.transport.close()
        for client in clients:
            assert await client.lost is None
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        await asyncio.sleep(0.02)

    run(main())


def test_connections_that_come_and_go(loop, run):
    """Numbers of descriptors are used again and again, with old events still on their way."""
    generator = random.Random(10)

    async def client(address, number):
        _, protocol = await loop.create_connection(Recorder, *address)
        message = b"%06d" % number * generator.choice([1, 1000])
        protocol.transport.write(message)
        if generator.random() < 0.3:
            protocol.transport.abort()
            await protocol.lost
            return
        assert await protocol.wait_for_data(len(message)) == message
        if generator.random() < 0.5:
            protocol.transport.write_eof()
        else:
            protocol.transport.close()
        await protocol.lost

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        for round_number in range(20):
            numbers = range(round_number * 20, round_number * 20 + 20)
            await asyncio.gather(*(client(address, number) for number in numbers))
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        await asyncio.sleep(0.01)

    run(main())
