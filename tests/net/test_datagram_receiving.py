"""What a datagram endpoint receives, one by one and in a flood, where it takes many at once."""

import asyncio
import socket

import pytest

from tests.support import settle

from .datagrams import LARGEST, Datagrams, Echo, endpoint, name_of, numbered, plain_socket, receive


def test_empty_received(run):
    async def main():
        with plain_socket() as peer:
            async with endpoint() as protocol:
                peer.sendto(b"", name_of(protocol))
                peer.sendto(b"x", name_of(protocol))
                await protocol.wait_for(2)
                assert protocol.received == [(b"", peer.getsockname()), (b"x", peer.getsockname())]

    run(main())


def test_the_largest_in_a_flood(run):
    """Nothing is cut off, however many are taken at once."""

    async def main():
        data = bytes(range(256)) * 256
        with plain_socket() as peer:
            async with endpoint() as protocol:
                protocol.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24
                )
                for _ in range(40):
                    sizes = [1, LARGEST, 7]
                    for size in sizes:
                        peer.sendto(data[:size], name_of(protocol))
                    assert await protocol.wait_for(3) == [data[:size] for size in sizes]
                    protocol.received.clear()

    run(main())


def test_a_flood_leaves_the_others_their_turns(loop, run):
    """In one turn comes a bounded number of datagrams."""
    turns = []

    class Counting(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            turns[-1] += 1

    def turn():
        turns.append(0)
        if sum(turns) < 100:
            loop.call_soon(turn)

    async def main():
        with plain_socket() as peer:
            async with endpoint(Counting, local_addr=("127.0.0.1", 0)) as protocol:
                turn()
                for data in numbered(100):
                    peer.sendto(data, name_of(protocol))
                assert await protocol.wait_for(100) == numbered(100)

    run(main())
    assert max(turns) <= 16
    assert len(turns) > 100 // 16


@pytest.mark.parametrize("at", [0, 3, 16, 17, 20, 31, 32, 50])
def test_an_exception_loses_nothing(run, reports, at):
    class Fails(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"%d" % at:
                raise ZeroDivisionError

    async def main():
        with plain_socket() as peer:
            async with endpoint(Fails, local_addr=("127.0.0.1", 0)) as protocol:
                for data in numbered(60):
                    peer.sendto(data, name_of(protocol))
                assert await protocol.wait_for(60) == numbered(60)
                report = reports.take_one()
                assert isinstance(report["exception"], ZeroDivisionError)
                assert report["message"].startswith("Exception in callback ")
                assert "_read_ready" in report["message"]
                assert not protocol.transport.is_closing()

    run(main())


@pytest.mark.parametrize("at", [0, 3, 16, 17, 20, 31, 32, 50])
def test_pausing(run, at):
    """asyncio's datagram transports have it, though the interface does not."""

    class Pauses(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"%d" % at:
                self.transport.pause_reading()

    async def main():
        with plain_socket() as peer:
            async with endpoint(Pauses, local_addr=("127.0.0.1", 0)) as protocol:
                for data in numbered(60):
                    peer.sendto(data, name_of(protocol))
                await protocol.wait_for(at + 1)
                await settle()
                assert protocol.data == numbered(at + 1)
                assert not protocol.transport.is_reading()
                peer.sendto(b"60", name_of(protocol))
                protocol.transport.resume_reading()
                assert protocol.data == numbered(at + 1)
                assert await protocol.wait_for(61) == numbered(61)

    run(main())


def test_paused_in_connection_made(run):
    class Paused(Datagrams):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()

    async def main():
        with plain_socket() as peer:
            async with endpoint(Paused, local_addr=("127.0.0.1", 0)) as protocol:
                for data in numbered(20):
                    peer.sendto(data, name_of(protocol))
                await asyncio.sleep(0.005)
                assert protocol.data == [] and not protocol.transport.is_reading()
                protocol.transport.resume_reading()
                assert protocol.transport.is_reading()
                return await protocol.wait_for(20)

    assert run(main()) == numbered(20)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("at", [0, 16, 20, 31])
def test_nothing_comes_after_the_end(run, how, at):
    class Ends(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"%d" % at:
                getattr(self.transport, how)()

    async def main():
        with plain_socket() as peer:
            async with endpoint(Ends, local_addr=("127.0.0.1", 0)) as protocol:
                for data in numbered(60):
                    peer.sendto(data, name_of(protocol))
                assert await protocol.lost is None
                await settle()
                assert protocol.data == numbered(at + 1)
                assert protocol.calls == ["made", ("lost", None)]

    run(main())


@pytest.mark.parametrize("at", [0, 16, 20, 31])
def test_another_protocol(run, at):
    class HandsOver(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"%d" % at:
                self.transport.set_protocol(second)

    async def main():
        nonlocal second
        second = Datagrams()
        with plain_socket() as peer:
            async with endpoint(HandsOver, local_addr=("127.0.0.1", 0)) as first:
                for data in numbered(60):
                    peer.sendto(data, name_of(first))
                await second.wait_for(59 - at)
                assert first.data == numbered(at + 1)
                assert second.data == numbered(59 - at, at + 1)
                first.transport.set_protocol(first)

    second = None
    run(main())


def test_reading_from_within(run):
    """Who calls the transport's private methods from a callback gets what is next."""

    class Greedy(Datagrams):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if len(self.received) % 5 == 0:
                self.transport._read_ready()

    async def main():
        with plain_socket() as peer:
            async with endpoint(Greedy, local_addr=("127.0.0.1", 0)) as protocol:
                for data in numbered(60):
                    peer.sendto(data, name_of(protocol))
                return sorted(await protocol.wait_for(60))

    assert run(main()) == sorted(numbered(60))


def test_own_methods_of_a_socket(run):
    """A socket that does it in another way does it."""

    class Shouting(socket.socket):
        def recvfrom(self, size):
            data, address = super().recvfrom(size)
            return data.upper(), address

        def sendto(self, data, address):
            return super().sendto(b"<" + data + b">", address)

    async def main():
        with Shouting(type=socket.SOCK_DGRAM) as sock, plain_socket() as peer:
            sock.bind(("127.0.0.1", 0))
            async with endpoint(Echo, sock=sock) as protocol:
                peer.sendto(b"x", name_of(protocol))
                assert await receive(peer, 1) == [b"<X>"]

    run(main())
