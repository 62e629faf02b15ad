"""An echo server under one loop, written in the several ways people write one.

    python -m bench.echo.server --loop uvloop --mode streams 0
    python -m bench.echo.server --loop cloop --mode protocol unix:/tmp/echo
    python -m bench.echo.server --loop cloop --mode udp udp:0

Prints one line of JSON when it listens: its pid and its port, as the C server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from ..loops import FACTORIES, factory_of
from ..tool import new_parser

RECEIVE = 256 * 1024  # as the C server, and as asyncio's own transports ask for
BACKLOG = 1024
LINE_LIMIT = 1024 * 1024  # streams refuse a line longer than this


class Echo(asyncio.Protocol):
    """What has come goes back."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class PiecesEcho(Echo):
    """The same in ten writes."""

    def data_received(self, data: bytes) -> None:
        size = -(-len(data) // 10)
        for start in range(0, len(data), size):
            self.transport.write(data[start : start + size])


class LinesEcho(Echo):
    """The same by writelines of fifty pieces."""

    def data_received(self, data: bytes) -> None:
        size = -(-len(data) // 50)
        self.transport.writelines([data[start : start + size] for start in range(0, len(data), size)])


class BufferedEcho(asyncio.BufferedProtocol):
    """The same with a buffer of the protocol's own, which the loop receives into."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(RECEIVE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.buffer[:nbytes])


class DatagramEcho(asyncio.DatagramProtocol):
    """A datagram goes back to where it came from."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


async def echo_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """read, write, drain."""
    # Here and below: a client may end with an echo under way, which resets the connection.
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(RECEIVE):
            writer.write(data)
            await writer.drain()
    writer.close()


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """readline, write, drain."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


async def echo_socket(sock: socket.socket) -> None:
    """sock_recv and sock_sendall, until the peer has gone."""
    loop = asyncio.get_running_loop()
    with sock, contextlib.suppress(ConnectionError):
        while data := await loop.sock_recv(sock, RECEIVE):
            await loop.sock_sendall(sock, data)


Tell = Callable[[], None]  # to be called by who has started


async def keep(server: asyncio.AbstractServer, tell: Tell) -> None:
    """Let the server, which has started, serve until the process is ended."""
    tell()
    # Not serve_forever: rloop 0.5.0 stops listening when it is called on a server that has started.
    async with server:
        await asyncio.get_running_loop().create_future()


Context = ssl.SSLContext | None


async def serve_protocol(
    listener: socket.socket, context: Context, tell: Tell, protocol: Callable[[], asyncio.BaseProtocol]
) -> None:
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        server = await loop.create_unix_server(protocol, sock=listener, backlog=BACKLOG, ssl=context)
    else:
        server = await loop.create_server(protocol, sock=listener, backlog=BACKLOG, ssl=context)
    await keep(server, tell)


StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve_streams(
    listener: socket.socket, context: Context, tell: Tell, handler: StreamHandler, limit: int
) -> None:
    start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
    server = await start(handler, sock=listener, backlog=BACKLOG, limit=limit, ssl=context)
    await keep(server, tell)


async def serve_sockets(listener: socket.socket, _context: Context, tell: Tell) -> None:
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    tell()
    tasks = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        if sock.family != socket.AF_UNIX:
            # Transports set it by themselves.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(echo_socket(sock))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve_datagrams(sock: socket.socket, _context: Context, tell: Tell) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(DatagramEcho, sock=sock)
    tell()
    await loop.create_future()


MODES: dict[str, Callable[[socket.socket, Context, Tell], Awaitable[None]]] = {
    "protocol": partial(serve_protocol, protocol=Echo),
    "pieces": partial(serve_protocol, protocol=PiecesEcho),
    "writelines": partial(serve_protocol, protocol=LinesEcho),
    "buffered": partial(serve_protocol, protocol=BufferedEcho),
    "streams": partial(serve_streams, handler=echo_reads, limit=64 * 1024),  # asyncio's default limit
    "readline": partial(serve_streams, handler=echo_lines, limit=LINE_LIMIT),
    "sock": serve_sockets,
    "udp": serve_datagrams,
}


def listen(address: str) -> socket.socket:
    """A listening socket on `address`: a port of 127.0.0.1 (0: any), unix:/path, or a port of UDP."""
    if address.startswith("udp:"):
        listener = socket.socket(type=socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", int(address.removeprefix("udp:"))))
        return listener
    if address.startswith("unix:"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address.removeprefix("unix:"))
    else:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(address)))
    listener.listen(BACKLOG)
    return listener


def server_context(pem: str | None) -> Context:
    """A context with the certificate and key of a file; None for plain TCP."""
    if pem is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def serve(mode: str, address: str, pem: str | None) -> None:
    listener = listen(address)
    port = 0 if listener.family == socket.AF_UNIX else listener.getsockname()[1]
    # Told when the loop has taken it: not every loop has every kind of server.
    tell = partial(print, json.dumps({"pid": os.getpid(), "port": port}), flush=True)
    await MODES[mode](listener, server_context(pem), tell)


def main() -> None:
    parser = new_parser("bench.echo.server", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="asyncio")
    parser.add_argument("--mode", choices=MODES, default="protocol")
    parser.add_argument(
        "address", help="a port of 127.0.0.1 (0: any), unix:/path, or with --mode udp udp:PORT"
    )
    parser.add_argument("--tls", metavar="PEM", help="serve over TLS, with the certificate and key of a file")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        runner.run(serve(args.mode, args.address, args.tls))


if __name__ == "__main__":
    main()
