"""Peers that do TLS badly: in pieces, with nonsense, by a reset or by silence at each of its steps."""

import asyncio
import contextlib
import random
import socket
import ssl
import struct

import pytest

from tests.support import settle, tcp_pair

from .protocols import Echo, Recorder, drop, read_some
from .tls import NAME, Peer, client_context, only, send_all, server_context, with_tls_peer

RESET = struct.pack("ii", 1, 0)
BOTH = pytest.mark.parametrize("server_side", [True, False], ids=["server", "client"])
VERSIONS = pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])


def reset(sock):
    """End a connection as a peer that has crashed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


# ---- In pieces


@pytest.mark.parametrize("server_side", [True, False])
def test_byte_by_byte(run, server_side):
    """Handshake and records, each byte in a turn of its own."""

    async def main():
        loop = asyncio.get_running_loop()
        mine, other = tcp_pair()
        with other:
            other.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            how = {"piece": 1, "pause": 1}
            if server_side:
                peer = Peer(other, client_context(), server_hostname=NAME)
                opening = loop.connect_accepted_socket(Echo, mine, ssl=server_context())
            else:
                peer = Peer(other, server_context(), server_side=True)
                opening = loop.create_connection(Echo, sock=mine, ssl=client_context(), server_hostname=NAME)
            (_, echo), _ = await asyncio.gather(opening, peer.do(peer.tls.do_handshake, **how))
            await peer.write(b"to be or not to be", **how)
            await peer.write(b", that is", **how)
            answer = await peer.read_exactly(27)
            await drop(echo)
            return answer

    assert run(main()) == b"to be or not to be, that is"


@BOTH
def test_records_cut_at_each_byte(run, server_side):
    """Two packets for each message, cut at all places in turn."""

    async def main():
        async with with_tls_peer(server_side=server_side) as (protocol, peer):
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            cut, sent = 1, b""
            while True:
                piece = b"%d." % cut
                peer.tls.write(piece)
                peer.tls.write(b"|")
                packet = peer.outgoing.read()
                sent += piece + b"|"
                await send_all(peer.sock, packet[:cut])
                await settle(2)
                await send_all(peer.sock, packet[cut:])
                assert await protocol.wait_for_data(len(sent)) == sent
                cut += 1
                if cut >= len(packet):
                    return cut

    assert run(main()) > 40


def random_cuts(chance, data):
    while data:
        size = chance.choice([1, 2, 4, 5, 6, 100, 16_000, 17_000, 100_000])
        yield data[:size]
        data = data[size:]


@BOTH
@pytest.mark.parametrize("seed", range(5))
def test_cut_at_random(run, seed, server_side):
    """Handshake, much data both ways and the end, in packets of all sizes."""

    async def main():
        chance = random.Random(seed)
        async with with_tls_peer(Echo, server_side=server_side) as (echo, peer):
            sent = b""
            for _ in range(12):
                data = chance.randbytes(chance.choice([1, 300, 16_384, 16_385, 90_000]))
                peer.tls.write(data) if len(data) <= 16_384 else [
                    peer.tls.write(data[i : i + 5000]) for i in range(0, len(data), 5000)
                ]
                for piece in random_cuts(chance, peer.outgoing.read()):
                    await send_all(peer.sock, piece)
                    await settle(chance.randrange(3))
                sent += data
                assert await peer.read_exactly(len(data)) == data
            await peer.do(peer.tls.unwrap, piece=1, pause=1)
            await asyncio.wait_for(echo.lost, 5)
            return echo.data == sent, echo.calls

    assert run(main()) == (True, ["made", "eof", ("lost", None)])


# ---- Nonsense


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(70_000)]
)
def test_nonsense_from_a_client(loop, run, data):
    async def main():
        mine, other = tcp_pair()
        with other:
            await send_all(other, data[:60_000])
            with pytest.raises(ssl.SSLError) as caught:
                await asyncio.wait_for(loop.connect_accepted_socket(Recorder, mine, ssl=server_context()), 5)
            await settle()
            return caught.value.library

    assert run(main()) == "SSL"


def test_nonsense_from_a_server(loop, run):
    async def main():
        mine, other = tcp_pair()
        with other:
            await send_all(other, b"220 mail.example.org\r\n")
            with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
                await loop.create_connection(Recorder, sock=mine, ssl=client_context(), server_hostname=NAME)
            await settle()

    run(main())


# From OpenSSL 3.2 on; an interpreter that was built with an older one has no name for it.
NEWER_REASON = "RECORD_LAYER_FAILURE" if ssl._OPENSSL_API_VERSION >= (3, 2) else None


def test_nonsense_later(run):
    """A record that is none: the connection is lost with an SSLError."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            await send_all(peer.sock, b"\x17\x03\x03\x00\x20" + bytes(32))
            error = await asyncio.wait_for(protocol.lost, 5)
            return type(error), error.library, error.reason

    kind, library, reason = run(main())
    assert (kind, library) == (ssl.SSLError, "SSL")
    assert reason in ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "BAD_RECORD_TYPE", NEWER_REASON)


@pytest.mark.parametrize(
    "record",
    [
        b"\x17\x03\x03\x48\x01" + bytes(0x4801),
        b"\x17\x03\x03\xff\xff" + bytes(65_535),
        b"\x16\x03\x03\x00\x04" + bytes(4),
        b"\x15\x03\x03\x00\x00",
        b"\x00" * 50_000,
    ],
    ids=["too large", "largest", "handshake", "empty alert", "zeros"],
)
@BOTH
def test_records_that_must_not_be(run, record, server_side):
    """After good ones, which are delivered."""

    async def main():
        async with with_tls_peer(server_side=server_side) as (protocol, peer):
            await peer.write(b"good")
            await protocol.wait_for_data(4)
            with contextlib.suppress(ConnectionError):
                await send_all(peer.sock, record)
            error = await asyncio.wait_for(protocol.lost, 5)
            return bytes(protocol.data), protocol.calls, error

    data, calls, error = run(main())
    assert (data, calls) == (b"good", ["made", ("lost", error)])
    assert type(error) is ssl.SSLError and error.library == "SSL"


@BOTH
@pytest.mark.parametrize("seed", range(10))
def test_a_bit_that_flips_in_the_handshake(loop, run, seed, server_side):
    """Somewhere in what the peer sends first: an error for whoever waits, and no other."""

    async def main():
        chance = random.Random(seed)
        mine, other = tcp_pair()
        with other:
            opening, peer = begin(loop, mine, other, server_side, ssl_handshake_timeout=0.2)
            if server_side:
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
            else:
                peer.incoming.write(await read_some(other))
                with contextlib.suppress(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
            packet = bytearray(peer.outgoing.read())
            packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
            await send_all(other, packet)
            with contextlib.suppress(EOFError, OSError):
                await peer.do(peer.tls.do_handshake)
            with contextlib.suppress(OSError):
                await peer.do(peer.tls.unwrap)
            other.close()
            with contextlib.suppress(OSError):
                _, protocol = await asyncio.wait_for(opening, 5)
                # A bit without a meaning.
                await asyncio.wait_for(protocol.lost, 5)
            await settle()
            return opening.done()

    assert run(main()) is True


# ---- A reset, an end or silence


def begin(loop, mine, other, server_side, context=None, **options):
    """Our side of a handshake, as a task, and the peer that is to go on with it."""
    if server_side:
        peer = Peer(other, context or client_context(), server_hostname=NAME)
        opening = loop.connect_accepted_socket(Recorder, mine, ssl=server_context(), **options)
    else:
        peer = Peer(other, context or server_context(), server_side=True)
        opening = loop.create_connection(
            Recorder, sock=mine, ssl=client_context(), server_hostname=NAME, **options
        )
    return asyncio.ensure_future(opening), peer


@pytest.mark.parametrize("how", ["reset", "end", "silence"])
@pytest.mark.parametrize("part", [1, 5, 60, None])
def test_half_a_handshake(loop, run, how, part):
    """Some of the first message, or all of it, and then nothing good."""
    expected = ConnectionAbortedError if how == "silence" else ConnectionResetError

    async def main():
        mine, other = tcp_pair()
        with other:
            peer = Peer(other, client_context(), server_hostname=NAME)
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            await send_all(other, peer.outgoing.read()[:part])
            opening = asyncio.ensure_future(
                loop.connect_accepted_socket(
                    Recorder,
                    mine,
                    ssl=server_context(),
                    ssl_handshake_timeout=0.05 if how == "silence" else 9,
                )
            )
            await asyncio.sleep(0.005)
            if how == "reset":
                other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                other.close()
            elif how == "end":
                other.shutdown(socket.SHUT_WR)
            with pytest.raises(expected):
                await asyncio.wait_for(opening, 5)
            await settle()

    run(main())


@VERSIONS
@BOTH
@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("flights", [0, 1, 2, 3])
def test_a_handshake_that_ends_early(loop, run, version, server_side, how, flights):
    """After so many flights of the peer's own; with all of them sent it is a connection that ends."""

    async def main():
        mine, other = tcp_pair()
        with other:
            context = only(version, client_context() if server_side else server_context())
            opening, peer = begin(loop, mine, other, server_side, context)
            for flight in range(flights):
                if flight or not server_side:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            peer.incoming.write(await read_some(other))
                with contextlib.suppress(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                await peer.flush()
            await asyncio.sleep(0.01)
            if how == "reset":
                reset(other)
            else:
                other.shutdown(socket.SHUT_WR)
            try:
                _, protocol = await asyncio.wait_for(opening, 5)
            except ConnectionResetError:
                await settle()
                return "not made", None
            error = await asyncio.wait_for(protocol.lost, 5)
            return protocol.calls[0], error

    told, error = run(main())
    if told == "made":
        assert flights >= 1
        assert isinstance(error, ConnectionResetError) if how == "reset" else error is None
    else:
        assert flights < 3


STEPS = {
    "at once": lambda peer: None,
    "with data": lambda peer: peer.write(b"data"),
    "goodbye": lambda peer: goodbye(peer),
    "half a goodbye": lambda peer: goodbye(peer, 10),
    "goodbye and data": lambda peer: goodbye(peer, data=b"behind it"),
}


async def goodbye(peer, size=None, data=b""):
    """Send a close_notify, or a part of it, and wait for no answer."""
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.tls.unwrap()
    await send_all(peer.sock, peer.outgoing.read()[:size] + data)


@pytest.mark.parametrize("how", ["reset", "end"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("ours", ["none", "closing", "closing with data"])
def test_an_end_at_each_step_of_the_shutdown(run, how, step, ours):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            if ours == "closing with data":
                protocol.transport.write(bytes(3_000_000))
            if ours != "none":
                protocol.transport.close()
            await (STEPS[step](peer) or settle())
            if how == "reset":
                reset(peer.sock)
            else:
                # Reads on until we have ended as well.
                peer.sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while await read_some(peer.sock):
                        pass
            error = await asyncio.wait_for(protocol.lost, 5)
            return protocol.calls, error

    calls, error = run(main())
    assert calls[0] == "made" and calls[-1] == ("lost", error)
    assert error is None or isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLError)


def test_a_thousand_handshakes_that_stall(loop, run, many_descriptors):
    """Nobody goes on with them: others make progress meanwhile, and each ends by its time-out."""
    count = 1000
    beginnings = client_context().wrap_bio(ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        beginnings.do_handshake()
    hello = outgoing.read()

    async def stalled_one(address, part):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, hello[:part])
        return sock

    async def ended(sock):
        """How long it took the server to end it; it may have answered the beginning before."""
        with sock, contextlib.suppress(ConnectionResetError):
            while await loop.sock_recv(sock, 100_000):
                pass
        return loop.time()

    async def main():
        server = await loop.create_server(
            Echo, "127.0.0.1", 0, ssl=server_context(), backlog=2000, ssl_handshake_timeout=2
        )
        address = server.sockets[0].getsockname()
        options = {"ssl": client_context(), "server_hostname": NAME}
        _, before = await loop.create_connection(Recorder, *address, **options)
        begun = loop.time()
        parts = [0, 1, 5, len(hello) - 1, len(hello)]
        stalled = [await stalled_one(address, parts[i % 5]) for i in range(count)]
        _, later = await loop.create_connection(Recorder, *address, **options)
        for i in range(20):
            for client in (before, later):
                client.transport.write(b"%02d" % i)
                await client.wait_for_data(2 * (i + 1))
        ends = await asyncio.gather(*(ended(sock) for sock in stalled))
        for client in (before, later):
            client.transport.close()
            await client.lost
        server.close()
        await server.wait_closed()
        await settle()
        return min(ends) - begun, len(ends)

    earliest, all_of_them = run(asyncio.wait_for(main(), 60))
    assert earliest >= 1.9
    assert all_of_them == count
