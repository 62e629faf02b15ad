"""TLS connections: who gets which protocol, who may read when, and how they end."""

import asyncio
import logging
import socket
import ssl
import struct

import pytest

from tests.support import PY312, settle, tcp_pair, wait_until

from .protocols import Echo, Recorder, Refusing, drop, read_some
from .tls import NAME, client_context, server_context, shake_hands, tls_connected

# Versions before forget what the StreamReader had read when TLS begins.
MOVES_READ_AHEAD = "_incoming" in asyncio.BaseEventLoop.start_tls.__code__.co_names

RESET = struct.pack("ii", 1, 0)


# ---- Who gets what


def test_there_and_back(run):
    async def main():
        async with tls_connected(server=Echo) as (client, server):
            data = bytes(range(256)) * 4000
            client.transport.write(data)
            client.transport.writelines([b"and ", b"more"])
            assert await client.wait_for_data(len(data) + 8) == data + b"and more"
            client.transport.close()
            return await client.lost, await server.lost, client.calls[0], server.calls[0]

    assert run(main()) == (None, None, "made", "made")


def test_what_it_tells(run):
    async def main():
        async with tls_connected() as (client, server):
            for end in (client, server):
                info = end.transport.get_extra_info
                assert isinstance(end.transport, asyncio.Transport)
                assert isinstance(end.transport, asyncio.sslproto._SSLProtocolTransport)
                assert type(info("ssl_object")) is ssl.SSLObject
                assert type(info("sslcontext")) is ssl.SSLContext
                assert info("cipher") == info("ssl_object").cipher()
                assert info("compression") is None
                assert type(info("socket")) is asyncio.trsock.TransportSocket
                assert end.transport.get_protocol() is end
                assert end.transport.can_write_eof() is False
                with pytest.raises(NotImplementedError):
                    end.transport.write_eof()
            names = client.transport.get_extra_info("peercert")["subjectAltName"]
            mine, its = client.transport.get_extra_info, server.transport.get_extra_info
            assert (mine("peername"), mine("sockname")) == (its("sockname"), its("peername"))
            return ("DNS", NAME) in names

    assert run(main()) is True


def test_the_protocol_of_an_accepted_connection(loop, run):
    """It is the one that the factory made, not one that stands between."""

    async def main():
        peer, mine = tcp_pair()
        made = []

        def factory():
            made.append(Echo())
            return made[-1]

        (transport, protocol), (_, client) = await asyncio.gather(
            loop.connect_accepted_socket(factory, mine, ssl=server_context()),
            loop.create_connection(Recorder, sock=peer, ssl=client_context(), server_hostname=NAME),
        )
        assert made == [protocol] and protocol.transport is transport
        client.transport.write(b"hello")
        assert await client.wait_for_data(5) == b"hello"
        await drop(client)
        await protocol.lost

    run(main())


def test_over_unix_sockets(loop, run, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        server = await loop.create_unix_server(Echo, path, ssl=server_context())
        _, client = await loop.create_unix_connection(
            Recorder, path, ssl=client_context(), server_hostname=NAME
        )
        client.transport.write(b"hello")
        assert await client.wait_for_data(5) == b"hello"
        client.transport.close()
        await client.lost
        server.close()
        await asyncio.wait_for(server.wait_closed(), 5)
        await asyncio.sleep(0.005)

    run(main())


# ---- Handshakes that fail


def test_a_name_that_the_certificate_has_not(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context())
        with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
            await loop.create_connection(
                Recorder,
                *server.sockets[0].getsockname(),
                ssl=client_context(),
                server_hostname="another.host",
            )
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.005)

    run(main())


@pytest.mark.parametrize("how", ["reset", "end", "nonsense"])
def test_clients_that_fail_are_not_reported(loop, run, how):
    """Everybody can do that to a server, which goes on; the fixture checks that nothing is reported."""

    async def main():
        server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        for _ in range(3):
            with socket.create_connection(address) as bad:
                await asyncio.sleep(0.002)
                if how == "reset":
                    bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                elif how == "nonsense":
                    bad.send(b"GET / HTTP/1.0\r\n\r\n")
                    await asyncio.sleep(0.002)
        _, good = await loop.create_connection(Recorder, *address, ssl=client_context(), server_hostname=NAME)
        good.transport.write(b"still there")
        assert await good.wait_for_data(11) == b"still there"
        good.transport.close()
        await good.lost
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.005)

    run(main())


def test_a_server_that_resets(loop, run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            task = asyncio.create_task(
                loop.create_connection(
                    Recorder, *listener.getsockname(), ssl=client_context(), server_hostname=NAME
                )
            )
            peer, _ = await loop.sock_accept(listener)
            await asyncio.sleep(0.002)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.close()
            with pytest.raises(ConnectionResetError):
                await task
            await asyncio.sleep(0.005)

    run(main())


def test_a_handshake_that_takes_too_long(loop, run):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
                await loop.create_connection(
                    Recorder,
                    *listener.getsockname(),
                    ssl=client_context(),
                    server_hostname=NAME,
                    ssl_handshake_timeout=0.01,
                )
            await settle()

    run(main())


# ---- Reading


def test_paused_while_much_comes(run):
    """What was decrypted before may come; nothing does once the pause is a turn old."""

    async def main():
        async with tls_connected() as (client, server):
            sent = 0
            while client.transport.get_write_buffer_size() < 1 << 20:
                client.transport.write(bytes(100_000))
                sent += 100_000
            await server.wait_for_data(1)
            server.transport.pause_reading()
            await settle()
            before = len(server.data)
            await asyncio.sleep(0.01)
            assert len(server.data) == before < sent
            server.transport.resume_reading()
            return len(await server.wait_for_data(sent)) == sent

    assert run(main()) is True


class InBuffers(asyncio.BufferedProtocol):
    """Has a buffer of some kind filled."""

    def __init__(self, make):
        self.buffer, self.data = make(), bytearray()
        self.made, self.lost = (asyncio.get_running_loop().create_future() for _ in range(2))

    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(None)

    def get_buffer(self, size_hint):
        return self.buffer

    def buffer_updated(self, size):
        self.data += memoryview(self.buffer)[:size]

    def connection_lost(self, error):
        self.lost.set_result(error)


def test_into_the_protocols_buffer(run):
    async def main():
        data = bytes(range(256)) * 1000

        def in_a_view():
            return InBuffers(lambda: memoryview(bytearray(5000)))

        async with tls_connected(server=in_a_view) as (client, server):
            client.transport.write(data)
            await wait_until(lambda: len(server.data) >= len(data))
            return server.data == data

    assert run(main()) is True


@pytest.mark.skipif(not PY312, reason="__buffer__ is new in 3.12")
def test_into_what_refuses_it(run, reports):
    async def main():
        async with tls_connected(server=lambda: InBuffers(lambda: Refusing(5000))) as (client, server):
            client.transport.write(b"data")
            return await server.lost

    error = run(main())
    report = reports.take_one()
    assert report["exception"] is error
    assert str(error) == "read() argument 2 must be read-write bytes-like object, not Refusing"


def test_into_a_bytearray(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio receives into a copy of it, and the data is lost")

    async def main():
        data = bytes(range(256)) * 1000

        async with tls_connected(server=lambda: InBuffers(lambda: bytearray(5000))) as (client, server):
            client.transport.write(data)
            await wait_until(lambda: len(server.data) >= len(data))
            return server.data == data

    assert run(main()) is True


# ---- The end


class Talks(Recorder):
    """Never stops sending."""

    def connection_made(self, transport):
        super().connection_made(transport)
        self.talk()

    def talk(self):
        if not self.transport.is_closing():
            self.transport.write(bytes(1000))
            asyncio.get_running_loop().call_soon(self.talk)


def test_close_does_not_wait_for_a_peer_that_goes_on_sending(loop, run):
    """Its data is dropped; the time that a shutdown may take is 30 s by default."""

    async def main():
        async with tls_connected(server=Talks) as (client, server):
            await client.wait_for_data(10_000)
            begin = loop.time()
            client.transport.close()
            received = len(client.data)
            await asyncio.wait_for(client.lost, 10)
            assert loop.time() - begin < 1
            # What had been decrypted at that moment is the last to come.
            assert len(client.data) - received <= 1 << 18
            await server.lost

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
def test_calls_after_the_end_do_nothing(run, caplog, how):
    caplog.set_level(logging.WARNING, "asyncio")

    async def main():
        async with tls_connected() as (client, server):
            transport = client.transport
            getattr(transport, how)()
            await client.lost
            for _ in range(7):
                transport.write(b"x")
                transport.writelines([b"x"])
            transport.set_write_buffer_limits(high=10)
            transport.pause_reading()
            transport.resume_reading()
            assert transport.is_closing()
            await server.lost
            return client.calls[-1]

    assert run(main()) == ("lost", None)
    assert set(caplog.messages) == {"SSL connection is closed"}


# ---- Sending files


def test_sendfile(loop, run, tmp_path):
    """By reading and writing; in its place between what was written before and after."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 2000)

    async def main():
        async with tls_connected() as (client, server):
            before, after = b"before" * 100_000, b"after"
            with path.open("rb") as file:
                client.transport.write(before)
                assert await loop.sendfile(client.transport, file) == 512_000
                client.transport.write(after)
                with pytest.raises(RuntimeError, match="fallback is disabled and native sendfile is not"):
                    await loop.sendfile(client.transport, file, fallback=False)
            expected = before + path.read_bytes() + after
            return await server.wait_for_data(len(expected)) == expected

    assert run(main()) is True


# ---- start_tls


def test_started_later(run):
    async def main():
        async def answer(reader, writer):
            assert await reader.readline() == b"STARTTLS\n"
            writer.write(b"go ahead\n")
            await writer.start_tls(server_context())
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go ahead\n"
            await writer.start_tls(client_context(), server_hostname=NAME)
            writer.write(b"hello\n")
            found = await reader.readline()
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(0.005)
            return found

    assert run(asyncio.wait_for(main(), 10)) == b"HELLO\n"


def test_started_with_the_handshake_already_read(loop, run, impl):
    """A proxy's header and the client's first bytes in one packet."""
    if not impl.is_cloop and not MOVES_READ_AHEAD:
        pytest.skip("asyncio waits for ever for what it has read already")

    async def main():
        ended = loop.create_future()

        async def answer(reader, writer):
            assert await reader.readline() == b"PROXY TCP4\r\n"
            await writer.start_tls(server_context())
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()
            ended.set_result(None)

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
            shake_hands(tls, incoming, b"")
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.setblocking(False)
                client.send(b"PROXY TCP4\r\n" + outgoing.read())
                while not tls.version() or outgoing.pending == 0:
                    shake_hands(tls, incoming, await read_some(client))
                tls.write(b"hello\n")
                client.send(outgoing.read())
                answer = await first_data(tls, incoming, client)
            await ended
            await settle()
            return answer

    assert run(asyncio.wait_for(main(), 10)) == b"HELLO\n"


async def first_data(tls, incoming, sock):
    """What a handshake by hand was for."""
    while True:
        incoming.write(await read_some(sock))
        try:
            return tls.read(100)
        except ssl.SSLWantReadError:
            pass
