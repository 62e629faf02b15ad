"""Streams over TCP, unix sockets and TLS, made by the functions of asyncio or of cloop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType

from tests.support import PATIENCE, settle

from .tls import NAME, client_context, server_context

WIRES = ("tcp", "unix", "tls")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


@dataclass(frozen=True)
class Wire:
    """A kind of connection, and the module whose four functions make its streams."""

    kind: str
    module: ModuleType
    path: str

    @contextlib.asynccontextmanager
    async def serving(self, handler: Handler, **options: object) -> AsyncIterator[asyncio.Server]:
        """A server on a free address; when it is left, all its connections must have been closed."""
        writers = []

        def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None] | None:
            writers.append(writer)
            return handler(reader, writer)

        async with asyncio.timeout(PATIENCE), await self.serve(noted, **options) as server:
            yield server
            # Before 3.12 the server does not wait for them. How they have ended is the handler's affair.
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
            await settle()

    async def serve(self, handler: Handler, **options: object) -> asyncio.Server:
        """A server on a free address."""
        if self.kind == "unix":
            return await self.module.start_unix_server(handler, self.path, **options)
        secure = {"ssl": server_context()} if self.kind == "tls" else {}
        return await self.module.start_server(handler, "127.0.0.1", 0, **secure, **options)

    async def connect(
        self, server: asyncio.Server, **options: object
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client of that server."""
        if self.kind == "unix":
            return await self.module.open_unix_connection(self.path, **options)
        secure = {"ssl": client_context(), "server_hostname": NAME} if self.kind == "tls" else {}
        address = server.sockets[0].getsockname()
        return await self.module.open_connection(*address, **secure, **options)

    @contextlib.asynccontextmanager
    async def talking(
        self, handler: Handler, limit: int = 2**16, server_limit: int = 2**16
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A client of a server with that handler, which closes its writer by itself."""
        async with self.serving(handler, limit=server_limit) as server:
            reader, writer = await self.connect(server, limit=limit)
            try:
                yield reader, writer
            finally:
                await finish(writer)


async def finish(writer: asyncio.StreamWriter) -> None:
    """Close it, also where the connection has failed already."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def sending(*pieces: bytes) -> Handler:
    """A handler that sends the first piece, and each other one when it is asked for by a byte."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The client may have had enough.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for i, piece in enumerate(pieces):
                if i:
                    await reader.readexactly(1)
                writer.write(piece)
                await writer.drain()
        await finish(writer)

    return handler


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What comes goes back."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
    await finish(writer)
