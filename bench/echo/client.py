"""A client under one loop that downloads what the C server sends each connection.

    python -m bench.echo.client --loop uvloop --mode protocol --bytes 1000000 8080

Prints one line of JSON: the seconds from the connection's beginning (over TLS from the end of the handshake)
to the last byte, and what that cost this process.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import time
from collections.abc import Callable

from ..loops import FACTORIES, factory_of
from ..tool import new_parser

BUFFER = 256 * 1024


class Download(asyncio.Protocol):
    """Counts what comes, until it is all there."""

    def __init__(self, size: int, done: asyncio.Future[None]) -> None:
        self.left = size
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.began_ns = time.perf_counter_ns()
        self.began_cpu_ns = time.process_time_ns()
        self.began_faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if self.left <= 0:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or EOFError("the server has closed the connection"))

    def costs(self) -> dict[str, float]:
        """What it took so far."""
        return {
            "seconds": (time.perf_counter_ns() - self.began_ns) / 1e9,
            "cpu_us": (time.process_time_ns() - self.began_cpu_ns) / 1e3,
            "faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - self.began_faults,
        }


class BufferedDownload(Download, asyncio.BufferedProtocol):
    """The same with a buffer of its own, which the loop receives into."""

    def __init__(self, size: int, done: asyncio.Future[None]) -> None:
        super().__init__(size, done)
        self.buffer = memoryview(bytearray(BUFFER))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.left -= nbytes
        if self.left <= 0:
            self.done.set_result(None)


async def stream_download(port: int, size: int, context: ssl.SSLContext | None) -> dict[str, float]:
    """The same by asyncio's streams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    ledger = Download(size, asyncio.get_running_loop().create_future())
    ledger.connection_made(writer.transport)
    while ledger.left > 0:
        data = await reader.read(BUFFER)
        if not data:
            raise EOFError("the server has closed the connection")
        ledger.left -= len(data)
    costs = ledger.costs()
    writer.transport.abort()
    return costs


async def protocol_download(
    protocol: Callable[[int, asyncio.Future[None]], Download],
    port: int,
    size: int,
    context: ssl.SSLContext | None,
) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, download = await loop.create_connection(
        lambda: protocol(size, done), "127.0.0.1", port, ssl=context
    )
    await done
    costs = download.costs()
    transport.abort()
    return costs


MODES = {
    "protocol": lambda *where: protocol_download(Download, *where),
    "buffered": lambda *where: protocol_download(BufferedDownload, *where),
    "streams": stream_download,
}


def client_context() -> ssl.SSLContext:
    """Trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    parser = new_parser("bench.echo.client", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="asyncio")
    parser.add_argument("--mode", choices=MODES, default="protocol")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--bytes", type=int, required=True, help="as many as the server sends")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    context = client_context() if args.tls else None
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        print(json.dumps(runner.run(MODES[args.mode](args.port, args.bytes, context))))


if __name__ == "__main__":
    main()
