"""TLS contexts, and two ends of a connection between them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.support import tcp_pair

from .protocols import Recorder, connected, drop, read_some

PEM = str(Path(__file__).with_name("certificate.pem"))
NAME = "localhost"


def server_context() -> ssl.SSLContext:
    """Shows the certificate of NAME."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def client_context() -> ssl.SSLContext:
    """Trusts that certificate and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(PEM)
    return context


def only(version: str, context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, for one version of TLS, such as TLSv1_2."""
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    return context


def tls_connected(
    client: Callable[[], Recorder] = Recorder,
    server: Callable[[], Recorder] = Recorder,
    contexts: Sequence[ssl.SSLContext] = (),
) -> AbstractAsyncContextManager[tuple[Recorder, Recorder]]:
    """As `connected`, over TLS; `contexts` are the client's and the server's."""
    mine, theirs = contexts or (client_context(), server_context())
    return connected(client, server, connect={"ssl": mine, "server_hostname": NAME}, listen={"ssl": theirs})


def shake_hands(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, received: bytes) -> None:
    """Go on with a handshake by hand."""
    incoming.write(received)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()


class Peer:
    """The other end of a connection by hand: an SSLObject, and a plain non-blocking socket."""

    def __init__(self, sock, context: ssl.SSLContext, **options: object) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, **options)

    async def send(self, data: bytes) -> None:
        """Send what is encrypted."""
        await send_all(self.sock, data)

    async def receive(self) -> bytes:
        """Something encrypted, or nothing at the end."""
        return await read_some(self.sock)

    async def flush(self, piece: int = 1 << 20, pause: int = 0) -> None:
        """Send what is to be sent, in pieces and with turns of the loop between."""
        data = self.outgoing.read()
        for i in range(0, len(data), piece):
            await self.send(data[i : i + piece])
            for _ in range(pause):
                await asyncio.sleep(0)

    async def do(self, step: Callable, *arguments: object, piece: int = 1 << 20, pause: int = 0):
        """Do a step of the SSLObject to its end: do_handshake, read, unwrap..."""
        async with asyncio.timeout(10):
            while True:
                try:
                    return step(*arguments)
                except ssl.SSLWantReadError:
                    await self.flush(piece, pause)
                    data = await self.receive()
                    if not data:
                        raise EOFError from None
                    self.incoming.write(data)
                finally:
                    await self.flush(piece, pause)

    async def read_exactly(self, size: int) -> bytes:
        """Plaintext."""
        data = bytearray()
        while len(data) < size:
            data += await self.do(self.tls.read, size - len(data))
        return bytes(data)

    async def write(self, data: bytes, **how: int) -> None:
        """Encrypt and send."""
        self.tls.write(data)
        await self.flush(**how)


class InnerPeer(Peer):
    """The same over a connection of TLS that another one has: TLS in TLS."""

    def __init__(self, outer: Peer, context: ssl.SSLContext, **options: object) -> None:
        super().__init__(outer.sock, context, **options)
        self.outer = outer

    async def send(self, data: bytes) -> None:
        await self.outer.write(data)

    async def receive(self) -> bytes:
        return await self.outer.do(self.outer.tls.read, 100_000)


async def send_all(sock, data: bytes) -> None:
    """Send on a plain non-blocking socket."""
    async with asyncio.timeout(10):
        while data:
            try:
                data = data[sock.send(data) :]
            except BlockingIOError:
                await asyncio.sleep(0.0005)


@contextlib.asynccontextmanager
async def with_tls_peer(
    factory: Callable[[], Recorder] = Recorder,
    *,
    server_side: bool = True,
    context: ssl.SSLContext | None = None,
    peer_context: ssl.SSLContext | None = None,
    session: ssl.SSLSession | None = None,
    **options: object,
) -> AsyncIterator[tuple[Recorder, Peer]]:
    """A protocol over TLS, and its peer by hand, when they have shaken hands.

    A client by hand goes on with `session`.
    """
    loop = asyncio.get_running_loop()
    mine, other = tcp_pair()
    with other:
        if server_side:
            peer = Peer(other, peer_context or client_context(), server_hostname=NAME, session=session)
            opening = loop.connect_accepted_socket(factory, mine, ssl=context or server_context(), **options)
        else:
            peer = Peer(other, peer_context or server_context(), server_side=True)
            opening = loop.create_connection(
                factory, sock=mine, ssl=context or client_context(), server_hostname=NAME, **options
            )
        (_, protocol), _ = await asyncio.gather(opening, peer.do(peer.tls.do_handshake))
        try:
            yield protocol, peer
        finally:
            await drop(protocol)
