"""One port, many processes, a loop in each: python examples/many_processes.py [--port N] [--processes N]

All of them listen on the same port with SO_REUSEPORT, and the kernel gives each new connection to one of
them. It is the way without a parent that hands out connections, for protocols that no server program knows;
what is spoken here is as much of HTTP as curl and wrk need.
"""

import argparse
import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import signal

import cloop

END_OF_REQUEST = b"\r\n\r\n"


class Answer(asyncio.Protocol):
    """One connection: answers each request with the process's id, after some work."""

    transport: asyncio.Transport

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self.received = (self.received + data).split(END_OF_REQUEST)
        for request in requests:
            if self.rounds:
                hashlib.pbkdf2_hmac("sha256", request, b"salt", self.rounds)
            body = b"%d\n" % os.getpid()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def serve(port: int, rounds: int) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with await loop.create_server(lambda: Answer(rounds), "127.0.0.1", port, reuse_port=True):
        await ended.wait()


def work(port: int, rounds: int) -> None:
    """What each process does."""
    cloop.run(serve(port, rounds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=0, help="of a hash for each request (default: 0)")
    options = parser.parse_args()
    # A fresh interpreter for each: it takes nothing along that this one has open.
    context = multiprocessing.get_context("spawn")
    children = [
        context.Process(target=work, args=(options.port, options.rounds)) for _ in range(options.processes)
    ]
    for child in children:
        child.start()

    def end_all(*_: object) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()

    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, end_all)
    for child in children:
        child.join()


if __name__ == "__main__":
    main()
