"""sendfile over TLS: files are read and written. The option for kernel TLS changes nothing of that."""

import asyncio
import contextlib
import random
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support import PATIENCE

from .openssl import update_keys
from .protocols import Echo, Recorder
from .tls import Peer, client_context, only, server_context, with_tls_peer

# ssl has the name from 3.12 on.
OP_ENABLE_KTLS = 1 << 3

SIZE = 3_000_000
DATA = random.Random(5).randbytes(SIZE)

VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
SIDES = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


@contextlib.asynccontextmanager
async def with_peer(
    version: str = "TLSv1_3",
    server_side: bool = True,
    factory: Callable[[], Recorder] = Recorder,
    *,
    options: int = 0,
) -> AsyncIterator[tuple[Recorder, Peer]]:
    """As with_tls_peer; the socket of the end under test has little memory."""
    context = only(version, server_context() if server_side else client_context())
    context.options |= options
    async with with_tls_peer(factory, server_side=server_side, context=context) as (protocol, peer):
        sock = protocol.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
        yield protocol, peer


@pytest.fixture
def file():
    """A file with DATA."""
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        yield file


@VERSIONS
@SIDES
@pytest.mark.parametrize("options", [0, OP_ENABLE_KTLS], ids=["plain", "option"])
def test_between_what_is_written(run, loop, file, version, server_side, options):
    async def main():
        async with with_peer(version, server_side, Echo, options=options) as (echo, peer):
            for size in (1, 16384, 16385, 100_000):
                sending = asyncio.ensure_future(peer.write(DATA[:size]))
                assert await peer.read_exactly(size) == DATA[:size]
                await sending
            receiving = asyncio.ensure_future(peer.read_exactly(SIZE + 10))
            echo.transport.writelines([b"be", b"", bytearray(b"fore")])
            assert await loop.sendfile(echo.transport, file) == SIZE
            echo.transport.write(memoryview(b"then"))
            assert await receiving == b"before" + DATA + b"then"
            echo.transport.close()
            with contextlib.suppress(ssl.SSLZeroReturnError):
                assert await peer.do(peer.tls.read, 1) == b""
            await peer.do(peer.tls.unwrap)
            return await asyncio.wait_for(echo.lost, PATIENCE)

    assert run(main()) is None


@SIDES
@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, None, DATA),
        (1000, None, DATA[1000:]),
        (0, 10, DATA[:10]),
        (7, 1_000_000, DATA[7:1_000_007]),
        (SIZE - 5, 100, DATA[-5:]),
        (SIZE, None, b""),
    ],
)
def test_a_part_of_a_file(run, loop, file, server_side, offset, count, expected):
    async def main():
        async with with_peer(server_side=server_side) as (protocol, peer):
            total = len(expected) + 200_000
            receiving = asyncio.ensure_future(peer.read_exactly(total))
            protocol.transport.write(DATA[:100_000])
            sent = await loop.sendfile(protocol.transport, file, offset, count)
            protocol.transport.write(DATA[:100_000])
            received = await receiving
            assert received == DATA[:100_000] + expected + DATA[:100_000]
            return sent, file.tell()

    sent, position = run(main())
    assert sent == len(expected)
    assert position == offset + sent or not sent


def test_a_file_alone_arrives_whole(run, loop, file):
    """Nothing follows that would push the last record out."""

    async def main():
        async with with_peer() as (protocol, peer):
            for size in (1, 4096, 16384, 20_000, 1_000_001):
                file.seek(0)
                receiving = asyncio.ensure_future(peer.read_exactly(size))
                assert await loop.sendfile(protocol.transport, file, 0, size) == size
                assert await receiving == DATA[:size]

    run(main())


@pytest.mark.parametrize("how", ["abort", "cancel"])
def test_a_file_that_is_broken_off(run, loop, file, how):
    async def main():
        async with with_peer() as (protocol, peer):
            protocol.transport.set_write_buffer_limits(50_000)
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
            received = bytearray(await peer.read_exactly(1))
            if how == "cancel":
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                # Which may be reading the file yet.
                await loop.shutdown_default_executor()
                # The connection is whole: what comes next begins with a record of its own.
                protocol.transport.write(b"next")
                while not received.endswith(b"next"):
                    received += await peer.do(peer.tls.read, 100_000)
                assert DATA.startswith(received[:-4]) and protocol.transport.is_reading()
                return
            protocol.transport.abort()
            with pytest.raises(ConnectionError):
                await sending
            await asyncio.wait_for(protocol.lost, PATIENCE)

    run(main())


@SIDES
def test_new_keys_around_files(run, loop, file, server_side):
    async def main():
        async with with_peer(server_side=server_side) as (protocol, peer):
            for i in range(3):
                file.seek(0)
                sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file, 0, 1_000_000))
                update_keys(peer.tls)
                await peer.write(b"new")
                assert await peer.read_exactly(1_000_000) == DATA[:1_000_000]
                assert await sending == 1_000_000
                await protocol.wait_for_data(3 * i + 3)
                protocol.transport.write(b"after")
                assert await peer.read_exactly(5) == b"after"

    run(main())
