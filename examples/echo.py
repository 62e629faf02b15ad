"""An echo server on a Protocol, with cloop by name: python examples/echo.py [port]

Ctrl-C ends it. A client for it: nc 127.0.0.1 8888
"""

import asyncio
import sys

import cloop


class Echo(asyncio.Protocol):
    """One connection: what comes in goes out again."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        print("hello,", transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    # A peer that sends and does not read makes the queue grow: read no more of it until it does.

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        print("good-bye,", self.transport.get_extra_info("peername"), exc or "")


async def main(port: int) -> None:
    """Serve until somebody ends the program."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", port)
    print("listening on", *(sock.getsockname() for sock in server.sockets))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        cloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8888))
    except KeyboardInterrupt:
        print()
