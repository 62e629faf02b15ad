"""How TLS connections end, from either side and from within callbacks."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import weakref
from asyncio.sslproto import SSLProtocol

import pytest

from tests.support import settle, wait_until

from .protocols import Echo, Recorder, read_some
from .streams import finish
from .tls import NAME, Peer, client_context, server_context, tls_connected, with_tls_peer

RESET = struct.pack("ii", 1, 0)


def test_the_peer_says_goodbye(run):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            await peer.write(b"last words")
            await peer.do(peer.tls.unwrap)
            error = await asyncio.wait_for(protocol.lost, 5)
            return bytes(protocol.data), protocol.calls, error

    assert run(main()) == (b"last words", ["made", "eof", ("lost", None)], None)


def test_we_say_goodbye(run):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            protocol.transport.write(b"last words")
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert await peer.read_exactly(10) == b"last words"
            with contextlib.suppress(ssl.SSLZeroReturnError):
                assert await peer.do(peer.tls.read, 1) == b""
            await peer.do(peer.tls.unwrap)
            return await asyncio.wait_for(protocol.lost, 5)

    assert run(main()) is None


def test_nobody_answers_our_goodbye(run):
    async def main():
        async with with_tls_peer(ssl_shutdown_timeout=0.02) as (protocol, _):
            protocol.transport.close()
            return await asyncio.wait_for(protocol.lost, 5)

    error = run(main())
    assert type(error) is TimeoutError and str(error) == "SSL shutdown timed out"


# From 3.14.10 on the time that a shutdown may take goes on until the connection is lost.
TIMED_TO_THE_END = "_check_shutdown_timeout" in SSLProtocol._on_shutdown_complete.__code__.co_names


@pytest.mark.parametrize("who", ["both", "peer"])
def test_a_peer_that_says_goodbye_and_does_not_read(run, who):
    """What was written still waits in the transport below: for ever, or for the time of a shutdown."""

    async def main():
        async with with_tls_peer(ssl_shutdown_timeout=0.1) as (protocol, peer):
            while "pause" not in protocol.calls:
                protocol.transport.write(bytes(50_000))
            if who == "both":
                protocol.transport.close()
            with contextlib.suppress(ssl.SSLWantReadError):
                peer.tls.unwrap()
            await peer.flush()
            try:
                return await asyncio.wait_for(asyncio.shield(protocol.lost), 0.4)
            except TimeoutError:
                return "waits"

    error = run(main())
    if TIMED_TO_THE_END:
        assert type(error) is TimeoutError and str(error) == "SSL shutdown timed out"
    else:
        assert error == "waits"


def test_is_closing_while_the_connection_below_is(run):
    """That counts too from the versions on where asyncio asks it."""

    async def main():
        async with with_tls_peer() as (protocol, _):
            below = protocol.transport._ssl_protocol._transport
            before = protocol.transport.is_closing()
            below.close()
            after = protocol.transport.is_closing()
            await asyncio.wait_for(protocol.lost, 5)
            return before, after, protocol.transport.is_closing()

    assert run(main()) == (False, hasattr(SSLProtocol, "_is_transport_closing"), True)


@pytest.mark.parametrize("cut", [0, 3, 20])
def test_a_truncated_stream(run, cut):
    """The end of the connection without a goodbye, between records or within one."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            await peer.write(b"whole")
            peer.tls.write(b"only a part of this")
            peer.sock.send(peer.outgoing.read()[:cut])
            peer.sock.shutdown(socket.SHUT_WR)
            error = await asyncio.wait_for(protocol.lost, 5)
            return bytes(protocol.data), protocol.calls, error

    assert run(main()) == (b"whole", ["made", "eof", ("lost", None)], None)


def test_a_reset(run):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.sock.close()
            return await asyncio.wait_for(protocol.lost, 5)

    assert isinstance(run(main()), ConnectionResetError)


def test_a_reset_during_the_goodbye(run):
    async def main():
        async with with_tls_peer() as (protocol, peer):
            protocol.transport.close()
            await settle()
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.sock.close()
            return await asyncio.wait_for(protocol.lost, 5)

    assert isinstance(run(main()), ConnectionResetError)


def test_abort(run):
    """Nothing more is sent, and nobody waits."""

    async def main():
        async with with_tls_peer() as (protocol, peer):
            protocol.transport.abort()
            assert protocol.transport.is_closing()
            error = await asyncio.wait_for(protocol.lost, 5)
            return error, await read_some(peer.sock)

    error, rest = run(main())
    assert error is None
    assert rest == b"" or rest.startswith(b"\x17\x03\x03")  # session tickets


def test_closed_twice(run):
    async def main():
        async with tls_connected() as (client, server):
            client.transport.close()
            client.transport.close()
            await client.lost
            client.transport.close()
            client.transport.abort()
            await server.lost

    run(main())


# ---- From within callbacks


class Does(Recorder):
    """Does something with its transport when data comes."""

    def __init__(self, action):
        super().__init__()
        self.action = action

    def data_received(self, data):
        super().data_received(data)
        self.action(self)


def close(protocol):
    protocol.transport.close()


def abort(protocol):
    protocol.transport.abort()


def write_and_abort(protocol):
    protocol.transport.write(bytes(300_000))
    protocol.transport.abort()
    protocol.transport.write(b"more")


def write_and_close(protocol):
    protocol.transport.writelines([b"x" * 100, bytearray(20_000), memoryview(b"y" * 70_000)])
    protocol.transport.close()


def close_twice(protocol):
    protocol.transport.close()
    protocol.transport.close()


@pytest.mark.parametrize("action", [close, abort, write_and_abort, write_and_close, close_twice])
@pytest.mark.parametrize("records", [1, 30])
def test_in_data_received(run, action, records):
    async def main():
        async with with_tls_peer(lambda: Does(action)) as (protocol, peer):
            for _ in range(records):
                peer.tls.write(bytes(1000))
            await peer.flush()
            with contextlib.suppress(OSError, EOFError):
                while await peer.do(peer.tls.read, 100_000):
                    pass
                await peer.do(peer.tls.unwrap)
            peer.sock.close()
            error = await asyncio.wait_for(protocol.lost, 5)
            return len(protocol.data), error

    size, error = run(main())
    assert 0 < size <= records * 1000
    assert error is None or isinstance(error, OSError)


@pytest.mark.parametrize("where", ["connection_made", "eof_received", "connection_lost"])
@pytest.mark.parametrize("action", [close, abort])
def test_in_other_callbacks(run, where, action):
    def call(self, *arguments):
        getattr(Recorder, where)(self, *arguments)
        action(self)

    protocol_class = type("Calls", (Recorder,), {where: call})

    async def main():
        async with with_tls_peer(protocol_class) as (protocol, peer):
            with contextlib.suppress(OSError, EOFError):
                await peer.do(peer.tls.unwrap)
            peer.sock.close()
            await asyncio.wait_for(protocol.lost, 5)
            await settle()
            return protocol.calls[0], protocol.calls[-1][0]

    assert run(main()) == ("made", "lost")


def test_another_protocol_from_within(run):
    async def main():
        second = None

        def change(protocol):
            nonlocal second
            second = Echo()
            second.transport = protocol.transport
            protocol.transport.set_protocol(second)

        async with with_tls_peer(lambda: Does(change)) as (first, peer):
            await peer.write(b"one")
            await settle()
            await peer.write(b"two")
            assert await peer.read_exactly(3) == b"two"
            assert (first.data, second.data) == (b"one", b"two")
            second.transport.abort()
            await second.lost
            first.lost.set_result(None)

    run(main())


def test_errors_in_data_received(run, reports):
    def fail(protocol):
        raise ZeroDivisionError("of the protocol's")

    async def main():
        async with with_tls_peer(lambda: Does(fail)) as (protocol, peer):
            await peer.write(b"x")
            return await asyncio.wait_for(protocol.lost, 5)

    error = run(main())
    report = reports.take_one()
    assert type(error) is ZeroDivisionError
    assert (report["message"], report["exception"]) == ("Fatal error on SSL protocol", error)
    error.__traceback__ = None


IN_READING = "Fatal error on SSL protocol"
BELOW = "Fatal error: protocol.buffer_updated() call failed."
# What the exception handler is told of an exception of the protocol's, and whether the connection ends by it.
OUTCOMES = {
    "connection_made": (BELOW, True),
    "data_received": (IN_READING, True),
    "get_buffer": (IN_READING, True),
    "buffer_updated": (IN_READING, True),
    "eof_received": ("Error calling eof_received()", True),
    "pause_writing": ("protocol.pause_writing() failed", False),
    "resume_writing": ("protocol.resume_writing() failed", False),
}


class InABuffer(Recorder, asyncio.BufferedProtocol):
    """Has a buffer filled."""

    def get_buffer(self, size_hint):
        self.buffer = memoryview(bytearray(1000))
        return self.buffer

    def buffer_updated(self, size):
        self.data += self.buffer[:size]


@pytest.mark.parametrize("where", OUTCOMES)
@pytest.mark.parametrize("kind", [ZeroDivisionError, OSError, asyncio.CancelledError])
def test_errors_in_callbacks(run, impl, reports, where, kind):
    """Who is told of them, and how the connection ends."""
    message, ends = OUTCOMES[where]
    raised = kind("of the protocol's")

    def fail(self, *arguments):
        raise raised

    base = InABuffer if "buffer" in where else Recorder
    failing = type("Failing", (base,), {where: fail})

    async def main():
        made = []

        def factory():
            made.append(failing())
            return made[-1]

        try:
            async with with_tls_peer(factory) as (protocol, peer):
                protocol.transport.set_write_buffer_limits(high=1 << 17)
                while where.endswith("_writing") and not protocol.transport._protocol_paused:
                    protocol.transport.write(bytes(50_000))
                await peer.write(b"x")
                with contextlib.suppress(ssl.SSLWantReadError):
                    peer.tls.unwrap()
                with contextlib.suppress(OSError):
                    await peer.flush()
                    # All that is written before the end.
                    while await read_some(peer.sock):
                        pass
                return await asyncio.wait_for(protocol.lost, 5)
        except kind as error:
            # The handshake was over, but nobody got the connection.
            await settle()
            return error

    error = run(asyncio.wait_for(main(), 20))
    told = [(each["message"], each["exception"]) for each in reports.take()]
    assert told == expected_reports(impl, where, kind, message, raised)
    assert error is (raised if ends else None)
    raised.__traceback__ = None


def expected_reports(impl, where, kind, message, raised):
    """CancelledError is no Exception and passes on. asyncio takes an OSError for one of the connection's."""
    if where.endswith("_writing") or kind is ZeroDivisionError or (kind is OSError and impl.is_cloop):
        return [(message, raised)]
    if kind is asyncio.CancelledError and where != "eof_received":
        return [(BELOW, raised)]
    return []


def test_nothing_is_left(run):
    """A connection that is over goes, with its context."""

    async def main():
        context = server_context()
        async with with_tls_peer(context=context) as (protocol, _):
            seen = [weakref.ref(context), weakref.ref(protocol), weakref.ref(protocol.transport)]
        del context, protocol
        await settle()
        return seen

    seen = run(main())
    gc.collect()
    assert [each() for each in seen] == [None] * 3


def test_a_reader_that_is_read_while_a_record_is_refused(run, monkeypatch):
    """By a handler of signals, say: that finds what was there, and the next one nothing that is not."""
    parts = []
    plain_read = ssl.SSLObject.read

    async def main():
        loop = asyncio.get_running_loop()
        opened = loop.create_future()

        def take():
            call = reader.read(100)
            try:
                call.send(None)
            except StopIteration as stop:
                parts.append(stop.value)
            except OSError:
                # The connection is over.
                pass
            call.close()

        def read(self, *arguments):
            if not parts:
                take()
                loop.call_soon(take)
            return plain_read(self, *arguments)

        def connected(*streams):
            opened.set_result(streams)

        async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=server_context()) as server:
            with socket.create_connection(server.sockets[0].getsockname()) as sock:
                sock.setblocking(False)
                peer = Peer(sock, client_context(), server_hostname=NAME)
                await peer.do(peer.tls.do_handshake)
                reader, writer = await opened
                await peer.write(b"abc")
                await wait_until(lambda: len(reader._buffer) == 3)
                monkeypatch.setattr(ssl.SSLObject, "read", read)
                peer.tls.write(b"data")
                await peer.send(peer.outgoing.read() + b"\x17\x03\x03\x00\x40" + bytes(64))
                await wait_until(reader.exception)
            await finish(writer)

    run(main())
    assert parts[0] == b"abc"
    assert b"".join(parts) in (b"abc", b"abcdata")
