"""What programs do, in small: each is run again and again while one allocation or system call fails."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import ssl
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable

from tests.net.tls import NAME, client_context, server_context
from tests.support import Implementation, tcp_pair

Scenario = Callable[[Implementation], Awaitable[object]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Enter a scenario in the table."""
    SCENARIOS[function.__name__] = function
    return function


def run_all_once(impl: Implementation) -> None:
    """Run all in this process, where they must succeed: what is made on first use is there afterwards."""
    for function in SCENARIOS.values():
        loop = impl.new_event_loop()
        try:
            loop.run_until_complete(function(impl))
        finally:
            loop.close()


class Echo(asyncio.Protocol):
    """Gives back what comes."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Client(asyncio.Protocol):
    """Has a future for what it gets."""

    def __init__(self):
        self.data = bytearray()
        loop = asyncio.get_running_loop()
        self.got, self.lost = loop.create_future(), loop.create_future()

    def data_received(self, data):
        self.data += data
        if self.data.endswith(b".") and not self.got.done():
            self.got.set_result(None)

    def connection_lost(self, exc):
        for future in (self.got, self.lost):
            if not future.done():
                future.set_result(exc)


class Buffered(asyncio.BufferedProtocol):
    """Gives back what comes into a buffer of its own."""

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray(100)

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, count):
        self.transport.write(bytes(self.buffer[:count]))


async def talk(transport: asyncio.Transport, client: Client, size: int = 10) -> None:
    """Send something and wait for the answer and the end."""
    transport.write(bytes(size))
    transport.writelines([b"and", bytearray(b" more"), b"."])
    await client.got
    transport.close()
    await client.lost


@scenario
async def nothing(impl: Implementation) -> None:
    """Only a loop, made and closed."""


@scenario
async def handles(impl: Implementation) -> None:
    loop, ran = asyncio.get_running_loop(), []
    for i in range(20):
        loop.call_soon(ran.append, i)
        loop.call_later(i / 10_000, ran.append, i)
    loop.call_later(100, ran.append, 0).cancel()
    await asyncio.sleep(0.003)
    assert len(ran) == 40


@scenario
async def tasks(impl: Implementation) -> None:
    async def work(i: int) -> int:
        await asyncio.sleep(0)
        return i

    loop = asyncio.get_running_loop()
    assert await impl.gather(*(work(i) for i in range(5))) == list(range(5))
    assert await impl.wait_for(work(1), 10) == 1
    done, _ = await impl.wait([loop.create_task(work(i)) for i in range(3)])
    assert len(done) == 3
    assert await impl.shield(work(2)) == 2
    future = loop.create_future()
    loop.call_soon(future.set_result, 3)
    assert await future == 3
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(loop.create_future(), 0.001)
    queue: asyncio.Queue[int] = asyncio.Queue()
    loop.call_soon(queue.put_nowait, 1)
    assert await queue.get() == 1


@scenario
async def threads(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, sum, (1, 2)) == 3
    assert await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    await loop.shutdown_default_executor()


@scenario
async def signals(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    came = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, came.set_result, None)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        await came
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


async def echoed(factory: Callable[[], asyncio.BaseProtocol], size: int, secure: bool = False) -> None:
    """A server and a client."""
    loop = asyncio.get_running_loop()
    listen, connect = contexts() if secure else ({}, {})
    server = await loop.create_server(factory, "127.0.0.1", 0, **listen)
    try:
        address = server.sockets[0].getsockname()
        transport, client = await loop.create_connection(Client, *address, **connect)
        try:
            await talk(transport, client, size)
        finally:
            transport.abort()
    finally:
        server.close()
    await server.wait_closed()


@functools.cache
def contexts() -> tuple[dict[str, object], dict[str, object]]:
    """Arguments for a server and a client over TLS; contexts are made once, by the parent."""
    return {"ssl": server_context()}, {"ssl": client_context(), "server_hostname": NAME}


@scenario
async def tcp(impl: Implementation) -> None:
    await echoed(Echo, 10)


@scenario
async def tcp_buffered(impl: Implementation) -> None:
    await echoed(Buffered, 3_000)


@scenario
async def tcp_large(impl: Implementation) -> None:
    await echoed(Echo, 3_000_000)


@scenario
async def tcp_refused(impl: Implementation) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().create_connection(Client, *sock.getsockname())


@scenario
async def tls(impl: Implementation) -> None:
    await echoed(Echo, 10, secure=True)


@scenario
async def tls_buffered(impl: Implementation) -> None:
    await echoed(Buffered, 5_000, secure=True)


@scenario
async def tls_later(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    listen, connect = contexts()
    mine, theirs = tcp_pair()
    with mine, theirs:
        client, _ = await loop.create_connection(Client, sock=mine)
        server, _ = await loop.connect_accepted_socket(Client, theirs)
        inner = Client()
        try:
            secure, plain = await asyncio.gather(
                loop.start_tls(client, inner, connect["ssl"], server_hostname=NAME),
                loop.start_tls(server, Echo(), listen["ssl"], server_side=True),
            )
            # start_tls() calls no connection_made().
            plain.get_protocol().transport = plain
            await talk(secure, inner)
        finally:
            client.abort()
            server.abort()


@scenario
async def tls_refused(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, **contexts()[0])
    try:
        with contextlib.suppress(ssl.SSLError):
            await loop.create_connection(
                Client, *server.sockets[0].getsockname(), ssl=trusts_nobody(), server_hostname=NAME
            )
    finally:
        server.close()


@functools.cache
def trusts_nobody() -> ssl.SSLContext:
    """A client's context without certificates."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back each line."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that a client does with streams."""
    try:
        writer.write(b"first\nsecond\n")
        await writer.drain()
        assert await reader.readline() == b"first\n"
        assert await reader.readexactly(3) == b"sec"
        assert await reader.readuntil(b"d\n") == b"ond\n"
        if writer.can_write_eof():
            writer.write_eof()
            assert await reader.read() == b""
    finally:
        writer.close()
    await writer.wait_closed()


@scenario
async def streams(impl: Implementation) -> None:
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        await converse(*await asyncio.open_connection(*server.sockets[0].getsockname()))


@scenario
async def streams_unix(impl: Implementation) -> None:
    path = os.path.join(tempfile.gettempdir(), f"fuzz-{os.getpid()}")
    try:
        async with await impl_start(impl)(answer, path):
            await converse(*await asyncio.open_unix_connection(path))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def impl_start(impl: Implementation) -> Callable[..., Awaitable[asyncio.Server]]:
    """The implementation's own function."""
    return impl.start_unix_server


@scenario
async def streams_tls(impl: Implementation) -> None:
    listen, connect = contexts()
    async with await asyncio.start_server(answer, "127.0.0.1", 0, **listen) as server:
        await converse(*await asyncio.open_connection(*server.sockets[0].getsockname(), **connect))


class Datagrams(asyncio.DatagramProtocol):
    """Has a future for the first, or replies; an error at either end is one of the future."""

    def __init__(self, got: asyncio.Future[bytes], reply: bool = False):
        self.got = got
        self.reply = reply

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if self.reply:
            self.transport.sendto(data, addr)
        elif not self.got.done():
            self.got.set_result(data)

    def error_received(self, exc):
        if not self.got.done():
            self.got.set_exception(exc)


@scenario
async def datagrams(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    got = loop.create_future()
    server, _ = await loop.create_datagram_endpoint(lambda: Datagrams(got, True), local_addr=("127.0.0.1", 0))
    try:
        address = server.get_extra_info("sockname")
        client, _ = await loop.create_datagram_endpoint(lambda: Datagrams(got), remote_addr=address)
        try:
            client.sendto(b"data")
            assert await got == b"data"
        finally:
            client.close()
    finally:
        server.close()
    await asyncio.sleep(0)


@scenario
async def socket_operations(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        listener.setblocking(False)
        client.setblocking(False)
        accepting = loop.create_task(loop.sock_accept(listener))
        await loop.sock_connect(client, listener.getsockname())
        accepted, _ = await accepting
        with accepted:
            receiving = loop.create_task(loop.sock_recv(accepted, 100))
            await asyncio.sleep(0)
            await loop.sock_sendall(client, b"data")
            assert await receiving == b"data"
            # What one of them raises ends the other.
            async with asyncio.TaskGroup() as group:
                group.create_task(loop.sock_sendall(client, bytes(1 << 20)))
                got, buffer = 0, bytearray(1 << 19)
                while got < 1 << 20:
                    got += await loop.sock_recv_into(accepted, buffer)


@scenario
async def watched(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        read, written = loop.create_future(), loop.create_future()
        loop.add_reader(left, lambda: read.done() or read.set_result(left.recv(10)))
        loop.add_writer(right, lambda: written.done() or written.set_result(right.send(b"x")))
        try:
            await asyncio.gather(read, written)
        finally:
            loop.remove_reader(left)
            loop.remove_writer(right)


@scenario
async def sendfile(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(99_999) + b".")
            file.seek(0)
            transport, client = await loop.create_connection(Client, *server.sockets[0].getsockname())
            try:
                assert await loop.sendfile(transport, file) == 100_000
                await client.got
            finally:
                transport.abort()
    finally:
        server.close()


@scenario
async def pipes(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = (
        os.fdopen(fd, mode, buffering=0) for fd, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
    )
    with reader, writer:
        reading, client = await loop.connect_read_pipe(Client, reader)
        writing, _ = await loop.connect_write_pipe(asyncio.Protocol, writer)
        try:
            writing.write(bytes(200_000) + b".")
            await client.got
            writing.close()
            await client.lost
        finally:
            reading.close()
            writing.abort()


@scenario
async def processes(impl: Implementation) -> None:
    child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
    try:
        assert await child.communicate(b"data") == (b"data", None)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
