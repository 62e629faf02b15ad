"""TLS contexts, and two ends of a connection between them."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from .protocols import Recorder, drop

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


@contextlib.asynccontextmanager
async def tls_connected(
    client: Callable[[], Recorder] = Recorder, server: Callable[[], Recorder] = Recorder
) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The two ends of a TLS connection, made by create_server and create_connection."""
    loop = asyncio.get_running_loop()
    accepted = []

    def accept():
        accepted.append(server())
        return accepted[-1]

    listening = await loop.create_server(accept, "127.0.0.1", 0, ssl=server_context())
    address = listening.sockets[0].getsockname()
    _, connecting = await loop.create_connection(client, *address, ssl=client_context(), server_hostname=NAME)
    await accepted[0].made
    listening.close()
    try:
        yield connecting, accepted[0]
    finally:
        await drop(connecting)
        await drop(accepted[0])


def shake_hands(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, received: bytes) -> None:
    """Go on with a handshake by hand."""
    incoming.write(received)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
