"""pproxy decrypts by a method that it puts in the place of a reader's: a page comes through its tunnel."""

import asyncio
import contextlib

import pytest

from tests.support import unused_port

from .servers import needs

pytestmark = needs("pproxy")

PAGE = b"<p>Hello, world!</p>\n" * 500


async def serve_page(reader, writer):
    """Answer one request."""
    await reader.readuntil(b"\r\n\r\n")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PAGE)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + PAGE)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("cipher", ["aes-256-cfb-py", "chacha20-py", "rc4-md5-py"])
def test_a_page_through_an_encrypted_tunnel(run, cipher):
    import pproxy

    async def main():
        page_server = await asyncio.start_server(serve_page, "127.0.0.1", 0)
        page_port = page_server.sockets[0].getsockname()[1]
        far, near = unused_port(), unused_port()
        arguments = {"rserver": [], "verbose": lambda *_: None}
        remote = await pproxy.Server(f"ss://{cipher}:secret@127.0.0.1:{far}").start_server(dict(arguments))
        tunnel = pproxy.Connection(f"ss://{cipher}:secret@127.0.0.1:{far}")
        local = await pproxy.Server(f"http://127.0.0.1:{near}").start_server(
            {**arguments, "rserver": [tunnel]}
        )
        try:
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", near)
                request = f"GET http://127.0.0.1:{page_port}/ HTTP/1.1\r\nHost: 127.0.0.1:{page_port}\r\n\r\n"
                writer.write(request.encode())
                answer = await reader.read()
                assert answer.endswith(b"\r\n\r\n" + PAGE)
                writer.close()
                await writer.wait_closed()
        finally:
            for server in (local, remote, page_server):
                server.close()
            # The tunnel's connections end by themselves.
            for _ in range(50):
                others = asyncio.all_tasks() - {asyncio.current_task()}
                if not others:
                    break
                await asyncio.wait(others, timeout=0.1)

    run(main())
