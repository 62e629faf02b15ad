"""What happens to a TLS connection while much that was written to it waits for the peer to read."""

import asyncio
import contextlib
import random
import socket
import ssl

import pytest

from tests.support import PATIENCE, settle, wait_until

from .openssl import update_keys
from .tls import client_context, only, server_context, with_tls_peer

SIZE = 3_000_000
DATA = random.Random(7).randbytes(SIZE)

VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
SIDES = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


@contextlib.asynccontextmanager
async def with_peer(version="TLSv1_3", server_side=True):
    """As with_tls_peer; the socket of the end under test has little memory."""
    context = only(version, server_context() if server_side else client_context())
    async with with_tls_peer(server_side=server_side, context=context) as (protocol, peer):
        sock = protocol.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
        yield protocol, peer


@VERSIONS
@SIDES
@pytest.mark.parametrize("reading", [True, False], ids=["reading", "paused"])
def test_closed(run, version, server_side, reading):
    """All of it comes, and close_notify behind it."""

    async def main():
        async with with_peer(version, server_side) as (protocol, peer):
            if not reading:
                protocol.transport.pause_reading()
            for i in range(0, SIZE, 500_000):
                protocol.transport.write(DATA[i : i + 500_000])
            protocol.transport.write(b"end")
            protocol.transport.close()
            await settle()
            assert await peer.read_exactly(SIZE + 3) == DATA + b"end"
            with contextlib.suppress(ssl.SSLZeroReturnError):
                assert await peer.do(peer.tls.read, 1) == b""
            await peer.do(peer.tls.unwrap)
            return await asyncio.wait_for(protocol.lost, PATIENCE), protocol.calls

    error, calls = run(main())
    assert error is None and "pause" in calls


@VERSIONS
def test_the_peer_says_goodbye(run, version):
    """What was written before that comes all the same, and our own goodbye."""

    async def main():
        async with with_peer(version) as (protocol, peer):
            protocol.transport.write(DATA)
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.unwrap()
            await peer.flush()
            received = bytearray()
            while data := await peer.receive():
                received += data
            peer.incoming.write(bytes(received))
            peer.incoming.write_eof()
            return await asyncio.wait_for(protocol.lost, PATIENCE), len(received) > SIZE

    assert run(main()) == (None, True)


@SIDES
def test_new_keys(run, server_side):
    """They go between what was written before them and what comes after, each time."""

    async def main():
        async with with_peer(server_side=server_side) as (protocol, peer):
            expected = bytearray()
            for i in range(20):
                for piece in (DATA[:400_000], b"%d" % i, DATA[:1000]):
                    protocol.transport.write(piece)
                    expected += piece
                update_keys(peer.tls)
                await peer.write(b"%d," % i)
                await wait_until(lambda i=i: protocol.data.endswith(b"%d," % i))
                protocol.transport.write(b"first with new keys")
                expected += b"first with new keys"
                if i % 3 == 0:
                    assert await peer.read_exactly(len(expected)) == expected
                    expected.clear()
            protocol.transport.close()
            assert await peer.read_exactly(len(expected)) == expected
            with contextlib.suppress(ssl.SSLZeroReturnError):
                assert await peer.do(peer.tls.read, 1) == b""
            await peer.do(peer.tls.unwrap)
            return await asyncio.wait_for(protocol.lost, PATIENCE)

    assert run(main()) is None


@VERSIONS
def test_garbage_from_the_peer(run, version):
    """The end comes at once, and not behind what waits."""

    async def main():
        async with with_peer(version) as (protocol, peer):
            protocol.transport.write(DATA)
            await peer.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            return await asyncio.wait_for(protocol.lost, PATIENCE), protocol.transport.get_write_buffer_size()

    error, size = run(main())
    assert isinstance(error, ssl.SSLError) and size == 0


def test_marks(run):
    """The protocol is paused where the mark is reached, and resumed when the peer has read."""

    async def main():
        async with with_peer() as (protocol, peer):
            transport = protocol.transport
            below = transport._ssl_protocol._transport
            written = 0
            while below.get_write_buffer_size() <= below.get_write_buffer_limits()[1]:
                transport.write(bytes(10_000))
                written += 10_000
            before = transport.get_write_buffer_size()
            transport.set_write_buffer_limits(high=before + 100_000, low=1000)
            assert "pause" not in protocol.calls
            transport.write(bytes(99_000))
            assert "pause" not in protocol.calls
            transport.write(bytes(1_000))
            assert protocol.calls[-1] == "pause"
            transport.set_write_buffer_limits(high=1_000_000, low=1000)
            assert protocol.calls[-1] == "pause"
            await peer.read_exactly(written + 100_000)
            await wait_until(lambda: protocol.calls[-1] == "resume")
            return list(protocol.calls), transport.get_write_buffer_size()

    assert run(main()) == (["made", "pause", "resume"], 0)
