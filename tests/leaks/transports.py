"""Transports with protocols: TCP, unix sockets, pipes, datagrams."""

import asyncio
import contextlib
import os
import socket
import tempfile

from tests.net import datagrams
from tests.net.datagrams import endpoint, name_of
from tests.net.pipes import read_pipe, take, write_pipe
from tests.net.protocols import Echo, KeepsOpen, Paused, Recorder, connected, drop, fill, with_raw_peer
from tests.support import Implementation, unused_port

from .scenarios import scenario


class IntoBuffer(asyncio.BufferedProtocol):
    """Receives into one buffer."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, sizehint):
        return self.buffer

    def connection_lost(self, error):
        self.lost.set_result(error)


@scenario
async def tcp(impl: Implementation) -> None:
    async with connected(server=Echo) as (mine, _):
        mine.transport.write(b"some")
        mine.transport.writelines([b"more", bytearray(b"of"), memoryview(b"it")])
        await mine.wait_for_data(12)
        mine.transport.get_extra_info("peername")
        mine.transport.write(bytes(1 << 20))
        await mine.wait_for_data(12 + (1 << 20))
        mine.transport.close()
        await mine.lost


@scenario
async def flow_control(impl: Implementation) -> None:
    async with connected(server=Paused) as (mine, peer):
        written = fill(mine.transport)
        mine.transport.set_write_buffer_limits(1 << 20, 1000)
        peer.transport.resume_reading()
        await peer.wait_for_data(written)
        fill(peer.transport, bytearray(65536))
        peer.transport.abort()
        await peer.lost


@scenario
async def half_closed(impl: Implementation) -> None:
    async with connected(server=KeepsOpen) as (mine, peer):
        mine.transport.write_eof()
        while "eof" not in peer.calls:
            await asyncio.sleep(0)
        peer.transport.write(b"last")
        await mine.wait_for_data(4)


@scenario
async def reset_by_the_peer(impl: Implementation) -> None:
    async with with_raw_peer() as (mine, peer):
        fill(mine.transport)
        peer.close()
        await mine.lost


@scenario
async def into_a_buffer(impl: Implementation) -> None:
    left, right = socket.socketpair()
    with right:
        transport, protocol = await asyncio.get_running_loop().create_connection(IntoBuffer, sock=left)
        right.send(b"data")
        while not protocol.buffer.startswith(b"data"):
            await asyncio.sleep(0)
        transport.set_protocol(protocol)
        transport.close()
        await protocol.lost


class Raising(Recorder):
    """Fails at what comes."""

    def data_received(self, data):
        raise ValueError


@scenario
async def failing_protocols(impl: Implementation) -> None:
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
    async with with_raw_peer(Raising) as (mine, peer):
        peer.send(b"data")
        await mine.lost
    assert len(reports) == 1


@scenario
async def servers(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
    await server.start_serving()
    _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    serving = loop.create_task(server.serve_forever())
    await asyncio.sleep(0)
    await drop(client)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    with contextlib.suppress(OSError):
        await loop.create_server(Recorder, "192.0.2.1", 0)


@scenario
async def refused(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        await loop.create_connection(Recorder, "127.0.0.1", unused_port())
    with contextlib.suppress(OSError):
        await loop.create_connection(Recorder, "localhost", unused_port(), happy_eyeballs_delay=0.1)
    with contextlib.suppress(ValueError):
        await loop.create_connection(Recorder)


@scenario
async def left_open(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with right:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        transport.write(b"data")
        transport.abort()


@scenario
async def unix(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "socket")  # pathlib interns names, which 3.12 keeps for ever
        server = await loop.create_unix_server(Echo, path)
        _, client = await loop.create_unix_connection(Recorder, path)
        client.transport.write(b"data")
        await client.wait_for_data(4)
        await drop(client)
        server.close()
        await server.wait_closed()
        with contextlib.suppress(OSError):
            await loop.create_unix_connection(Recorder, path + "-no")


@scenario
async def pipes(impl: Implementation) -> None:
    async with read_pipe() as (protocol, writer):
        writer.write(b"data")
        await protocol.wait_for_data(4)
        writer.close()
        await protocol.lost
    async with write_pipe() as (protocol, reader):
        size = fill(protocol.transport)
        protocol.transport.write_eof()
        assert len(await take(reader, size)) == size
        await protocol.lost
    async with write_pipe() as (protocol, reader):
        fill(protocol.transport)
        reader.close()
        await protocol.lost


@scenario
async def udp(impl: Implementation) -> None:
    async with endpoint(datagrams.Echo) as server:
        async with endpoint(remote_addr=name_of(server)) as client:
            for _ in range(5):
                client.transport.sendto(b"data")
            await client.wait_for(5)
        async with endpoint() as client:
            client.transport.sendto(bytearray(b"data"), name_of(server))
            await client.wait_for(1)
    async with endpoint(remote_addr=("127.0.0.1", datagrams.unused_udp_port())) as client:
        client.transport.sendto(b"refused")
        await asyncio.sleep(0.001)
