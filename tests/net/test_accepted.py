"""connect_accepted_socket."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from tests.support import PY312, PY314, tcp_pair

from .protocols import Echo, Recorder, drop, read_some


def unix_pair():
    left, right = socket.socketpair()
    left.setblocking(False)
    return left, right


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_a_stream_socket_of_any_family(loop, run, pair):
    async def main():
        peer, mine = pair()
        mine.setblocking(True)
        made = []

        def factory():
            made.append(Echo())
            return made[0]

        with peer:
            transport, protocol = await loop.connect_accepted_socket(factory, mine)
            assert protocol is made[0] and protocol.transport is transport
            assert isinstance(transport, asyncio.Transport)
            assert mine.gettimeout() == 0
            peer.send(b"hello")
            assert await read_some(peer) == b"hello"
            await drop(protocol)
        return mine.fileno()

    assert run(main()) == -1


def test_a_datagram_socket(loop, run):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match=r"^A Stream Socket was expected, got <socket"):
            run(loop.connect_accepted_socket(Recorder, sock))
        assert sock.fileno() >= 0


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_without_tls(loop, run, name):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match=f"^{name} is only meaningful with ssl$"):
            run(loop.connect_accepted_socket(Recorder, sock, **{name: 1}))
        assert sock.fileno() >= 0


@pytest.mark.parametrize("method", ["connect_accepted_socket", "create_connection", "create_server"])
def test_an_ssl_socket(loop, run, method):
    left, right = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    wrapped = context.wrap_socket(left, do_handshake_on_connect=False)
    with wrapped, right:
        with pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
            run(getattr(loop, method)(Recorder, sock=wrapped))


def test_a_handshake_that_fails_ends_the_connection(loop, run):
    async def main():
        peer, mine = tcp_pair()
        with peer:
            peer.send(b"this is no handshake")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            with pytest.raises(ssl.SSLError):
                await loop.connect_accepted_socket(Recorder, mine, ssl=context)
            async with asyncio.timeout(5):
                while mine.fileno() >= 0:
                    await asyncio.sleep(0.001)

    run(main())


def test_cancelled_during_the_handshake(loop, run):
    async def main():
        peer, mine = tcp_pair()
        with peer:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            task = asyncio.create_task(loop.connect_accepted_socket(Recorder, mine, ssl=context))
            await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Waits for the peer's goodbye, until it is gone.
            peer.close()
            async with asyncio.timeout(5):
                while mine.fileno() >= 0:
                    await asyncio.sleep(0.001)

    run(main())


@pytest.mark.parametrize("method", ["connect_accepted_socket", "create_connection"])
def test_the_socket_of_another_transport(loop, run, impl, method):
    """It stays that transport's."""
    if not impl.is_cloop and (not PY312 or PY314):
        pytest.skip("asyncio does not see it before 3.12, and closes the socket from 3.14 on")

    async def main():
        peer, mine = tcp_pair()
        with peer, contextlib.ExitStack() as stack:
            _, protocol = await loop.create_connection(Echo, sock=mine)
            with pytest.raises(RuntimeError, match="is used by transport"):
                await getattr(loop, method)(Recorder, sock=mine)
            peer.send(b"still there")
            assert await read_some(peer) == b"still there"
            stack.callback(mine.close)
            await drop(protocol)

    run(main())


def test_a_closed_socket(loop, run):
    sock = socket.socket()
    sock.close()
    with pytest.raises((OSError, ValueError)):
        run(loop.connect_accepted_socket(Recorder, sock))
