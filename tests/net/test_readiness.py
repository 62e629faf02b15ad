"""Descriptors that stay ready whatever is read or written: the loop does not run in circles."""

import asyncio
import contextlib
import os
import socket
import sys
import time

import pytest

from tests.support import PY313, settle, wait_until

from .datagrams import Datagrams, endpoint, name_of, plain_socket, receive, unused_udp_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="queues of errors are Linux's")

IP_RECVERR = getattr(socket, "IP_RECVERR", 11)
MSG_ERRQUEUE = getattr(socket, "MSG_ERRQUEUE", 0x2000)
SO_TIMESTAMPING = 37
SOF_TIMESTAMPING_TX_SOFTWARE = 2 | 16


@pytest.fixture
def calm(impl):
    """Fails a block in which the loop works all the time though nothing happens."""
    if not impl.is_cloop:
        pytest.skip("asyncio works all the time")

    @contextlib.asynccontextmanager
    async def calm():
        yield
        # What is under way ends.
        await settle(20)
        before = time.thread_time()
        await asyncio.sleep(0.3)
        assert time.thread_time() - before < 0.05

    return calm


@contextlib.asynccontextmanager
async def told_of_errors(factory=Datagrams, to=None, **options):
    """An endpoint whose socket keeps them in a queue."""
    async with endpoint(factory, **(options or {"local_addr": ("127.0.0.1", 0)})) as protocol:
        protocol.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        yield protocol


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("paused", [True, False])
def test_errors_of_the_network_that_nobody_reads(calm, run, connected, paused):
    async def main():
        nobody = ("127.0.0.1", unused_udp_port())
        options = {"remote_addr": nobody} if connected else {}
        async with told_of_errors(**options) as protocol:
            async with calm():
                for _ in range(3):
                    protocol.transport.sendto(b"x", None if connected else nobody)
                    await settle()
                await wait_until(lambda: protocol.errors)
                if paused:
                    protocol.transport.pause_reading()
            assert {type(exc) for exc in protocol.errors} == {ConnectionRefusedError}
            if paused:
                protocol.transport.resume_reading()
            # It works as before.
            if not connected:
                with plain_socket() as peer:
                    peer.sendto(b"question", name_of(protocol))
                    await protocol.wait_for(1)
                    protocol.transport.sendto(b"answer", peer.getsockname())
                    assert await receive(peer, 1) == [b"answer"]

    run(main())


def test_a_protocol_that_reads_them(run):
    """It finds all that there is when it is told."""
    read = []

    class Reads(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            sock = self.transport.get_extra_info("socket")._sock
            with contextlib.suppress(BlockingIOError):
                while True:
                    read.append(sock.recvmsg(100, 1000, MSG_ERRQUEUE)[3])

    async def main():
        ports = [unused_udp_port(), unused_udp_port()]
        async with told_of_errors(Reads) as protocol:
            for port in ports:
                protocol.transport.sendto(b"x", ("127.0.0.1", port))
                await settle()
            await wait_until(lambda: len(read) == 2)
            assert read == [("127.0.0.1", port) for port in ports]

    run(main())


def test_a_socket_of_a_class_of_its_own(calm, run):
    class Socket(socket.socket):
        def recvfrom(self, size):
            return super().recvfrom(size)

    async def main():
        sock = Socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        async with told_of_errors(sock=sock) as protocol:
            async with calm():
                protocol.transport.sendto(b"x", ("127.0.0.1", unused_udp_port()))
                await wait_until(lambda: protocol.errors)

    run(main())


def test_times_of_a_connection_that_nobody_reads(calm, run):
    """SO_TIMESTAMPING: they are in the same queue."""

    async def main():
        async def serve(reader, writer):
            while data := await reader.read(100):
                writer.write(data)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE)
            async with calm():
                writer.write(b"there and back")
                assert await reader.readexactly(14) == b"there and back"
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"
            writer.close()
            await writer.wait_closed()
            # Before 3.12 the server does not wait for its side.
            await settle(20)

    run(main())


@pytest.mark.parametrize("closed", [True, False])
def test_a_unix_receiver_that_is_full(calm, run, tmp_path, closed):
    async def main():
        path = str(tmp_path / "peer")
        with plain_socket(path, socket.AF_UNIX) as peer:
            async with endpoint(family=socket.AF_UNIX) as protocol:
                count = 0
                async with calm():
                    while not protocol.transport.get_write_buffer_size():
                        protocol.transport.sendto(b"%d" % count, path)
                        count += 1
                    if closed:
                        protocol.transport.close()
                assert await receive(peer, count) == [b"%d" % i for i in range(count)]
                if closed:
                    assert await asyncio.wait_for(protocol.lost, 5) is None
                else:
                    protocol.transport.sendto(b"more", path)
                    assert await receive(peer, 1) == [b"more"]

    run(main())


def test_the_end_of_a_transport_that_waits_a_moment(impl, run, tmp_path):
    async def main():
        path = str(tmp_path / "peer")
        with plain_socket(path, socket.AF_UNIX):
            async with endpoint(family=socket.AF_UNIX) as protocol:
                while not protocol.transport.get_write_buffer_size():
                    protocol.transport.sendto(b"x", path)
                await settle()
                protocol.transport.abort()
                assert await protocol.lost is None
                await asyncio.sleep(0.02)
                assert protocol.calls == ["made", ("lost", None)]

    run(main())


# ---- The sock_ methods


@pytest.fixture
def full(tmp_path):
    """A unix socket, the path of another that takes nothing more, and that one."""
    path = str(tmp_path / "peer")
    with plain_socket(path, socket.AF_UNIX) as peer, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.sendto(b"x", path)
        yield sock, path, peer


def empty(sock: socket.socket) -> list[bytes]:
    """All that there is to receive."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(100))
    return found


def test_sock_sendto_a_receiver_that_is_full(calm, loop, run, full):
    sock, path, peer = full

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendto(sock, b"last", path))
        async with calm():
            pass
        assert not sending.done()
        empty(peer)
        assert await asyncio.wait_for(sending, 5) == 4
        assert empty(peer) == [b"last"]

    run(main())


def test_sock_sendto_is_cancelled_meanwhile(loop, run, full):
    sock, path, peer = full

    async def main():
        for turns in range(5):
            sending = asyncio.ensure_future(loop.sock_sendto(sock, b"never", path))
            await settle(turns)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        empty(peer)
        await asyncio.sleep(0.02)
        assert empty(peer) == []

    run(main())


def test_sock_sendto_of_a_socket_that_is_closed_meanwhile(impl, loop, run, full):
    if not impl.is_cloop:
        pytest.skip("asyncio waits for ever")
    sock, path, _ = full

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendto(sock, b"never", path))
        await settle()
        sock.close()
        with pytest.raises((OSError, ValueError), match="file descriptor"):
            await asyncio.wait_for(sending, 5)

    run(main())


@pytest.mark.parametrize("method", ["sock_recv", "sock_recvfrom"])
def test_errors_that_are_told_while_a_method_waits(calm, loop, run, method):
    async def main():
        with plain_socket() as sock, plain_socket() as peer:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            waiting = asyncio.ensure_future(getattr(loop, method)(sock, 100))
            await settle()
            async with calm():
                sock.sendto(b"x", ("127.0.0.1", unused_udp_port()))
                # Somebody has asked for the error already.
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert not waiting.done()
            peer.sendto(b"data", sock.getsockname())
            data = await asyncio.wait_for(waiting, 5)
            assert (data if method == "sock_recv" else data[0]) == b"data"

    run(main())


# ---- Ends


@pytest.mark.skipif(not PY313, reason="such sockets are let in from 3.13 on")
def test_the_end_of_a_socket_with_one(calm, run):
    """SOCK_SEQPACKET: what comes before the end is received, and the end as an empty datagram."""

    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        async with endpoint(sock=left) as protocol:
            async with calm():
                right.send(b"one")
                right.send(b"")
                right.send(b"two")
                right.close()
            assert protocol.data == [b"one", b"", b"two", b""]

    run(main())


def test_a_socket_that_is_shut_down(calm, run):
    """Readable, though there is nothing; what comes all the same, on Linux, is received."""

    async def main():
        with plain_socket() as peer, socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(peer.getsockname())
            async with endpoint(sock=sock.dup()) as protocol:
                async with calm():
                    sock.shutdown(socket.SHUT_RD)
                peer.sendto(b"data", sock.getsockname())
                assert await protocol.wait_for(1) == [b"data"]

    run(main())


def test_a_method_of_a_socket_that_is_shut_down(calm, loop, run):
    async def main():
        with plain_socket() as peer, socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(peer.getsockname())
            waiting = asyncio.ensure_future(loop.sock_recv(sock, 100))
            async with calm():
                await settle()
                sock.shutdown(socket.SHUT_RD)
            peer.sendto(b"data", sock.getsockname())
            assert await asyncio.wait_for(waiting, 5) == b"data"

    run(main())


def test_a_unix_socket_that_is_shut_down(calm, run, tmp_path):
    async def main():
        with plain_socket(str(tmp_path / "peer"), socket.AF_UNIX) as sock:
            async with endpoint(sock=sock.dup()) as protocol:
                async with calm():
                    sock.shutdown(socket.SHUT_RD)
                assert protocol.data == []

    run(main())


def test_a_listening_socket_that_accepts_no_more(calm, run, reports):
    """Somebody has shut it down by a duplicate: accept() fails, and goes on to."""

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        async with calm():
            with socket.socket(fileno=os.dup(server.sockets[0].fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)
            await wait_until(lambda: reports)
        assert isinstance(reports.take_one()["exception"], OSError)
        server.close()

    run(main())
