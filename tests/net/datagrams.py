"""A protocol that notes its datagrams, and endpoints and plain sockets to use it with."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

from tests.support import PATIENCE, wait_until

# The most that a packet of IPv4 holds.
LARGEST = 65535 - 20 - 8


class Datagrams(asyncio.DatagramProtocol):
    """Notes its calls in order, and what came by itself."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.received: list[tuple[bytes, object]] = []
        self.errors: list[OSError] = []
        self.transport: asyncio.DatagramTransport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def datagram_received(self, data, addr):
        assert type(data) is bytes
        self.received.append((data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        # A second call would fail here.
        self.lost.set_result(exc)

    @property
    def data(self) -> list[bytes]:
        """The datagrams without their addresses."""
        return [data for data, _ in self.received]

    async def wait_for(self, count: int) -> list[bytes]:
        """The datagrams, once there are so many."""
        await wait_until(lambda: len(self.received) >= count)
        return self.data


class Echo(Datagrams):
    """Sends everything back to where it came from."""

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


@contextlib.asynccontextmanager
async def endpoint(
    factory: Callable[[], Datagrams] = Datagrams, *args: object, **options: object
) -> AsyncIterator[Datagrams]:
    """An endpoint's protocol; without arguments, one that is bound to some port of 127.0.0.1."""
    if not args and not options:
        options["local_addr"] = ("127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(factory, *args, **options)
    try:
        yield protocol
    finally:
        await drop(protocol)


async def drop(protocol: Datagrams) -> None:
    """End an endpoint unless it has ended."""
    if not protocol.lost.done():
        protocol.transport.abort()
        async with asyncio.timeout(PATIENCE):
            await protocol.lost


def name_of(protocol: Datagrams) -> tuple[str, int]:
    """The address that the endpoint is bound to."""
    return protocol.transport.get_extra_info("sockname")


@contextlib.contextmanager
def plain_socket(address: object = ("127.0.0.1", 0), family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A datagram socket that is bound, and does not block."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.setblocking(False)
        yield sock


async def receive(sock: socket.socket, count: int) -> list[bytes]:
    """So many datagrams from a plain socket."""
    found: list[bytes] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            try:
                found.append(sock.recv(1 << 18))
            except BlockingIOError:
                await asyncio.sleep(0.0005)
    return found


def numbered(count: int, start: int = 0) -> list[bytes]:
    """Datagrams that can be told apart."""
    return [b"%d" % i for i in range(start, start + count)]


def unused_udp_port() -> int:
    """A UDP port that nobody had a moment ago."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
