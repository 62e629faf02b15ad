"""FastAPI by uvicorn on one loop: its page's application, with web sockets and threads."""

import asyncio
import contextlib
import importlib.util

import pytest

from tests.support import unused_port, wait_until

from .documents import programs
from .servers import needs

pytestmark = needs("fastapi", "uvicorn", "httptools", "httpx", "websockets")


@pytest.fixture
def application(tmp_path):
    """The application of the page."""
    path = tmp_path / "page_app.py"
    path.write_text(programs("servers/fastapi.md")["app.py"])
    spec = importlib.util.spec_from_file_location("page_app", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@contextlib.asynccontextmanager
async def serving(application):
    """The application's address, served by the loop that runs this."""
    import uvicorn

    port = unused_port()
    config = uvicorn.Config(application, port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    await wait_until(lambda: server.started or task.done())
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
        await asyncio.sleep(0.01)


@pytest.fixture
def run(loop):
    """Runs a coroutine, and ends the executor, which looks up names."""

    def run_and_clean_up(coro):
        try:
            return loop.run_until_complete(coro)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())

    return run_and_clean_up


def test_coroutines_threads_and_web_sockets(run, application, impl):
    async def main():
        import httpx
        from websockets.asyncio.client import connect

        async with serving(application) as address:
            async with httpx.AsyncClient(base_url=f"http://{address}") as client:
                answers = await asyncio.gather(*(client.get(path) for path in ["/", "/thread"] * 20))
            async with connect(f"ws://{address}/echo") as websocket:
                for size in (1, 1000, 500_000):
                    await websocket.send("x" * size)
                    assert await websocket.recv() == "x" * size
            return {answer.json() for answer in answers}

    loop = "cloop.loop" if impl.is_cloop else "asyncio.unix_events"
    assert run(main()) == {f"hello from {loop}", "hello from a thread"}


@pytest.mark.filterwarnings("ignore:Using .httpx. with .starlette.testclient.")
def test_the_test_client(application, impl):
    from starlette.testclient import TestClient

    with TestClient(application, backend_options={"loop_factory": impl.new_event_loop}) as client:
        loop = "cloop.loop" if impl.is_cloop else "asyncio.unix_events"
        assert client.get("/").json() == f"hello from {loop}"
        with client.websocket_connect("/echo") as websocket:
            websocket.send_text("hello")
            assert websocket.receive_text() == "hello"


def test_plain_endpoints_share_a_thread(run, loop, monkeypatch):
    """One request after the other, to an endpoint that is no coroutine function, starts one thread."""
    import threading

    import fastapi
    import httpx

    application = fastapi.FastAPI()
    names = set()

    @application.get("/")
    def plain():
        names.add(threading.current_thread().name)
        return {"hello": "world"}

    started = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: (started.append(thread.name), start(thread))
    )

    async def main():
        async with serving(application) as address, httpx.AsyncClient() as client:
            for _ in range(20):
                assert (await client.get(f"http://{address}/")).json() == {"hello": "world"}

    run(main())
    assert len([name for name in started if name in names]) == 1
