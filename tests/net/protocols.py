"""Protocols that note what happens to them, and connections to use them on."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MappingProxyType

NOTHING: Mapping[str, object] = MappingProxyType({})


class Recorder(asyncio.Protocol):
    """Notes its calls in order; data is collected, not listed."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.data = bytearray()
        self.transport: asyncio.Transport | None = None
        self.made = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")
        self.made.set_result(None)

    def data_received(self, data):
        assert type(data) is bytes and data
        self.data += data

    def eof_received(self):
        self.calls.append("eof")

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, error):
        self.calls.append(("lost", error))
        # A second call would fail here.
        self.lost.set_result(error)

    async def wait_for_data(self, size: int) -> bytes:
        """What has come in, once that is `size` bytes."""
        async with asyncio.timeout(10):
            while len(self.data) < size:
                assert not self.lost.done(), f"lost the connection after {len(self.data)} bytes"
                await asyncio.sleep(0)
        return bytes(self.data)


class Refusing(bytearray):
    """Has no buffer to give, to what asks by way of Python (3.12)."""

    def __buffer__(self, flags):
        raise ZeroDivisionError


class Echo(Recorder):
    """Sends everything back."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


class Paused(Recorder):
    """Reads nothing until somebody lets it."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


class KeepsOpen(Recorder):
    """Stays writable after the peer's end of file."""

    def eof_received(self):
        super().eof_received()
        return True


@contextlib.asynccontextmanager
async def connected(
    client: Callable[[], Recorder] = Recorder,
    server: Callable[[], Recorder] = Recorder,
    *,
    connect: Mapping[str, object] = NOTHING,
    listen: Mapping[str, object] = NOTHING,
) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The two ends of a TCP connection, made by create_server and create_connection.

    Those get the options `listen` and `connect`.
    """
    loop = asyncio.get_running_loop()
    accepted = []

    def accept():
        accepted.append(server())
        return accepted[0]

    listening = await loop.create_server(accept, "127.0.0.1", 0, **listen)
    address = listening.sockets[0].getsockname()
    _, connecting = await loop.create_connection(client, *address, **connect)
    while not accepted:
        await asyncio.sleep(0)
    await accepted[0].made
    listening.close()
    try:
        yield connecting, accepted[0]
    finally:
        await drop(connecting)
        await drop(accepted[0])


@contextlib.asynccontextmanager
async def with_raw_peer(
    factory: Callable[[], Recorder] = Recorder,
) -> AsyncIterator[tuple[Recorder, socket.socket]]:
    """A protocol and the plain non-blocking socket at the other end."""
    mine, peer = socket.socketpair()
    peer.setblocking(False)
    with peer:
        _, protocol = await asyncio.get_running_loop().create_connection(factory, sock=mine)
        try:
            yield protocol, peer
        finally:
            await drop(protocol)


async def drop(protocol: Recorder) -> None:
    """End a connection unless it has ended: asyncio's abort() is not always harmless after that."""
    if not protocol.lost.done():
        protocol.transport.abort()
        async with asyncio.timeout(5):
            await protocol.lost


async def read_all(sock: socket.socket) -> bytes:
    """What a plain socket receives until the end of file."""
    data = bytearray()
    while chunk := await read_some(sock):
        data += chunk
    return bytes(data)


async def read_some(sock: socket.socket, size: int = 1 << 20) -> bytes:
    """What a plain non-blocking socket has, waiting for it if need be."""
    async with asyncio.timeout(10):
        while True:
            try:
                return sock.recv(size)
            except BlockingIOError:
                await asyncio.sleep(0.0005)


def fill(transport: asyncio.WriteTransport, chunk: bytes = bytes(65536)) -> int:
    """Write until some of it waits in the transport's buffer; returns how much was written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(chunk)
        written += len(chunk)
    return written


@contextlib.contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """The address of a listener whose queue is full: connecting to it takes for ever."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()
