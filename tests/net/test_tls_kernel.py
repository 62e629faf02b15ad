"""TLS whose records the kernel makes: contexts with OP_ENABLE_KTLS, where the kernel has it and where not.

To the peer nothing differs, and to the application only that sendfile needs no fallback. asyncio, for which
the option is without effect, runs the same bodies.
"""

import asyncio
import contextlib
import random
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cloop.transports.tls_engine import describe_engine
from tests.support import PATIENCE, settle, tcp_pair, wait_until

from .openssl import update_keys
from .protocols import Echo, Recorder
from .tls import Peer, client_context, only, server_context, tls_connected, with_tls_peer

# ssl has the name from 3.12 on.
OP_ENABLE_KTLS = 1 << 3
TCP_ULP = 31
SOL_TLS, TLS_TX = 282, 1

SIZE = 3_000_000
DATA = random.Random(5).randbytes(SIZE)

VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
SIDES = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])


def why_not(version: str) -> str | None:
    """Why the kernel makes no records of this version of TLS."""
    if sys.platform != "linux":
        return "kernel TLS is Linux's here"
    if "called directly" not in describe_engine() or ssl.OPENSSL_VERSION_INFO < (3,):
        return "it takes OpenSSL 3 called directly"
    mine, other = tcp_pair()
    with mine, other:
        try:
            mine.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as exc:
            return f"the kernel has no kernel TLS ({exc.strerror})"
    if version == "TLSv1_3":
        if ssl.OPENSSL_VERSION_INFO < (3, 2):
            return "OpenSSL can't give the kernel new keys"
        if "TlsTxRekeyOk" not in Path("/proc/net/tls_stat").read_text():
            return "the kernel takes no new keys"
    return None


@pytest.fixture
def kernel(version):
    """Skips the test where the kernel makes no records of this version."""
    if reason := why_not(version):
        pytest.skip(reason)


@contextlib.asynccontextmanager
async def with_peer(
    version: str, server_side: bool = True, factory: Callable[[], Recorder] = Recorder, **options: object
) -> AsyncIterator[tuple[Recorder, Peer]]:
    """As with_tls_peer; the end under test has the option, and its socket little memory."""
    async with with_tls_peer(factory, **contexts(version, server_side), **options) as (protocol, peer):
        sock = protocol.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
        yield protocol, peer


def contexts(version: str, server_side: bool) -> dict[str, object]:
    """Options for with_tls_peer: a context with the option."""
    context = only(version, server_context() if server_side else client_context())
    context.options |= OP_ENABLE_KTLS
    if version == "TLSv1_2":
        context.options |= ssl.OP_NO_RENEGOTIATION
    return {"server_side": server_side, "context": context}


def kernel_encrypts(transport) -> bool:
    """Whether it has the keys of this connection."""
    with contextlib.suppress(OSError):
        return len(transport.get_extra_info("socket").getsockopt(SOL_TLS, TLS_TX, 4)) == 4
    return False


@pytest.fixture
def file():
    """A file with DATA."""
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        yield file


# ---- With or without such a kernel


@VERSIONS
@SIDES
def test_the_option_changes_nothing(run, loop, file, version, server_side):
    async def main():
        async with with_peer(version, server_side, Echo) as (echo, peer):
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


@VERSIONS
def test_a_connection_without_the_option(run, version):
    """The kernel makes no records of its own accord."""

    async def main():
        async with with_tls_peer(Echo, context=only(version, server_context())) as (echo, peer):
            await peer.write(b"hello")
            assert await peer.read_exactly(5) == b"hello"
            return kernel_encrypts(echo.transport)

    assert run(main()) is False


@pytest.mark.parametrize("server_side", [True, False])
def test_who_may_renegotiate_has_no_kernel_tls(run, server_side):
    """In TLS 1.2 the kernel can't change keys."""

    async def main():
        options = contexts("TLSv1_2", server_side)
        options["context"].options &= ~ssl.OP_NO_RENEGOTIATION
        options["context"].options |= 1 << 8 if server_side else 0
        async with with_tls_peer(Echo, **options) as (echo, _):
            return kernel_encrypts(echo.transport)

    assert run(main()) is False


# ---- With such a kernel


@VERSIONS
@SIDES
@pytest.mark.usefixtures("kernel")
def test_the_kernel_encrypts(run, impl, version, server_side):
    """cloop's connections; asyncio moves the bytes itself."""

    async def main():
        async with with_peer(version, server_side, Echo) as (echo, peer):
            await peer.write(b"hello")
            assert await peer.read_exactly(5) == b"hello"
            return kernel_encrypts(echo.transport)

    assert run(main()) is impl.is_cloop


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("version", ["TLSv1_2"])
@pytest.mark.parametrize(
    ("cipher", "known"),
    [("AES128-GCM", True), ("AES256-GCM", True), ("CHACHA20-POLY1305", True), ("AES128", False)],
)
def test_ciphers(run, impl, version, cipher, known):
    """Those that it does not know are OpenSSL's, as ever."""

    async def main():
        options = contexts(version, True)
        names = [each["name"] for each in options["context"].get_ciphers()]
        options["context"].set_ciphers(
            ":".join(name for name in names if cipher in name and ("GCM" in name) == ("GCM" in cipher))
        )
        async with with_tls_peer(Echo, **options) as (echo, peer):
            sending = asyncio.ensure_future(peer.write(DATA[:50_000]))
            assert await peer.read_exactly(50_000) == DATA[:50_000]
            await sending
            return kernel_encrypts(echo.transport)

    assert run(main()) is (known and impl.is_cloop)


@VERSIONS
@SIDES
@pytest.mark.usefixtures("kernel")
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
def test_sendfile_by_the_kernel(run, loop, impl, file, version, server_side, offset, count, expected):
    """In its place between what is written before and after, none of which hangs."""

    async def main():
        async with with_peer(version, server_side) as (protocol, peer):
            total = len(expected) + 200_000
            receiving = asyncio.ensure_future(peer.read_exactly(total))
            protocol.transport.write(DATA[:100_000])
            sent = await loop.sendfile(protocol.transport, file, offset, count, fallback=not impl.is_cloop)
            protocol.transport.write(DATA[:100_000])
            received = await receiving
            assert received == DATA[:100_000] + expected + DATA[:100_000]
            return sent, file.tell()

    sent, position = run(main())
    assert sent == len(expected)
    assert position == offset + sent or not sent


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_a_file_alone_arrives_whole(run, loop, file, version):
    """Nothing follows that would push the last record out."""

    async def main():
        async with with_peer(version) as (protocol, peer):
            for size in (1, 4096, 16384, 20_000, 1_000_001):
                receiving = asyncio.ensure_future(peer.read_exactly(size))
                assert await loop.sendfile(protocol.transport, file, 0, size) == size
                assert await receiving == DATA[:size]

    run(main())


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_what_is_written_while_a_file_goes(run, loop, impl, file, version):
    """It comes behind the file, and is counted until then."""
    if not impl.is_cloop:
        pytest.skip("asyncio's fallback mixes them")

    async def main():
        async with with_peer(version) as (protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file, fallback=False))
            first = await peer.read_exactly(1)
            assert not sending.done()
            protocol.transport.write(b"behind")
            protocol.transport.writelines([b"it", b"all"])
            assert protocol.transport.get_write_buffer_size() == 11
            with pytest.raises(RuntimeError, match="already set"):
                await loop.sendfile(protocol.transport, file, fallback=False)
            received = first + await peer.read_exactly(SIZE + 10)
            assert await sending == SIZE
            assert protocol.transport.get_write_buffer_size() == 0
            return received == DATA + b"behinditall"

    assert run(main()) is True


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_closed_while_a_file_goes(run, loop, file, version):
    """The file is cut off, and the peer is told that this is all."""

    async def main():
        async with with_peer(version) as (protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
            received = bytearray(await peer.read_exactly(1))
            protocol.transport.close()
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while data := await peer.do(peer.tls.read, 100_000):
                    received += data
            with pytest.raises(ConnectionError):
                await sending
            await peer.do(peer.tls.unwrap)
            assert DATA.startswith(received) and len(received) < SIZE
            return await asyncio.wait_for(protocol.lost, PATIENCE)

    assert run(main()) is None


@VERSIONS
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("how", ["abort", "reset", "cancel"])
def test_a_file_that_is_broken_off(run, loop, file, version, how):
    async def main():
        async with with_peer(version) as (protocol, peer):
            sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file))
            received = bytearray(await peer.read_exactly(1))
            if how == "cancel":
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                # The connection is whole: what comes next begins with a record of its own.
                protocol.transport.write(b"next")
                while not received.endswith(b"next"):
                    received += await peer.do(peer.tls.read, 100_000)
                assert DATA.startswith(received[:-4])
                return
            if how == "abort":
                protocol.transport.abort()
            else:
                peer.sock.close()
            with pytest.raises(ConnectionError):
                await sending
            await asyncio.wait_for(protocol.lost, PATIENCE)

    run(main())


@VERSIONS
@SIDES
@pytest.mark.usefixtures("kernel")
def test_closed_with_much_queued(run, version, server_side):
    """All of it comes, and close_notify behind it."""

    async def main():
        async with with_peer(version, server_side) as (protocol, peer):
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
@pytest.mark.usefixtures("kernel")
def test_the_peer_says_goodbye_while_much_is_queued(run, version):
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
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("version", ["TLSv1_3"])
def test_new_keys_while_much_is_queued(run, version, server_side):
    """They go between what was written before them and what comes after, each time."""

    async def main():
        async with with_peer(version, server_side) as (protocol, peer):
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


@SIDES
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("version", ["TLSv1_3"])
def test_new_keys_around_files(run, loop, file, version, server_side):
    async def main():
        async with with_peer(version, server_side) as (protocol, peer):
            for i in range(3):
                sending = asyncio.ensure_future(loop.sendfile(protocol.transport, file, 0, 1_000_000))
                update_keys(peer.tls)
                await peer.write(b"new")
                assert await peer.read_exactly(1_000_000) == DATA[:1_000_000]
                assert await sending == 1_000_000
                await protocol.wait_for_data(3 * i + 3)
                protocol.transport.write(b"after")
                assert await peer.read_exactly(5) == b"after"

    run(main())


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_sessions_are_resumed(run, version):
    """Tickets are records of another kind, which the kernel is told."""

    async def main():
        # The session belongs to this one.
        theirs = client_context()
        context = contexts(version, True)["context"]
        reused = []
        session = None
        for _ in range(2):
            async with with_tls_peer(Echo, session=session, peer_context=theirs, context=context) as (
                _,
                peer,
            ):
                await peer.write(b"hello")
                assert await peer.read_exactly(5) == b"hello"
                session = peer.tls.session
                reused.append(peer.tls.session_reused)
        return reused

    assert run(main()) == [False, True]


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_between_two_of_ours(run, version):
    """Both ends by the kernel, both ways at once."""

    async def main():
        ends = [contexts(version, side)["context"] for side in (False, True)]
        async with tls_connected(contexts=ends) as (client, server):
            for transport in (client.transport, server.transport):
                transport.write(DATA)
            assert await server.wait_for_data(SIZE) == DATA
            return await client.wait_for_data(SIZE) == DATA

    assert run(main()) is True


@VERSIONS
@pytest.mark.usefixtures("kernel")
def test_garbage_from_the_peer(run, reports, version):
    """An end as without the kernel."""

    async def main():
        async with with_peer(version) as (protocol, peer):
            protocol.transport.write(DATA)
            await peer.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            return await asyncio.wait_for(protocol.lost, PATIENCE)

    assert isinstance(run(main()), ssl.SSLError)


class Chatty(Recorder):
    """Writes as soon as it may."""

    def connection_made(self, transport):
        super().connection_made(transport)
        for _ in range(5):
            transport.write(b"welcome")


@VERSIONS
@SIDES
@pytest.mark.usefixtures("kernel")
def test_written_in_connection_made(run, version, server_side):
    async def main():
        async with with_peer(version, server_side, Chatty) as (_, peer):
            return await peer.read_exactly(35)

    assert run(main()) == b"welcome" * 5


def test_what_sendfile_asks_for_where_the_kernel_makes_no_records(run, impl):
    """asyncio's transports have no such method; ours has it on every connection, and does no harm."""
    if not impl.is_cloop:
        pytest.skip("asyncio sends no file over TLS itself")

    async def main():
        async with tls_connected(server=Echo) as (mine, _):
            transport = mine.transport
            assert await asyncio.wait_for(transport._make_empty_waiter(), PATIENCE) is None
            transport._reset_empty_waiter()
            transport.write(b"data")
            return await mine.wait_for_data(4)

    assert run(main()) == b"data"
