"""Much data over TLS, and flow control through both of its layers."""

import asyncio
import contextlib
import hashlib
import random
import socket
import ssl

import pytest

from tests.support import settle, tcp_pair, wait_until

from .protocols import Echo, Recorder
from .tls import NAME, Peer, client_context, server_context, tls_connected, with_tls_peer

SIZES = [1, 100, 16383, 16384, 16385, 100_000, 262_144, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_sizes_there_and_back(run, size):
    async def main():
        async with tls_connected(server=Echo) as (client, _):
            data = random.Random(size).randbytes(size)
            for _ in range(3):
                client.data.clear()
                client.transport.write(data)
                assert await client.wait_for_data(size) == data

    run(main())


def test_much_both_ways_at_once(run):
    async def main():
        async with tls_connected() as (client, server):
            data = random.Random(1).randbytes(10_000_000)
            for end in (client, server):
                for i in range(0, len(data), 330_000):
                    end.transport.write(data[i : i + 330_000])
            sums = [hashlib.sha256(await end.wait_for_data(len(data))).digest() for end in (client, server)]
            return sums == [hashlib.sha256(data).digest()] * 2

    assert run(main()) is True


def test_many_small_writes(run):
    async def main():
        async with tls_connected() as (client, server):
            pieces = [b"%d," % i for i in range(5000)]
            for piece in pieces[:2500]:
                client.transport.write(piece)
            for i in range(2500, 5000, 50):
                client.transport.writelines(pieces[i : i + 50])
                await asyncio.sleep(0)
            expected = b"".join(pieces)
            return await server.wait_for_data(len(expected)) == expected

    assert run(main()) is True


def test_records_of_all_kinds_of_bytes(run):
    """What the caller changes after write() is sent as it was."""

    async def main():
        async with tls_connected() as (client, server):
            changing = bytearray(b"a" * 100_000)
            client.transport.write(changing)
            changing[:] = b"b" * 100_000
            client.transport.write(memoryview(changing)[:10])
            client.transport.write(b"")
            client.transport.writelines([b"", memoryview(b"end")])
            data = await server.wait_for_data(100_013)
            return data == b"a" * 100_000 + b"b" * 10 + b"end"

    assert run(main()) is True


@pytest.mark.parametrize("data", ["text", 5, None])
def test_what_is_no_bytes(run, data):
    async def main():
        async with tls_connected() as (client, _):
            with pytest.raises(TypeError, match="data: expecting a bytes-like instance, got"):
                client.transport.write(data)

    run(main())


def test_writing_is_paused_and_resumed(run):
    """A peer that does not read: what we keep for it is bounded, if the protocol heeds the pause."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            transport, written = protocol.transport, 0
            while "pause" not in protocol.calls:
                transport.write(bytes(50_000))
                written += 50_000
                assert written < 50_000_000
            assert transport.get_write_buffer_size() < 1_000_000
            await settle()
            assert protocol.calls == ["made", "pause"]
            assert await peer.read_exactly(written) == bytes(written)
            await wait_until(lambda: protocol.calls == ["made", "pause", "resume"])
            return transport.get_write_buffer_size()

    assert run(main()) <= 131_072


def test_write_limits(run):
    async def main():
        async with tls_connected() as (client, _):
            transport = client.transport
            assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
            transport.set_write_buffer_limits(high=1000)
            assert transport.get_write_buffer_limits() == (250, 1000)
            with pytest.raises(ValueError, match=r"high \(1\) must be >= low \(2\) must be >= 0"):
                transport.set_write_buffer_limits(high=1, low=2)
            assert transport.get_read_buffer_limits() == (64 * 1024, 256 * 1024)
            assert transport.get_read_buffer_size() == 0

    run(main())


def test_paused_the_kernel_is_read_no_further(run):
    """While the protocol does not read, neither do we beyond a bound, and the peer has to wait."""

    async def main():
        async with tls_connected() as (client, server):
            server.transport.pause_reading()
            sent = 0
            while client.transport.get_write_buffer_size() < 4_000_000:
                client.transport.write(bytes(100_000))
                sent += 100_000
            await asyncio.sleep(0.02)
            assert server.data == b""
            assert server.transport.get_read_buffer_size() <= 600_000
            server.transport.resume_reading()
            await server.wait_for_data(sent)
            return len(server.data) == sent

    assert run(main()) is True


class OneAtATime(Recorder):
    """Pauses after each piece."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(0.0001, self.transport.resume_reading)


def test_paused_in_data_received(run):
    async def main():
        async with tls_connected(server=OneAtATime) as (client, server):
            data = random.Random(2).randbytes(3_000_000)
            client.transport.write(data)
            return await server.wait_for_data(len(data)) == data

    assert run(main()) is True


class Keeps(Recorder):
    """Keeps the objects that it gets: they must not change."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def data_received(self, data):
        self.kept.append(data)
        super().data_received(data)


def test_objects_stay_what_they_are(run):
    async def main():
        async with tls_connected(server=Keeps) as (client, server):
            data = random.Random(3).randbytes(2_000_000)
            for i in range(0, len(data), 7000):
                client.transport.write(data[i : i + 7000])
                if not i % 5:
                    await asyncio.sleep(0)
            await server.wait_for_data(len(data))
            return b"".join(server.kept) == data

    assert run(main()) is True


class Buffered(Recorder, asyncio.BufferedProtocol):
    """Has a buffer filled."""

    def __init__(self, size):
        super().__init__()
        self.buffer = memoryview(bytearray(size))

    def get_buffer(self, size_hint):
        return self.buffer

    def buffer_updated(self, size):
        self.data += self.buffer[:size]


@pytest.mark.parametrize("size", [1, 7, 1000, 16384, 100_000])
def test_into_buffers(run, size):
    async def main():
        async with tls_connected(server=lambda: Buffered(size)) as (client, server):
            data = random.Random(4).randbytes(min(1_000_000, 500 * size))
            client.transport.write(data)
            assert await server.wait_for_data(len(data)) == data
            client.transport.close()
            await asyncio.wait_for(server.lost, 5)
            return server.calls

    assert run(main()) == ["made", "eof", ("lost", None)]


class BufferedInSteps(Buffered):
    """Pauses whenever its buffer was filled, and notes what comes in the pauses."""

    def __init__(self):
        super().__init__(5000)
        self.in_pauses = 0

    def buffer_updated(self, size):
        super().buffer_updated(size)
        self.in_pauses += not self.transport.is_reading()
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(0.0001, self.transport.resume_reading)


def test_paused_with_records_decrypted_in_part(run):
    """A buffer that is smaller than a record: what is left of it waits as well."""

    async def main():
        async with with_tls_peer(BufferedInSteps) as (protocol, peer):
            data = random.Random(5).randbytes(16_000)
            for _ in range(4):
                peer.tls.write(data)
            await peer.flush()
            assert await protocol.wait_for_data(4 * len(data)) == 4 * data
            return protocol.in_pauses

    assert run(main()) == 0


def test_one_that_pauses_for_good(run):
    """Not a byte comes until it resumes, though all is there, and the end comes after it."""

    async def main():
        async with with_tls_peer(BufferedInSteps) as (protocol, peer):
            protocol.transport.pause_reading()
            peer.tls.write(b"x" * 12_000)
            await peer.flush()
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.tls.unwrap()
            await peer.flush()
            await asyncio.sleep(0.01)
            assert protocol.data == b"" and protocol.calls == ["made"]
            protocol.transport.resume_reading()
            assert len(await protocol.wait_for_data(12_000)) == 12_000
            return await asyncio.wait_for(protocol.lost, 5), protocol.calls

    assert run(main()) == (None, ["made", "eof", ("lost", None)])


def test_what_waits_in_all_layers(run):
    """For a peer that does not read: the engine, the transport's own queue and the one below are bounded."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            transport = protocol.transport
            below = transport._ssl_protocol._transport
            written = 0
            while "pause" not in protocol.calls:
                transport.write(bytes(30_000))
                written += 30_000
            assert transport.get_write_buffer_limits()[1] <= transport.get_write_buffer_size() <= 600_000
            assert below.get_write_buffer_size() <= 600_000
            unsent = transport.get_write_buffer_size() + below.get_write_buffer_size()
            assert unsent < written
            assert await peer.read_exactly(written) == bytes(written)
            await wait_until(lambda: "resume" in protocol.calls)
            assert transport.get_write_buffer_size() <= transport.get_write_buffer_limits()[0]
            await wait_until(lambda: below.get_write_buffer_size() == 0)
            return list(protocol.calls)

    assert run(main()) == ["made", "pause", "resume"]


def test_streams_wait_for_a_peer_that_does_not_read(loop, run):
    """drain() does, and what is queued meanwhile stays within the marks."""

    async def main():
        mine, other = tcp_pair()
        with other:
            peer = Peer(other, server_context(), server_side=True)
            (reader, writer), _ = await asyncio.gather(
                asyncio.open_connection(sock=mine, ssl=client_context(), server_hostname=NAME),
                peer.do(peer.tls.do_handshake),
            )
            sent = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    while True:
                        writer.write(bytes(20_000))
                        sent += 20_000
                        await writer.drain()
            assert writer.transport.get_write_buffer_size() < 700_000
            draining = asyncio.ensure_future(writer.drain())
            assert await peer.read_exactly(sent) == bytes(sent)
            await asyncio.wait_for(draining, 5)
            writer.close()
            with contextlib.suppress(ssl.SSLZeroReturnError):
                await peer.do(lambda: peer.tls.read(1) or peer.tls.unwrap())
            other.close()
            await asyncio.wait_for(writer.wait_closed(), 5)
            assert reader.at_eof()

    run(main())


@pytest.mark.parametrize("many", [1, 3000])
def test_much_at_once_behind_what_waits(run, many):
    """One large object or a great many small ones, while the transport below is full."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            before = 0
            while "pause" not in protocol.calls:
                protocol.transport.write(bytes(50_000))
                before += 50_000
            data = random.Random(6).randbytes(6_000_000)
            step = len(data) // many
            protocol.transport.writelines(data[i : i + step] for i in range(0, len(data), step))
            assert protocol.transport.get_write_buffer_size() > len(data)
            found = await peer.read_exactly(before + len(data))
            return found[before:] == data

    assert run(main()) is True


def test_small_things_to_write(run, reports):
    """What is empty is nothing; what is no bytes ends the connection with the ssl module's TypeError."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            transport = protocol.transport
            transport.write(memoryview(b""))
            transport.writelines([])
            transport.writelines([bytearray(), b"a", memoryview(b"b"), bytearray(b"c")])
            transport.writelines(iter([b"d"]))
            assert await peer.read_exactly(4) == b"abcd"
            transport.writelines(["text"])
            return await asyncio.wait_for(protocol.lost, 5)

    error = run(main())
    report = reports.take_one()
    assert (report["exception"], report["message"]) == (error, "Fatal error on SSL protocol")
    assert str(error) == "a bytes-like object is required, not 'str'"
    error.__traceback__ = None


def test_bursts_in_one_turn_stay_in_order(run):
    """Writes in the turns of many others, which may be sent together at the end of a turn."""

    async def main():
        async with tls_connected(server=Echo) as (client, _):
            sent = bytearray()
            for i in range(300):
                for j in range(i % 7):
                    piece = b"%d.%d " % (i, j)
                    client.transport.write(piece)
                    sent += piece
                await asyncio.sleep(0)
            return await client.wait_for_data(len(sent)) == sent

    assert run(main()) is True


def test_the_records_of_a_turn_leave_together(run, impl):
    """At its end, where other callbacks wait for their turn."""
    if not impl.is_cloop:
        pytest.skip("asyncio sends each write by itself")

    async def main():
        async with with_tls_peer() as (protocol, peer):
            await settle()
            # Session tickets.
            with contextlib.suppress(BlockingIOError):
                peer.incoming.write(peer.sock.recv(100_000))
            found = []

            def look():
                try:
                    found.append(len(peer.sock.recv(100_000, socket.MSG_PEEK)))
                except BlockingIOError:
                    found.append(0)

            def write():
                for i in range(10):
                    protocol.transport.write(b"%d" % i)
                protocol.transport.writelines([b"ten", b"eleven"])
                look()

            loop = asyncio.get_running_loop()
            loop.call_soon(write)
            loop.call_soon(look)
            await settle()
            look()
            assert await peer.read_exactly(19) == b"0123456789teneleven"
            return found

    within, after, at_last = run(main())
    assert (within, after) == (0, 0) and at_last > 19
