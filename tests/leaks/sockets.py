"""Operations on sockets, sendfile, and names."""

import asyncio
import contextlib
import socket
import tempfile

from tests.net.protocols import Recorder, connected
from tests.support import Implementation, unused_port

from .scenarios import scenario


@scenario
async def operations(impl: Implementation) -> None:
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
            sending = loop.create_task(loop.sock_sendall(client, bytes(1 << 20)))
            got, buffer = 0, bytearray(65536)
            while got < 1 << 20:
                got += await loop.sock_recv_into(accepted, buffer)
            await sending
            never = loop.create_task(loop.sock_recv(accepted, 100))
            await asyncio.sleep(0)
            never.cancel()
            await asyncio.wait([never])
    with socket.socket() as client:
        client.setblocking(False)
        with contextlib.suppress(OSError):
            await loop.sock_connect(client, ("127.0.0.1", unused_port()))


@scenario
async def datagrams(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as left, socket.socket(type=socket.SOCK_DGRAM) as right:
        for sock in (left, right):
            sock.setblocking(False)
            sock.bind(("127.0.0.1", 0))
        receiving = loop.create_task(loop.sock_recvfrom(left, 100))
        await asyncio.sleep(0)
        await loop.sock_sendto(right, b"data", left.getsockname())
        assert (await receiving)[0] == b"data"
        await loop.sock_sendto(right, b"data", left.getsockname())
        assert (await loop.sock_recvfrom_into(left, bytearray(100)))[0] == 4


@scenario
async def sendfile(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 18))
        file.seek(0)
        async with connected() as (mine, peer):
            assert await loop.sendfile(mine.transport, file) == 1 << 18
            assert await loop.sendfile(mine.transport, file, 5, 10) == 10
            await peer.wait_for_data((1 << 18) + 10)


@scenario
async def names(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
    server = await loop.create_server(Recorder, "localhost", 0)
    server.close()
    with contextlib.suppress(socket.gaierror):
        await loop.getaddrinfo("127.0.0.1", "no such service")
