"""asyncio.open_connection and start_server on the loop's transports."""

import asyncio
import random
import socket

import pytest

from tests.support import EARLY_311, settle


async def serving(handler, **kwargs):
    """A server of streams on a free port, and its address."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, **kwargs)
    return server, server.sockets[0].getsockname()


async def finish(writer):
    writer.close()
    await writer.wait_closed()


async def echo_lines(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    await finish(writer)


def test_lines_there_and_back(run):
    async def main():
        server, address = await serving(echo_lines)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            for number in range(100):
                writer.write(b"line %d\n" % number)
                assert await reader.readline() == b"LINE %d\n" % number
            writer.write_eof()
            assert await reader.read() == b""
            assert reader.at_eof()
            await finish(writer)
            assert writer.is_closing()

    run(main())


def test_ways_of_reading(run):
    async def send(reader, writer):
        writer.writelines([b"exactly", b"until|", b"rest"])
        await finish(writer)

    async def main():
        server, address = await serving(send)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            results = [await reader.readexactly(7), await reader.readuntil(b"|"), await reader.read(-1)]
            with pytest.raises(asyncio.IncompleteReadError):
                await reader.readexactly(1)
            await finish(writer)
            return results

    assert run(main()) == [b"exactly", b"until|", b"rest"]


def test_a_line_over_the_limit(run):
    async def send(reader, writer):
        writer.write(b"x" * 2000)
        await reader.read()
        await finish(writer)

    async def main():
        server, address = await serving(send)
        async with server:
            reader, writer = await asyncio.open_connection(*address, limit=1000)
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil(b"\n")
            await finish(writer)
            await settle()

    run(main())


def test_drain_waits_for_a_slow_reader(run):
    """The writer is held up by the reader's limit, and no byte is lost."""
    data = random.Random(7).randbytes(4_000_000)

    async def send(reader, writer):
        largest = 0
        for start in range(0, len(data), 50_000):
            writer.write(data[start : start + 50_000])
            largest = max(largest, writer.transport.get_write_buffer_size())
            await writer.drain()
        sizes.append(largest)
        await finish(writer)

    async def main():
        server, address = await serving(send)
        async with server:
            reader, writer = await asyncio.open_connection(*address, limit=10_000)
            received = bytearray()
            while chunk := await reader.read(7000):
                received += chunk
                if len(received) % 11 == 0:
                    await asyncio.sleep(0)
            await finish(writer)
            return received == data

    sizes = []
    assert run(main()) is True
    assert sizes[0] < 200_000


def test_drain_after_the_peer_is_gone(run):
    async def drop(reader, writer):
        writer.transport.abort()

    async def main():
        server, address = await serving(drop)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            await reader.read()
            with pytest.raises(ConnectionError):
                for _ in range(100):
                    writer.write(bytes(100_000))
                    await writer.drain()
            writer.close()
            with pytest.raises(ConnectionError):
                await writer.wait_closed()

    run(main())


def test_many_clients(run):
    async def main():
        server, address = await serving(echo_lines)

        async def client(number):
            reader, writer = await asyncio.open_connection(*address)
            for turn in range(5):
                writer.write(b"%d %d\n" % (number, turn))
                assert await reader.readline() == b"%d %d\n" % (number, turn)
            await finish(writer)

        async with server:
            await asyncio.gather(*(client(number) for number in range(100)))

    run(main())


def test_a_handler_that_fails_is_reported(run, reports):
    async def fail(reader, writer):
        writer.close()
        await writer.wait_closed()
        raise KeyError("handler")

    async def main():
        server, address = await serving(fail)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            await finish(writer)
            await settle()

    run(main())
    context = reports.take_one()
    assert isinstance(context["exception"], KeyError)
    early = "Task exception was never retrieved"
    assert context["message"] == (early if EARLY_311 else "Unhandled exception in client_connected_cb")


def test_extra_info(run):
    async def tell(reader, writer):
        seen.append(writer.get_extra_info("peername"))
        await finish(writer)

    async def main():
        server, address = await serving(tell)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            assert writer.get_extra_info("peername") == address
            own = writer.get_extra_info("sockname")
            await reader.read()
            await finish(writer)
            return seen == [own]

    seen = []
    assert run(main()) is True


def test_over_a_socket(run):
    async def main():
        left, right = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=left)
        other_reader, other_writer = await asyncio.open_connection(sock=right)
        writer.write(b"over a socket pair")
        await finish(writer)
        data = await other_reader.read()
        await finish(other_writer)
        return data

    assert run(main()) == b"over a socket pair"


def test_a_reader_that_is_cancelled(run):
    async def silent(reader, writer):
        await reader.read()
        await finish(writer)

    async def main():
        server, address = await serving(silent)
        async with server:
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(reader.read(1), 0.002)
            await finish(writer)
            await settle()

    run(main())
