"""Sockets of whatever family the kernel has: what an address is there, is the socket module's affair."""

import asyncio
import contextlib
import os
import socket
import struct
import sys

import pytest

from tests.support import PY313, settle

from .datagrams import endpoint
from .protocols import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's families")

INTERNET = ["AF_INET", "AF_INET6"]
FAMILIES = ["AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_CAN", "AF_ALG", "AF_TIPC", "AF_QIPCRTR"]
TYPES = ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET", "SOCK_RAW"]


def existing_kinds():
    """Family and type of the sockets that can be made here."""
    for family in (*INTERNET, *FAMILIES):
        for kind in TYPES:
            with contextlib.suppress(OSError, AttributeError):
                socket.socket(getattr(socket, family), getattr(socket, kind)).close()
                yield family, kind


kinds = pytest.mark.parametrize(("family", "kind"), list(existing_kinds()))


def make(family, kind, proto=0):
    """A socket that does not block; skips a test that is not privileged enough."""
    try:
        sock = socket.socket(getattr(socket, family), getattr(socket, kind), proto)
    except (OSError, AttributeError) as error:
        pytest.skip(f"no such socket here: {error}")
    sock.setblocking(False)
    return sock


def outcome(function, *args):
    """What a call on a socket raises, by type and number; None where it would wait."""
    try:
        return "no error", function(*args)
    except (BlockingIOError, InterruptedError):
        return None
    except Exception as error:
        return type(error), getattr(error, "errno", str(error))


async def awaited_outcome(coroutine):
    """The same of an operation of the loop, which is cancelled if it waits."""
    task = asyncio.ensure_future(coroutine)
    await settle()
    if not task.done():
        task.cancel()
    try:
        return "no error", await task
    except asyncio.CancelledError:
        return None
    except Exception as error:
        return type(error), getattr(error, "errno", str(error))


# ---- Any of them


RECEIVERS = {
    "sock_recv": ("recv", lambda: (10,)),
    "sock_recv_into": ("recv_into", lambda: (bytearray(10),)),
    "sock_recvfrom": ("recvfrom", lambda: (10,)),
    "sock_recvfrom_into": ("recvfrom_into", lambda: (bytearray(10),)),
    "sock_accept": ("accept", lambda: ()),
}


@kinds
@pytest.mark.parametrize("method", RECEIVERS)
def test_waiting(loop, run, family, kind, method):
    """Waits where the socket has nothing, and else says what the socket says; a wait leaves nothing."""
    model, arguments = RECEIVERS[method]
    with make(family, kind) as sock:
        expected = outcome(getattr(sock, model), *arguments())
        assert run(awaited_outcome(getattr(loop, method)(sock, *arguments()))) == expected
        assert loop.remove_reader(sock) is loop.remove_writer(sock) is False


@pytest.mark.parametrize(
    ("family", "kind"),
    # Addresses of the others are looked up.
    [each for each in existing_kinds() if each[0] not in INTERNET],
)
@pytest.mark.parametrize("address", [None, "x", (), (1,), ("lo", 0), (1, 2), (1, 2, 3, 4, 5, 6)], ids=repr)
def test_senseless_addresses(loop, run, family, kind, address):
    """The socket module's error, whatever it is."""
    for method, model, before in (
        ("sock_connect", "connect", ()),
        ("sock_sendto", "sendto", (b"x",)),
    ):
        with make(family, kind) as sock, make(family, kind) as twin:
            expected = outcome(getattr(twin, model), *before, address)
            found = run(awaited_outcome(getattr(loop, method)(sock, *before, address)))
            assert found == expected
            assert loop.remove_reader(sock) is loop.remove_writer(sock) is False


@kinds
def test_endpoints(run, family, kind):
    """Any that is no stream can be a datagram endpoint's; before 3.13, datagram sockets alone."""

    async def main():
        with make(family, kind) as sock:
            if kind == "SOCK_STREAM" or (kind != "SOCK_DGRAM" and not PY313):
                with pytest.raises(ValueError, match="was expected, got"):
                    async with endpoint(sock=sock):
                        pass
                return
            name = sock.getsockname()
            async with endpoint(sock=sock) as protocol:
                assert protocol.transport.get_extra_info("sockname") == name
                assert protocol.transport.get_extra_info("socket").family == sock.family
                await settle()
            assert sock.fileno() == -1

    run(main())


# ---- Some of them at work


def test_netlink(run):
    """The kernel tells an endpoint of the loopback interface."""

    async def main():
        get_link, request = 18, 1
        interface = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("lo"), 0, 0)
        message = struct.pack("=IHHII", 16 + len(interface), get_link, request, 1, 0) + interface
        async with endpoint(sock=make("AF_NETLINK", "SOCK_DGRAM")) as protocol:
            protocol.transport.sendto(message, (0, 0))
            await protocol.wait_for(1)
            ((answer, sender),) = protocol.received
            return sender, struct.unpack_from("=H", answer, 4), b"lo\0" in answer

    assert run(main()) == ((0, 0), (16,), True)


def test_packets(loop, run):
    """Straight through the loopback interface, in an Ethernet protocol for experiments."""
    protocol_number = 0x88B5
    everybody = ("lo", protocol_number, 0, 0, bytes(6))

    def bound():
        sock = make("AF_PACKET", "SOCK_DGRAM", socket.htons(protocol_number))
        sock.bind(("lo", protocol_number))
        return sock

    async def main():
        data = os.urandom(100)
        with bound() as plain:
            async with endpoint(sock=bound()) as protocol:
                protocol.transport.sendto(data, everybody)
                await protocol.wait_for(1)
                received, address = protocol.received[0]
                assert received == data and address[:2] == ("lo", protocol_number)
                found, sender = await loop.sock_recvfrom(plain, 1000)
                assert (found, sender) == (data, address)
                assert await loop.sock_sendto(plain, data[::-1], everybody) == 100
                await protocol.wait_for(2)
                return protocol.received[1] == (data[::-1], address)

    assert run(main()) is True


@pytest.mark.skipif(not PY313, reason="only datagram sockets before")
def test_raw_sockets(run):
    """A ping of this machine: addresses of IPv4, whose port means nothing."""

    async def main():
        words = [8 << 8, 0, os.getpid() & 0xFFFF, 1]
        words[1] = ~(sum(words) + (sum(words) >> 16)) & 0xFFFF
        async with endpoint(sock=make("AF_INET", "SOCK_RAW", socket.IPPROTO_ICMP)) as protocol:
            protocol.transport.sendto(struct.pack(">4H", *words), ("127.0.0.1", 0))
            await protocol.wait_for(2)
            # Our own request, and the kernel's answer.
            found = {data[20] for data, _ in protocol.received}
            return found, {address for _, address in protocol.received}, protocol.errors

    assert run(main()) == ({0, 8}, {("127.0.0.1", 0)}, [])


def test_records(loop, run):
    """SOCK_SEQPACKET of a unix socket, whose records are kept apart."""

    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with left, right:
            for sock in (left, right):
                sock.setblocking(False)
            await loop.sock_sendall(left, b"one")
            await loop.sock_sendall(left, b"two")
            assert await loop.sock_recv(right, 100) == b"one"
            data, _ = await loop.sock_recvfrom(right, 100)
            assert data == b"two"
            left.close()
            return await loop.sock_recv(right, 100)

    assert run(main()) == b""


@pytest.mark.skipif(not PY313, reason="only datagram sockets before")
def test_an_endpoint_of_records(run):
    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with left:
            expected = [(data, right_name(left)) for data in (b"one", b"two")]
            async with endpoint(sock=right) as protocol:
                left.send(b"one")
                left.send(b"two")
                await protocol.wait_for(2)
                return protocol.received == expected or protocol.received

    def right_name(left):
        """What recvfrom() says of such a peer."""
        probe, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with probe, other:
            probe.send(b"x")
            return other.recvfrom(10)[1]

    assert run(main()) is True


def test_vsock(loop, run):
    """Between virtual machines; where the kernel does not loop it back, nobody comes."""

    async def main():
        listener = make("AF_VSOCK", "SOCK_STREAM")
        listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        accepted = loop.create_future()

        class Server(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.set_result(self)

        server = await loop.create_server(Server, sock=listener)
        address = server.sockets[0].getsockname()
        assert address[0] == socket.VMADDR_CID_ANY
        with make("AF_VSOCK", "SOCK_STREAM") as client:
            try:
                # 1 is this machine.
                await asyncio.wait_for(loop.sock_connect(client, (1, address[1])), 0.05)
            except (OSError, TimeoutError):
                assert loop.remove_writer(client) is False
            else:
                its = await accepted
                await loop.sock_sendall(client, b"hello")
                assert await its.wait_for_data(5) == b"hello"
                assert its.transport.get_extra_info("peername") == client.getsockname()
                client.close()
                await its.lost
        server.close()
        await server.wait_closed()
        return listener.fileno()

    assert run(main()) == -1
