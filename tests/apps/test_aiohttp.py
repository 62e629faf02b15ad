"""An aiohttp server and client on one loop, over real sockets."""

import asyncio
import contextlib
import io

import pytest

from tests.apps.servers import needs

aiohttp = pytest.importorskip("aiohttp", reason="not installed: aiohttp")
from aiohttp import web  # noqa: E402

pytestmark = needs("aiohttp")

CHUNK = bytes(range(256)) * 256


async def hello(request):
    return web.json_response({"method": request.method, "name": request.query.get("name")})


async def upload(request):
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
    return web.json_response({"size": size})


async def download(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query["chunks"])):
        await response.write(CHUNK)
    await response.write_eof()
    return response


async def slow(request):
    await asyncio.sleep(60)
    return web.Response()


async def fails(request):
    return web.Response(status=418)


async def echo_messages(request):
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        await websocket.send_str(message.data.upper())
    return websocket


@contextlib.asynccontextmanager
async def serving():
    """The application's URL, and a client session."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/hello", hello),
            web.post("/hello", hello),
            web.post("/upload", upload),
            web.get("/download", download),
            web.get("/slow", slow),
            web.get("/fails", fails),
            web.get("/messages", echo_messages),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
            yield session
    finally:
        await runner.cleanup()
        await asyncio.sleep(0.01)


@pytest.fixture
def run(loop):
    """Runs a coroutine; name look-ups and files go through the default executor, which is ended."""

    def run_and_clean_up(coro):
        try:
            return loop.run_until_complete(coro)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())

    return run_and_clean_up


def test_requests_at_once(run):
    async def main():
        async def get(session, number):
            async with session.get("/hello", params={"name": str(number)}) as response:
                return (await response.json())["name"]

        async with serving() as session:
            for _ in range(5):
                names = await asyncio.gather(*(get(session, number) for number in range(50)))
                assert names == [str(number) for number in range(50)]

    run(main())


def test_one_connection_is_kept(run):
    async def main():
        async with serving() as session:
            for _ in range(100):
                async with session.post("/hello") as response:
                    assert await response.json() == {"method": "POST", "name": None}
            return len(session.connector._conns)

    assert run(main()) == 1


def test_large_bodies(run):
    async def main():
        async with serving() as session:
            async with session.post("/upload", data=io.BytesIO(CHUNK * 100)) as response:
                assert await response.json() == {"size": len(CHUNK) * 100}
            async with session.get("/download", params={"chunks": "100"}) as response:
                assert await response.read() == CHUNK * 100

    run(main())


def test_a_download_that_is_broken_off(run):
    async def main():
        async with serving() as session:
            for _ in range(5):
                async with session.get("/download", params={"chunks": "1000"}) as response:
                    await response.content.readexactly(1000)
                    response.close()
            async with session.get("/hello") as response:
                return response.status

    assert run(main()) == 200


def test_web_sockets(run):
    async def main():
        async with serving() as session, session.ws_connect("/messages") as websocket:
            for number in range(200):
                await websocket.send_str(f"message {number}")
                assert await websocket.receive_str() == f"MESSAGE {number}"
            await websocket.send_str("x" * 300_000)
            assert await websocket.receive_str() == "X" * 300_000

    run(main())


def test_a_request_that_takes_too_long(run):
    async def main():
        async with serving() as session:
            with pytest.raises(asyncio.TimeoutError):
                await session.get("/slow", timeout=aiohttp.ClientTimeout(total=0.05))

    run(main())


def test_statuses_and_refusals(run):
    async def main():
        async with serving() as session:
            async with session.get("/fails") as response:
                assert response.status == 418
            async with session.get("/nowhere") as response:
                assert response.status == 404
            port = session._base_url.port
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError, match="Connect call failed"):
                await session.get(f"http://127.0.0.1:{port}/")

    run(main())
