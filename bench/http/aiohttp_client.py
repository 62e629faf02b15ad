"""An aiohttp client under one loop, which gets one page over several connections that stay open.

    python -m bench.http.aiohttp_client --loop uvloop --connections 16 https://127.0.0.1:8443/

Prints one line of JSON: how many pages it got a second, and what one cost this process.
"""

from __future__ import annotations

import asyncio
import ssl
import time

import aiohttp

from ..clients import rate_of
from ..echo.setting import PEM
from ..loops import FACTORIES, factory_of
from ..tool import new_parser

WARM_UP_S = 0.3


async def get_pages(session: aiohttp.ClientSession, url: str, deadline: float) -> int:
    """Get the page again and again; returns how often."""
    pages = 0
    while time.perf_counter() < deadline:
        async with session.get(url) as response:
            await response.read()
        if response.status != 200:
            raise SystemExit(f"the server answered {response.status}")
        pages += 1
    return pages


async def measure(url: str, connections: int, seconds: float) -> str:
    """Pages a second, after some to warm up."""
    context = ssl.create_default_context(cafile=str(PEM))
    context.check_hostname = False
    connector = aiohttp.TCPConnector(limit=connections, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        for length in (WARM_UP_S, seconds):
            began, began_cpu = time.perf_counter(), time.process_time()
            workers = [get_pages(session, url, began + length) for _ in range(connections)]
            pages = sum(await asyncio.gather(*workers))
            elapsed, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return rate_of(pages, elapsed, cpu)


def main() -> None:
    parser = new_parser("bench.http.aiohttp_client", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="asyncio")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("url")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        print(runner.run(measure(args.url, args.connections, args.seconds)))


if __name__ == "__main__":
    main()
