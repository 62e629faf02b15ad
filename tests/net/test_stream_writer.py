"""Writers of streams, and the callbacks of servers, by asyncio's functions and by cloop's, over each wire."""

import asyncio
import contextvars
import inspect
import socket
import struct
import warnings

import pytest

from tests.support import EARLY_311, PY313, collect_garbage, settle, wait_until

from .streams import echo, finish, sending
from .tls import NAME, client_context, server_context


@pytest.mark.parametrize(
    "name", ["open_connection", "start_server", "open_unix_connection", "start_unix_server"]
)
def test_parameters_are_those_of_asyncio(impl, name):
    def parameters(function):
        found = inspect.signature(function).parameters.values()
        return [(each.name, each.kind, each.default) for each in found]

    ours = getattr(impl, name)
    assert parameters(ours) == parameters(getattr(asyncio, name))
    assert inspect.iscoroutinefunction(ours)


def test_write_and_writelines(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            writer.write(b"one ")
            writer.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])
            writer.write(bytearray(b"."))
            await writer.drain()
            assert await reader.readuntil(b".") == b"one two three four."
            with pytest.raises(TypeError):
                writer.write("text")

    run(main())


def test_write_eof(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            assert writer.can_write_eof() == (wire.kind != "tls")
            if wire.kind == "tls":
                with pytest.raises(NotImplementedError):
                    writer.write_eof()
                return
            writer.write(b"data")
            writer.write_eof()
            assert await reader.read() == b"data"

    run(main())


async def fill(writer):
    """Write until drain() has to wait."""
    while not writer._protocol._paused:
        writer.write(bytes(100_000))
        await settle(2)


def test_many_may_wait_to_drain(run, wire):
    async def main():
        go_on = asyncio.Event()

        async def late(reader, writer):
            await go_on.wait()
            await reader.read()
            await finish(writer)

        async with wire.talking(late, server_limit=1000) as (_, writer):
            await fill(writer)
            waiting = [asyncio.create_task(writer.drain()) for _ in range(5)]
            await settle()
            assert not any(task.done() for task in waiting)
            waiting.pop().cancel()
            go_on.set()
            assert await asyncio.gather(*waiting) == [None] * 4

    run(main())


def test_who_waits_to_drain_hears_of_the_end(run, wire):
    async def main():
        go_on = asyncio.Event()

        async def abort(reader, writer):
            await go_on.wait()
            writer.transport.abort()

        async with wire.talking(abort, server_limit=1000) as (_, writer):
            await fill(writer)
            waiting = [asyncio.create_task(writer.drain()) for _ in range(3)]
            await settle()
            go_on.set()
            errors = await asyncio.gather(*waiting, return_exceptions=True)
            assert [isinstance(error, ConnectionError) for error in errors] == [True] * 3
            with pytest.raises(ConnectionError):
                await writer.drain()

    run(main())


def test_drain_of_a_closed_writer_yields(run, wire):
    """Who goes on to write hears of the end, and does not stop the loop."""

    async def main():
        async with wire.talking(echo) as (_, writer):
            writer.close()
            with pytest.raises(ConnectionResetError, match="Connection lost"):
                while True:
                    writer.write(b"data")
                    await writer.drain()

    run(main())


def test_close(run, wire):
    async def main():
        async with wire.talking(echo) as (reader, writer):
            assert not writer.is_closing()
            writer.close()
            writer.close()
            assert writer.is_closing()
            await asyncio.gather(writer.wait_closed(), writer.wait_closed())
            assert await reader.read() == b""

    run(main())


def test_wait_closed_tells_why(run, tcp_wire):
    async def reset(reader, writer):
        await reader.readexactly(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async def main():
        async with tcp_wire.talking(reset) as (reader, writer):
            writer.write(b".")
            with pytest.raises(ConnectionResetError):
                await reader.read()
            with pytest.raises(ConnectionResetError):
                await writer.wait_closed()

    run(main())


def test_extra_info(run, wire):
    async def main():
        async with wire.talking(echo) as (_, writer):
            assert writer.get_extra_info("socket").fileno() > 0
            assert (writer.get_extra_info("ssl_object") is not None) == (wire.kind == "tls")
            assert writer.get_extra_info("no such") is None
            assert writer.get_extra_info("no such", 5) == 5
            assert writer.transport is writer._transport

    run(main())


@pytest.mark.skipif(EARLY_311, reason="it goes without a word in early Pythons 3.11")
def test_an_unclosed_writer_warns(run, wire):
    async def main():
        async with wire.serving(echo) as server:
            reader, writer = await wire.connect(server)
            text = repr(writer)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                del writer
                collect_garbage()
            assert text.startswith("<StreamWriter transport=<")
            assert any("unclosed <StreamWriter" in str(warning.message) for warning in caught)
            assert await reader.read() == b""

    run(main())


def test_start_tls(run, plain_wire):
    """Streams go over to TLS, and are the same objects after it."""

    async def serve(reader, writer):
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go\n")
        await writer.start_tls(server_context())
        await echo(reader, writer)

    async def main():
        async with plain_wire.talking(serve) as (reader, writer):
            before = writer.transport
            writer.write(b"STARTTLS\n")
            assert await reader.readline() == b"go\n"
            await writer.start_tls(client_context(), server_hostname=NAME)
            assert writer.transport is not before
            assert writer.get_extra_info("ssl_object") is not None
            for size in (1, 1000, 300_000):
                writer.write(b"x" * size + b"\n")
                await writer.drain()
                assert len(await reader.readexactly(size + 1)) == size + 1
            assert writer._protocol._transport is writer.transport

    run(main())


# ---- The callback of a server


def test_a_callback_may_be_a_function(run, wire):
    async def main():
        def greet(reader, writer):
            writer.write(b"hello")
            writer.close()

        async with wire.talking(greet) as (reader, _):
            return await reader.read()

    assert run(main()) == b"hello"


@pytest.mark.skipif(EARLY_311, reason="early Pythons 3.11 don't look at what became of it")
def test_a_coroutine_that_fails_is_reported(run, wire, reports):
    error = ZeroDivisionError("handler")

    async def fail(reader, writer):
        await reader.readline()
        raise error

    async def main():
        async with wire.talking(fail) as (reader, writer):
            writer.write(b"go\n")
            assert await reader.read() == b""

    run(main())
    (report,) = reports.take()
    assert report["message"] == "Unhandled exception in client_connected_cb"
    assert report["exception"] is error
    assert "transport" in report


def test_a_function_that_fails_is_reported(run, wire, reports):
    error = ZeroDivisionError("function")

    async def main():
        def fail(reader, writer):
            writer.close()
            raise error

        async with wire.talking(fail) as (reader, _):
            assert await reader.read() == b""

    run(main())
    assert [report["exception"] for report in reports.take()] == [error]


@pytest.mark.skipif(not PY313, reason="does not close the connection before 3.13")
def test_a_coroutine_that_is_cancelled_closes_its_connection(run, wire):
    tasks = []

    async def wait_for_ever(reader, writer):
        tasks.append(asyncio.current_task())
        await asyncio.get_running_loop().create_future()

    async def main():
        async with wire.talking(wait_for_ever) as (reader, _):
            await wait_until(lambda: tasks)
            tasks[0].cancel()
            assert await reader.read() == b""

    run(main())


def test_a_callback_has_the_context_of_its_server(run, wire):
    place = contextvars.ContextVar("place", default="nowhere")
    seen = []

    async def look(reader, writer):
        seen.append(place.get())
        place.set("handler")
        await finish(writer)

    async def main():
        place.set("server")
        async with wire.serving(look) as server:
            place.set("client")
            for _ in range(2):
                reader, writer = await wire.connect(server)
                assert await reader.read() == b""
                await finish(writer)
        return place.get()

    assert run(main()) == "client"
    assert seen == ["server", "server"]


def test_many_clients_at_once(run, wire):
    async def ask(server, number):
        reader, writer = await wire.connect(server)
        writer.write(b"%d\n" % number)
        answer = await reader.readline()
        await finish(writer)
        return answer

    async def main():
        async with wire.serving(echo) as server:
            return await asyncio.gather(*(ask(server, number) for number in range(20)))

    assert run(main()) == [b"%d\n" % number for number in range(20)]


def test_a_client_that_is_refused(run, wire):
    async def main():
        server = await wire.serve(sending(b""))
        sockets = server.sockets
        address = sockets[0].getsockname()
        server.close()
        await server.wait_closed()
        with pytest.raises(OSError):
            if wire.kind == "unix":
                await wire.module.open_unix_connection(wire.path)
            else:
                await wire.module.open_connection(*address)

    run(main())


def test_a_transports_write_that_was_replaced_is_called(run, wire):
    """As by what logs the traffic: on an instance, for the class's may not be replaced everywhere."""

    async def main():
        async with wire.talking(echo) as (reader, writer):
            written = []
            original = writer.transport.write

            def write(data):
                written.append(data)
                original(data)

            writer.write(b"before ")
            writer.transport.write = write
            writer.write(b"meanwhile ")
            del writer.transport.write
            writer.write(b"after.")
            assert await reader.readuntil(b".") == b"before meanwhile after."
            assert written == [b"meanwhile "]

    run(main())
