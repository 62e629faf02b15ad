"""StreamReader and StreamWriter."""

import asyncio
import contextlib
import os
import tempfile

from tests.net.tls import NAME, client_context, server_context
from tests.support import Implementation

from .scenarios import scenario


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back each line until the end of file."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that can be done with the other end of `answer`."""
    writer.write(b"first\n")
    assert await reader.readline() == b"first\n"
    writer.writelines([b"sec", b"ond\nthird"])
    assert await reader.readexactly(3) == b"sec"
    assert await reader.readuntil(b"d\n") == b"ond\n"
    waiting = asyncio.ensure_future(reader.read(100))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    writer.write(b"\n")
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
        assert await reader.read() == b"third\n"
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readexactly(1)
    writer.close()
    await writer.wait_closed()


@scenario
async def tcp(impl: Implementation) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await converse(*await asyncio.open_connection(*server.sockets[0].getsockname()))


@scenario
async def unix(impl: Implementation) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")  # pathlib interns names, which 3.12 keeps for ever
        server = await asyncio.start_unix_server(answer, path)
        async with server:
            await converse(*await asyncio.open_unix_connection(path))


@scenario
async def tls(impl: Implementation) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context())
    async with server:
        address = server.sockets[0].getsockname()
        await converse(*await asyncio.open_connection(*address, ssl=client_context(), server_hostname=NAME))


@scenario
async def limits(impl: Implementation) -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=100)
        writer.write(bytes(1000) + b"\n")
        with contextlib.suppress(asyncio.LimitOverrunError):
            await reader.readuntil(b"\n")
        with contextlib.suppress(ValueError):
            await reader.readline()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
