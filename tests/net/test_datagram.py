"""Datagram transports: sending, errors, the end."""

import contextlib
import errno
import logging
import re
import socket

import pytest

from tests.support import PY312, PY313, collect_garbage, settle, wait_until

from .datagrams import (
    LARGEST,
    Datagrams,
    Echo,
    endpoint,
    name_of,
    plain_socket,
    receive,
    unused_udp_port,
)
from .protocols import Refusing

# ---- Sending


def test_to_an_address(run):
    async def main():
        with plain_socket() as one, plain_socket() as other:
            async with endpoint() as protocol:
                for i, sock in enumerate((one, other, one, one, other)):
                    protocol.transport.sendto(b"%d" % i, sock.getsockname())
                assert await receive(one, 3) == [b"0", b"2", b"3"]
                assert await receive(other, 2) == [b"1", b"4"]

    run(main())


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
def test_types(run, make):
    async def main():
        with plain_socket() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(make(b"datagram"))
                assert await receive(peer, 1) == [b"datagram"]

    run(main())


@pytest.mark.parametrize("data", ["text", 1, None, [b"x"]])
def test_other_types(run, data):
    async def main():
        async with endpoint() as protocol:
            with pytest.raises(TypeError) as caught:
                protocol.transport.sendto(data, ("127.0.0.1", 9))
            return str(caught.value)

    assert run(main()) == f"data argument must be a bytes-like object, not {type(data).__name__!r}"


def test_a_view_with_gaps(run, reports):
    async def main():
        with plain_socket() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(memoryview(b"datagram")[::2])
                report = reports.take_one()
                assert report["message"] == "Fatal write error on datagram transport"
                assert isinstance(report["exception"], BufferError)
                assert await protocol.lost is report["exception"]

    run(main())


@pytest.mark.skipif(not PY312, reason="__buffer__ is new in 3.12")
def test_data_that_refuses_to_be_read(run, reports):
    async def main():
        with plain_socket() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                protocol.transport.sendto(Refusing(b"datagram"))
                report = reports.take_one()
                assert report["message"] == "Fatal write error on datagram transport"
                assert isinstance(report["exception"], ZeroDivisionError)
                assert await protocol.lost is report["exception"]

    run(main())


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b"")], ids=repr)
def test_empty(run, data):
    """A datagram like others; before 3.13 it was not sent."""

    async def main():
        with plain_socket() as peer:
            async with endpoint() as protocol:
                protocol.transport.sendto(data, peer.getsockname())
                protocol.transport.sendto(b"next", peer.getsockname())
                return await receive(peer, 2 if PY313 else 1)

    assert run(main()) == ([b"", b"next"] if PY313 else [b"next"])


def test_the_largest(run):
    async def main():
        data = bytes(range(256)) * 256
        async with endpoint(Echo) as server:
            async with endpoint(remote_addr=name_of(server)) as client:
                client.transport.sendto(data[:LARGEST])
                assert await client.wait_for(1) == [data[:LARGEST]]
                client.transport.sendto(data[: LARGEST + 1])
                assert [exc.errno for exc in client.errors] == [errno.EMSGSIZE]
                client.transport.sendto(b"next")
                assert await client.wait_for(2) == [data[:LARGEST], b"next"]

    run(main())


def test_a_name(run):
    """Names are resolved as the socket module does it."""

    async def main():
        with plain_socket() as peer:
            port = peer.getsockname()[1]
            async with endpoint() as protocol:
                protocol.transport.sendto(b"name", ("localhost", port))
                protocol.transport.sendto(b"bytearray", (bytearray(b"127.0.0.1"), port))
                assert await receive(peer, 2) == [b"name", b"bytearray"]

    run(main())


BAD_ADDRESSES = [
    None,
    "127.0.0.1",
    ("127.0.0.1",),
    ("127.0.0.1", "80"),
    ("127.0.0.1", 1, 2),
    ("127.0.0.1", 65536),
    ("127.0.0.1", -1),
    ("127.0.0.1", 1 << 70),
    (1, 80),
    ("127.0.0.1\0", 80),
]


def words_of_the_socket(address: object, family: int = socket.AF_INET) -> Exception:
    """What a plain socket raises for an address."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(Exception) as caught:
        sock.sendto(b"x", address)
    return caught.value


@pytest.fixture
def endpoints_live_on(impl):
    if not impl.is_cloop:
        pytest.skip("asyncio ends the endpoint, which a peer can bring about that says where to answer")


@pytest.mark.parametrize("address", BAD_ADDRESSES, ids=repr)
def test_no_address(endpoints_live_on, run, address):
    """The caller gets it, in the socket's own words."""
    expected = words_of_the_socket(address)

    async def main():
        with plain_socket() as peer:
            async with endpoint() as protocol:
                with pytest.raises(type(expected)) as caught:
                    protocol.transport.sendto(b"x", address)
                assert str(caught.value) == str(expected)
                assert not protocol.transport.is_closing()
                protocol.transport.sendto(b"next", peer.getsockname())
                assert await receive(peer, 1) == [b"next"]
                assert protocol.errors == []

    run(main())


def test_a_peer_that_is_told_nonsense(endpoints_live_on, run, reports):
    """A server answers where it is told to."""

    class Server(Datagrams):
        def datagram_received(self, data, addr):
            self.transport.sendto(b"answer", ("127.0.0.1", int(data)))

    async def main():
        async with endpoint(Server) as server:
            async with endpoint(remote_addr=name_of(server)) as client:
                client.transport.sendto(b"70000")
                await wait_until(lambda: reports)
                assert isinstance(reports.take_one()["exception"], OverflowError)
                client.transport.sendto(b"%d" % client.transport.get_extra_info("sockname")[1])
                assert await client.wait_for(1) == [b"answer"]

    run(main())


def test_an_address_of_another_family(run):
    async def main():
        async with endpoint() as protocol:
            protocol.transport.sendto(b"x", ("::1", 80))
            assert [type(exc) for exc in protocol.errors] == [socket.gaierror]
            assert not protocol.transport.is_closing()

    run(main())


def test_addresses_of_a_connected_endpoint(run):
    async def main():
        with plain_socket() as peer:
            address = peer.getsockname()
            async with endpoint(remote_addr=address) as protocol:
                protocol.transport.sendto(b"none", None)
                protocol.transport.sendto(b"equal", (str(address[0]), int(address[1])))
                with pytest.raises(ValueError) as caught:
                    protocol.transport.sendto(b"wrong", ("127.0.0.1", 9))
                assert str(caught.value) == f"Invalid address: must be None or {address}"
                assert await receive(peer, 2) == [b"none", b"equal"]

    run(main())


def test_a_connected_socket_ignores_addresses(run):
    """As asyncio's: it knows only of those that it connected itself."""

    async def main():
        with plain_socket() as peer, socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect(peer.getsockname())
            async with endpoint(sock=sock) as protocol:
                protocol.transport.sendto(b"x", ("127.0.0.1", 9))
                assert await receive(peer, 1) == [b"x"]

    run(main())


@pytest.mark.parametrize("extra", [(), (0,), (0x12345,), (0, 0), (0x12345, 0)])
def test_ipv6_addresses(run, extra):
    """With flow information and scope, and without."""

    async def main():
        with plain_socket(("::1", 0), socket.AF_INET6) as peer:
            async with endpoint(local_addr=("::1", 0)) as protocol:
                protocol.transport.sendto(b"x", (*peer.getsockname()[:2], *extra))
                data, address = peer.recvfrom(10)
                assert (data, address) == (b"x", name_of(protocol))
                peer.sendto(b"y", address)
                await protocol.wait_for(1)
                assert protocol.received == [(b"y", peer.getsockname())]

    run(main())


def test_a_scope(run):
    """Which loopback has no need of, but takes."""

    async def main():
        with plain_socket(("::1", 0), socket.AF_INET6) as peer:
            index = next(index for index, name in socket.if_nameindex() if name.startswith("lo"))
            async with endpoint(local_addr=("::1", 0)) as protocol:
                protocol.transport.sendto(b"x", (*peer.getsockname()[:2], 0, index))
                assert await receive(peer, 1) == [b"x"]

    run(main())


@pytest.mark.parametrize(
    "address", [("::1", 9, 1 << 20, 0), ("::1", 9, -1), ("::1",), ("::1", 9, 0, 0, 0)], ids=repr
)
def test_no_ipv6_address(endpoints_live_on, run, address):
    expected = words_of_the_socket(address, socket.AF_INET6)

    async def main():
        async with endpoint(local_addr=("::1", 0)) as protocol:
            with pytest.raises(type(expected)) as caught:
                protocol.transport.sendto(b"x", address)
            assert str(caught.value) == str(expected)
            assert not protocol.transport.is_closing()

    run(main())


def test_many_peers(run):
    """Everybody gets back what he sent."""

    async def main():
        async with endpoint(Echo) as server:
            with contextlib.ExitStack() as stack:
                peers = [stack.enter_context(plain_socket()) for _ in range(150)]
                for turn in range(3):
                    for i, peer in enumerate(peers):
                        peer.sendto(b"%d:%d" % (turn, i), name_of(server))
                        if i % 50 == 49:
                            await server.wait_for(turn * len(peers) + i + 1)
                    for i, peer in enumerate(peers):
                        assert await receive(peer, 1) == [b"%d:%d" % (turn, i)]
                names = [peer.getsockname() for peer in peers]
                assert [address for _, address in server.received] == names * 3

    run(main())


# ---- Errors


def test_refused_at_receiving(run):
    async def main():
        async with endpoint(remote_addr=("127.0.0.1", unused_udp_port())) as protocol:
            protocol.transport.sendto(b"x")
            await wait_until(lambda: protocol.errors)
            assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
            assert protocol.errors[0].errno == errno.ECONNREFUSED
            assert not protocol.transport.is_closing()

    run(main())


def test_refused_at_sending(run):
    async def main():
        async with endpoint(remote_addr=("127.0.0.1", unused_udp_port())) as protocol:
            protocol.transport.sendto(b"x")
            protocol.transport.sendto(b"y")
            assert [type(exc) for exc in protocol.errors] == [ConnectionRefusedError]
            await settle()
            assert len(protocol.errors) == 1
            assert not protocol.transport.is_closing()

    run(main())


def test_error_received_fails(run, reports):
    """Out of sendto() it comes to the caller, else to the exception handler."""

    class Fails(Datagrams):
        def error_received(self, exc):
            super().error_received(exc)
            raise ZeroDivisionError

    async def main():
        async with endpoint(Fails, remote_addr=("127.0.0.1", unused_udp_port())) as protocol:
            protocol.transport.sendto(b"x")
            with pytest.raises(ZeroDivisionError):
                protocol.transport.sendto(b"x")
            protocol.transport.sendto(b"x")
            await wait_until(lambda: len(protocol.errors) == 2)
            assert isinstance(reports.take_one()["exception"], ZeroDivisionError)
            assert not protocol.transport.is_closing()

    run(main())


def test_a_socket_closed_behind_our_back(run):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock, plain_socket() as peer:
            sock.bind(("127.0.0.1", 0))
            async with endpoint(sock=sock) as protocol:
                number = sock.fileno()
                sock.close()
                # The next file gets the number; nothing may be sent through it.
                with plain_socket() as another:
                    assert another.fileno() == number
                    protocol.transport.sendto(b"x", peer.getsockname())
                    assert [exc.errno for exc in protocol.errors] == [errno.EBADF]
                    with pytest.raises(BlockingIOError):
                        peer.recv(10)

    run(main())


# ---- The end


def test_close(run):
    async def main():
        async with endpoint() as protocol:
            protocol.transport.close()
            protocol.transport.close()
            assert protocol.transport.is_closing()
            assert protocol.calls == ["made"]
            assert await protocol.lost is None
            protocol.transport.close()
            protocol.transport.abort()
            await settle()
            assert protocol.calls == ["made", ("lost", None)]
            assert protocol.transport.get_extra_info("socket").fileno() == -1

    run(main())


def test_connection_lost_fails(run, reports):
    class Fails(Datagrams):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def main():
        async with endpoint(Fails, local_addr=("127.0.0.1", 0)) as protocol:
            protocol.transport.close()
            await protocol.lost
            await settle()
            assert isinstance(reports.take_one()["exception"], ZeroDivisionError)
            assert protocol.transport.get_extra_info("socket").fileno() == -1

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("wait", [True, False], ids=["lost", "closing"])
def test_sending_after_the_end_of_a_connected_endpoint(run, caplog, how, wait):
    async def main():
        with plain_socket() as peer:
            async with endpoint(remote_addr=peer.getsockname()) as protocol:
                getattr(protocol.transport, how)()
                if wait:
                    await protocol.lost
                with caplog.at_level(logging.WARNING, "asyncio"):
                    for _ in range(6):
                        protocol.transport.sendto(b"x")
                await protocol.lost
                with pytest.raises(BlockingIOError):
                    peer.recv(10)

    run(main())
    # The fifth is the first to be told of.
    assert caplog.messages == ["socket.send() raised exception."] * 2


def test_sending_while_closing(run):
    """An endpoint that is not connected still sends until the end."""

    async def main():
        with plain_socket() as peer:
            async with endpoint() as protocol:
                protocol.transport.close()
                protocol.transport.sendto(b"x", peer.getsockname())
                assert await receive(peer, 1) == [b"x"]
                assert await protocol.lost is None

    run(main())


def test_unclosed(loop):
    """The warning has the transport in it, and the socket is closed."""
    transport, protocol = loop.run_until_complete(
        loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    )
    sock = transport.get_extra_info("socket")
    loop.close()
    text = re.escape(f"unclosed transport {transport!r}")
    with pytest.warns(ResourceWarning, match=f"^{text}$"):
        del transport, protocol
        collect_garbage()
    assert sock.fileno() == -1


def test_sending_after_the_end(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio fails with an AttributeError of its own")

    async def main():
        with plain_socket() as peer:
            async with endpoint() as protocol:
                protocol.transport.close()
                await protocol.lost
                protocol.transport.sendto(b"x", peer.getsockname())
                with pytest.raises(TypeError):
                    protocol.transport.sendto("x", peer.getsockname())

    run(main())


@pytest.mark.parametrize(
    ("name", "args"),
    [("write", (b"x",)), ("writelines", ([b"x"],)), ("write_eof", ()), ("can_write_eof", ())],
)
def test_what_a_stream_can_do(run, name, args):
    async def main():
        async with endpoint() as protocol:
            with pytest.raises(NotImplementedError):
                getattr(protocol.transport, name)(*args)

    run(main())
