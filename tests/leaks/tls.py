"""TLS: whole connections, those that fail, and those that are begun later."""

import asyncio
import contextlib
import ssl
import tempfile

from tests.net.protocols import Echo, Recorder, drop, fill
from tests.net.tls import NAME, client_context, only, server_context, tls_connected
from tests.support import Implementation

from .scenarios import scenario


@scenario
async def echo(impl: Implementation) -> None:
    async with tls_connected(server=Echo) as (mine, _):
        mine.transport.write(b"some")
        mine.transport.writelines([b"more", bytearray(b"of"), memoryview(b"it")])
        await mine.wait_for_data(12)
        for name in ("ssl_object", "peercert", "cipher", "sslcontext", "compression"):
            mine.transport.get_extra_info(name)
        mine.transport.write(bytes(1 << 20))
        await mine.wait_for_data(12 + (1 << 20))
        mine.transport.close()
        await mine.lost


@scenario
async def aborted(impl: Implementation) -> None:
    async with tls_connected() as (mine, peer):
        peer.transport.pause_reading()
        fill(mine.transport)
        mine.transport.abort()
        await mine.lost


@scenario
async def refused(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context())
    address = server.sockets[0].getsockname()
    for context, name in (
        (ssl.create_default_context(), NAME),
        (client_context(), "example.org"),
    ):
        with contextlib.suppress(ssl.SSLError):
            await loop.create_connection(Recorder, *address, ssl=context, server_hostname=name)
    # Not TLS at all.
    _, plain = await loop.create_connection(Recorder, *address)
    plain.transport.write(b"GET / HTTP/1.1\r\n\r\n")
    await plain.lost
    server.close()
    await server.wait_closed()


@scenario
async def one_two(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, ssl=server_context())
    address = server.sockets[0].getsockname()
    context = only("TLSv1_2", client_context())
    _, client = await loop.create_connection(Recorder, *address, ssl=context, server_hostname=NAME)
    client.transport.write(b"data")
    await client.wait_for_data(4)
    await drop(client)
    server.close()


class Upgrading(Recorder):
    """Begins TLS when it is asked to, and then gives back what comes."""

    def data_received(self, data):
        self.transport.write(b"ok")
        self.upgrade = asyncio.ensure_future(self.begin())

    async def begin(self) -> None:
        protected = Recorder()
        transport = await asyncio.get_running_loop().start_tls(
            self.transport, protected, server_context(), server_side=True
        )
        transport.write(await protected.wait_for_data(4))
        await protected.lost


@scenario
async def begun_later(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    accepted = []

    def accept() -> Upgrading:
        accepted.append(Upgrading())
        return accepted[0]

    server = await loop.create_server(accept, "127.0.0.1", 0)
    _, plain = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    plain.transport.write(b"please")
    await plain.wait_for_data(2)
    protected = Recorder()
    transport = await loop.start_tls(plain.transport, protected, client_context(), server_hostname=NAME)
    transport.write(b"data")
    await protected.wait_for_data(4)
    transport.close()
    await protected.lost
    await accepted[0].upgrade
    server.close()


@scenario
async def sendfile(impl: Implementation) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(100_000))
        file.seek(0)
        async with tls_connected() as (mine, peer):
            await asyncio.get_running_loop().sendfile(mine.transport, file)
            await peer.wait_for_data(100_000)
