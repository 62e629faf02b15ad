"""A live program of every sort of object: what arbitrary calls are made on."""

import asyncio
import contextlib
import gc
import os
import socket
import tempfile
from asyncio import subprocess

import cloop
from cloop.api.streams import make_reader
from tests.net.tls import NAME, client_context, server_context
from tests.support import tcp_pair

from .values import CalledBuffered, CalledDatagrams, CalledProtocol, CalledSubprocess, LyingSocket, mischief

# Descriptors of the fuzzer's own, for what takes numbers.
OWN_FDS = (250, 251)


class Scenery:
    """A loop that has been used for everything, and what is alive on it."""

    def __init__(self) -> None:
        self.loop = cloop.new_event_loop()
        self.others = [cloop.new_event_loop(), cloop.new_event_loop()]
        self.others[1].close()
        self.kept: list[object] = []
        left, right = socket.socketpair()
        for sock, fd in zip((left, right), OWN_FDS, strict=True):
            os.dup2(sock.fileno(), fd)
            sock.close()
            os.set_blocking(fd, False)
        for part in (
            self.tasks,
            self.tcp,
            self.streams,
            self.datagrams,
            self.pipes,
            self.sockets,
            self.processes,
        ):
            with contextlib.suppress(Exception):
                self.loop.run_until_complete(asyncio.wait_for(part(), 2))

    def keep(self, *objects: object) -> None:
        """Keep them alive."""
        self.kept.extend(objects)

    async def tasks(self) -> None:
        """Futures and tasks that wait for each other, handles, timers."""
        loop = self.loop
        futures = [loop.create_future() for _ in range(4)]
        futures[3].add_done_callback(lambda future: mischief.answer(None))
        tasks = [loop.create_task(cloop.wait_for(futures[i], 100)) for i in range(2)]
        gathered = cloop.gather(*tasks, return_exceptions=True)
        shielded = cloop.shield(futures[2])
        waiting = loop.create_task(cloop.wait([futures[0], futures[2]], timeout=100))

        async def awaiting() -> None:
            with contextlib.suppress(BaseException):
                await shielded
            await asyncio.sleep(1000)

        async def generate():
            yield 1
            await asyncio.sleep(1000)

        generator = generate()
        await anext(generator)
        running = loop.create_task(awaiting())
        done = loop.create_task(asyncio.sleep(0))
        handles = [loop.call_later(delay, mischief.answer, None) for delay in (0.001, 100)]
        handles.append(loop.call_soon(mischief.answer, None))
        handles.append(loop.call_soon_threadsafe(mischief.answer, None))
        in_thread = loop.run_in_executor(None, int)
        await asyncio.sleep(0)
        iterator = futures[1].__await__()
        next(iterator)
        self.keep(
            futures,
            tasks,
            gathered,
            shielded,
            waiting,
            running,
            done,
            handles,
            in_thread,
            iterator,
            generator,
        )

    async def tcp(self) -> None:
        """Transports over TCP and TLS, of protocols that do things."""
        loop = self.loop
        for listen, connect in (
            ({}, {}),
            ({"ssl": server_context()}, {"ssl": client_context(), "server_hostname": NAME}),
        ):
            server = await loop.create_server(CalledBuffered, "127.0.0.1", 0, **listen)
            address = server.sockets[0].getsockname()
            for factory in (CalledProtocol, CalledBuffered):
                transport, protocol = await loop.create_connection(factory, *address, **connect)
                transport.write(b"some data")
                self.keep(transport, protocol)
            transport.close()
            self.keep(server)
        inner = CalledProtocol()
        mine, other = tcp_pair()
        plain, _ = await loop.create_connection(CalledProtocol, sock=mine)
        upgrade = loop.create_task(loop.start_tls(plain, inner, client_context(), server_hostname=NAME))
        await asyncio.sleep(0)
        full, _ = await loop.connect_accepted_socket(CalledProtocol, LyingSocket(fileno=other.detach()))
        full.write(bytes(5_000_000))
        self.keep(plain, inner, upgrade, full)

    async def streams(self) -> None:
        """Readers and writers, with calls that wait."""

        async def serve(reader, writer) -> None:
            self.keep(reader, writer)
            writer.write(b"line\nand more")

        for listen, connect in (
            ({}, {}),
            ({"ssl": server_context()}, {"ssl": client_context(), "server_hostname": NAME}),
        ):
            server = await cloop.start_server(serve, "127.0.0.1", 0, **listen)
            reader, writer = await cloop.open_connection(*server.sockets[0].getsockname(), **connect)
            await reader.readline()
            calls = [
                writer.drain(),
                reader.read(5),
                reader.readexactly(5),
                reader.readuntil(b"x"),
                reader.readline(),
            ]
            waiting = [self.loop.create_task(reader.readexactly(5000))]
            await asyncio.sleep(0)
            self.keep(server, reader, writer, calls, waiting)
        path = os.path.join(tempfile.mkdtemp(dir="."), "socket")
        server = await asyncio.start_unix_server(serve, path)
        self.keep(server, await asyncio.open_unix_connection(path))
        made = make_reader(self.loop, 100)
        made.feed_data(b"fed\n")
        self.keep(made)

    async def datagrams(self) -> None:
        """Endpoints with a peer and without."""
        loop = self.loop
        first, _ = await loop.create_datagram_endpoint(CalledDatagrams, local_addr=("127.0.0.1", 0))
        address = first.get_extra_info("sockname")
        second, _ = await loop.create_datagram_endpoint(CalledDatagrams, remote_addr=address)
        second.sendto(b"data")
        self.keep(first, second)

    async def pipes(self) -> None:
        """Both ends of pipes."""
        reader, writer = os.pipe()
        read, _ = await self.loop.connect_read_pipe(CalledProtocol, os.fdopen(reader, "rb", 0))
        write, _ = await self.loop.connect_write_pipe(CalledProtocol, os.fdopen(writer, "wb", 0))
        write.write(b"data")
        self.keep(read, write)

    async def sockets(self) -> None:
        """Operations on sockets that wait, and watched descriptors."""
        loop = self.loop
        left, right = socket.socketpair()
        for sock in (left, right):
            sock.setblocking(False)
        waiting = loop.create_task(loop.sock_recv(left, 10))
        waiting_into = loop.create_task(loop.sock_recv_into(right, bytearray(10)))
        watched, peer = socket.socketpair()
        handle = loop._add_reader(watched, mischief.answer, None)
        loop.add_writer(OWN_FDS[0], mischief.answer, None)
        await asyncio.sleep(0)
        self.keep(left, right, waiting, waiting_into, watched, peer, handle)

    async def processes(self) -> None:
        """Children that wait for input."""
        child = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        transport, protocol = await self.loop.subprocess_exec(CalledSubprocess, "cat")
        self.keep(child, transport, protocol)


def of_package(kind: type) -> bool:
    """Whether a class is the package's, or derived from one of it."""
    return any(getattr(base, "__module__", "").startswith("cloop") for base in kind.__mro__)


def found_by_collector() -> list[object]:
    """Every object of the package's classes that the collector knows, also one that is half built."""
    return [thing for thing in gc.get_objects() if of_package(type(thing))]
