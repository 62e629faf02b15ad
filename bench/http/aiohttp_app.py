"""Hello world as an aiohttp server under one loop.

python -m bench.http.aiohttp_app --loop uvloop --port 8080
"""

from __future__ import annotations

import asyncio
import ssl

from aiohttp import web

from ..echo.server import server_context
from ..loops import FACTORIES, factory_of
from ..tool import new_parser


async def hello(request: web.Request) -> web.Response:
    """Answer with the same few bytes as the ASGI application."""
    return web.Response(text="Hello, world!")


async def serve(port: int, context: ssl.SSLContext | None) -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    await asyncio.get_running_loop().create_future()


def main() -> None:
    parser = new_parser("bench.http.aiohttp_app", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="asyncio")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", metavar="PEM", help="serve over TLS, with the certificate and key of a file")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        runner.run(serve(args.port, server_context(args.tls)))


if __name__ == "__main__":
    main()
