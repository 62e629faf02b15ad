"""blockbuster reports what halts the loop's thread: cloop's own files call nothing that does."""

import asyncio
import contextlib
import os
import socket

import pytest

from tests.support import settle, tcp_pair

# Here, for its first import may leave a descriptor open.
pytest.importorskip("blockbuster")


@pytest.fixture
def watched(run):
    """Runs a coroutine with blockbuster on."""
    from blockbuster import blockbuster_ctx

    async def main(coro):
        with blockbuster_ctx():
            return await coro

    return lambda coro: run(main(coro))


async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


def test_it_reports_at_all(watched):
    from blockbuster import BlockingError

    async def main():
        os.stat(".")

    with pytest.raises(BlockingError):
        watched(main())


@pytest.fixture
def removes(impl):
    if not impl.is_cloop:
        pytest.skip("asyncio's removal of a file that was left behind is reported")


def test_a_unix_server(watched, removes, tmp_path):
    """Its socket's file, also one that was left behind, and when it closes."""
    path = str(tmp_path / "socket")

    async def main():
        for _ in range(2):
            server = await asyncio.start_unix_server(echo, path)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"data\n")
            assert await reader.readline() == b"data\n"
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
            # Before 3.13 it is there still.
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as left:
                left.bind(path)

    watched(main())


def test_unix_datagrams(watched, removes, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        for _ in range(2):
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                asyncio.DatagramProtocol, path, family=socket.AF_UNIX
            )
            transport.close()
            await settle()

    watched(main())


@pytest.fixture
def file(tmp_path):
    """A file that is opened before blockbuster looks."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 100_000)
    with path.open("rb") as opened:
        yield opened


def test_sock_sendfile(watched, file):
    left, right = tcp_pair()

    async def receive(loop):
        received = 0
        while received < 999_995:
            received += len(await loop.sock_recv(right, 100_000))

    async def main():
        loop = asyncio.get_running_loop()
        sending = loop.sock_sendfile(left, file, 5, fallback=False)
        return await asyncio.gather(sending, receive(loop))

    with left, right:
        assert watched(main()) == [999_995, None]


def test_sendfile(watched, file):
    async def main():
        outcomes = []

        async def send(reader, writer):
            loop = asyncio.get_running_loop()
            sending = loop.sendfile(writer.transport, file, fallback=False)
            outcomes.extend(await asyncio.gather(sending, return_exceptions=True))
            writer.close()

        server = await asyncio.start_server(send, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        received = await reader.read()
        assert (len(received), outcomes) == (1_000_000, [1_000_000])
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    watched(main())


def test_aiohttps_file_response(watched, file):
    """aiohttp calls loop.sendfile(), with files that it has opened in a thread."""
    aiohttp = pytest.importorskip("aiohttp")
    web = pytest.importorskip("aiohttp.web")

    async def answer(request):
        return web.FileResponse(file.name)

    async def main():
        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
            assert len(await response.read()) == 1_000_000
        await runner.cleanup()
        # aiohttp does not wait for the thread that closes the file.
        await asyncio.get_running_loop().shutdown_default_executor()

    watched(main())


OPTIONS = [{}, {"cwd": "/"}, {"user": 65534}, {"group": 65534}, {"extra_groups": [1, 2]}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "".join(options) or "plain")
def test_children(watched, options):
    """A child that becomes another user is not waited for either until it has execed."""
    if options.keys() & {"user", "group", "extra_groups"} and os.getuid():
        pytest.skip("only root may")

    async def main():
        child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, **options)
        output, _ = await child.communicate(b"data")
        assert (output, child.returncode) == (b"data", 0)

    watched(main())
