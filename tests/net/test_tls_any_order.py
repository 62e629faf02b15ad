"""Whatever is called in whatever order over TLS: nothing crashes, hangs or is reported."""

import asyncio
import contextlib
import random

import pytest

from tests.support import settle

from .protocols import Recorder
from .tls import tls_connected


class Whimsical(Recorder):
    """Does something by chance whenever it is called."""

    chance: random.Random

    def act(self):
        transport, chance = self.transport, self.chance
        for _ in range(chance.randrange(3)):
            action = chance.choice(ACTIONS)
            action(transport, chance, self)

    def connection_made(self, transport):
        super().connection_made(transport)
        self.act()

    def data_received(self, data):
        super().data_received(data)
        self.act()

    def eof_received(self):
        super().eof_received()
        self.act()

    def pause_writing(self):
        self.act()

    def resume_writing(self):
        self.act()

    def connection_lost(self, error):
        super().connection_lost(error)
        self.act()


def size(chance):
    return chance.choice([1, 10, 1000, 16384, 70_000, 300_000])


def replace(transport, chance, protocol):
    # It is not told more than the first, whose `lost` the test waits for.
    other = Whimsical() if chance.random() < 0.5 else InBuffer()
    other.chance, other.transport, other.lost = chance, transport, protocol.lost
    if protocol is transport.get_protocol():
        transport.set_protocol(other)


ACTIONS = [
    *[lambda transport, chance, _: transport.write(bytes(size(chance)))] * 8,
    *[lambda transport, chance, _: transport.writelines([b"a", bytes(size(chance)), bytearray(5)])] * 3,
    *[lambda transport, *_: transport.pause_reading()] * 2,
    *[lambda transport, *_: transport.resume_reading()] * 4,
    lambda transport, chance, _: transport.set_write_buffer_limits(size(chance)),
    lambda transport, chance, _: transport.set_read_buffer_limits(size(chance)),
    lambda transport, *_: transport.get_write_buffer_size(),
    lambda transport, *_: transport.get_extra_info("peercert"),
    lambda transport, *_: repr(transport),
    replace,
]
LAST = [lambda transport, *_: transport.close(), lambda transport, *_: transport.abort()]


class InBuffer(Whimsical, asyncio.BufferedProtocol):
    """The same in a buffer."""

    def get_buffer(self, size_hint):
        self.act()
        self.buffer = bytearray(self.chance.choice([1, 100, 20_000]))
        return self.buffer

    def buffer_updated(self, size):
        self.data_received(bytes(self.buffer[:size]))


@pytest.mark.parametrize("seed", range(30))
def test_any_order(run, impl, seed):
    if not impl.is_cloop:
        pytest.skip("asyncio's transports raise in some orders")

    async def main():
        chance = random.Random(seed)

        class Chance(Whimsical):
            def __init__(self):
                super().__init__()
                self.chance = chance

        async with tls_connected(Chance, Chance) as (client, server):
            ends = [client.transport, server.transport]
            for _ in range(chance.randrange(60)):
                transport = chance.choice(ends)
                protocol = transport.get_protocol()
                if protocol is not None:
                    chance.choice(ACTIONS)(transport, chance, protocol)
                await settle(chance.randrange(3))
            for transport in ends:
                chance.choice(LAST)(transport, chance, None)
                await settle(chance.randrange(3))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.gather(asyncio.shield(client.lost), asyncio.shield(server.lost))
            for transport in ends:
                transport.abort()
            await asyncio.wait_for(asyncio.gather(client.lost, server.lost), 5)

    run(main())
