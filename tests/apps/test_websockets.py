"""websockets: servers and clients of its own on one loop, plain and over TLS."""

import asyncio
import contextlib

import pytest

from tests.net.tls import NAME, client_context, server_context

websockets = pytest.importorskip("websockets", reason="not installed: websockets")
from websockets.asyncio.client import connect  # noqa: E402
from websockets.asyncio.server import serve  # noqa: E402


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


@pytest.fixture(params=["plain", "tls"])
def connected(request):
    """A server with a handler, and clients that are connected to it."""
    tls = request.param == "tls"

    @contextlib.asynccontextmanager
    async def server_and_clients(handler, count=1, **both):
        async with serve(handler, "127.0.0.1", 0, ssl=server_context() if tls else None, **both) as server:
            port = server.sockets[0].getsockname()[1]
            options = both | ({"ssl": client_context(), "server_hostname": NAME} if tls else {})
            async with contextlib.AsyncExitStack() as stack:
                url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
                yield [await stack.enter_async_context(connect(url, **options)) for _ in range(count)]
        await asyncio.sleep(0.01)

    return server_and_clients


def test_messages_of_all_sizes(run, connected):
    async def main():
        async with connected(echo) as (client,):
            for size in (0, 1, 125, 126, 65535, 65536, 900_000):
                for message in ("x" * size, bytes(size)):
                    await client.send(message)
                    assert await client.recv() == message

    run(main())


def test_many_clients(run, connected):
    async def talk(client, number):
        for turn in range(50):
            await client.send(f"{number} {turn}")
            assert await client.recv() == f"{number} {turn}"

    async def main():
        async with connected(echo, 20) as clients:
            await asyncio.gather(*(talk(client, number) for number, client in enumerate(clients)))

    run(main())


def test_a_slow_reader_holds_its_sender(run, connected):
    sent = []

    async def flood(websocket):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await websocket.send(bytes(100_000))
                sent.append(1)

    async def main():
        # What is compressed to nothing would never be held.
        async with connected(flood, compression=None) as (client,):
            await asyncio.sleep(0.2)
            held = len(sent)
            await asyncio.sleep(0.2)
            assert len(sent) == held
            for _ in range(held + 10):
                assert len(await client.recv()) == 100_000

    run(main())


def test_closing_and_pings(run, connected):
    async def close(websocket):
        await websocket.recv()
        await websocket.close(4001, "enough")

    async def main():
        async with connected(close) as (client,):
            assert await (await client.ping()) >= 0
            await client.send("go on")
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await client.recv()
            return caught.value.rcvd.code, caught.value.rcvd.reason

    assert run(main()) == (4001, "enough")
