"""Protocols that raise: what is reported, and that the connection ends where it must."""

import asyncio
import contextlib
import socket
import ssl

import pytest

from tests.support import run_for, settle, wait_until

from .pipes import read_pipe
from .protocols import Recorder, connected, read_all, with_raw_peer
from .tls import server_context, with_tls_peer

# asyncio leaves the socket to its finalizer, which warns; cloop closes it.
ASYNCIO_DROPS_THE_SOCKET = pytest.mark.filterwarnings("ignore:unclosed <socket")


def raising(method, error):
    """A protocol that raises in one of its methods."""

    def raise_it(self, *args):
        raise error

    return type("Raising", (Recorder,), {method: raise_it})


def test_data_received(run, reports):
    error = KeyError("data")

    async def main():
        async with with_raw_peer(raising("data_received", error)) as (protocol, peer):
            peer.send(b"data")
            assert await protocol.lost is error
            assert await read_all(peer) == b""
            return protocol, protocol.transport, list(protocol.calls)

    protocol, transport, calls = run(main())
    context = reports.take_one()
    assert context == {
        "message": "Fatal error: protocol.data_received() call failed.",
        "exception": error,
        "transport": transport,
        "protocol": protocol,
    }
    assert calls == ["made", ("lost", error)]


def test_eof_received(run, reports):
    error = KeyError("eof")

    async def main():
        async with with_raw_peer(raising("eof_received", error)) as (protocol, peer):
            peer.close()
            assert await protocol.lost is error

    run(main())
    context = reports.take_one()
    assert context["message"] == "Fatal error: protocol.eof_received() call failed."
    assert context["exception"] is error


@pytest.mark.parametrize("over_tls", [False, True])
def test_no_protocol_any_more(run, reports, over_tls):
    """What comes ends the connection, as None has no methods."""

    async def main():
        async with with_tls_peer() if over_tls else with_raw_peer() as (protocol, peer):
            protocol.transport.set_protocol(None)
            await peer.write(b"data") if over_tls else peer.send(b"data")
            await wait_until(lambda: len(reports) == 2)
            protocol.lost.set_result(None)
            return protocol.transport.is_closing()

    assert run(main())
    errors = [str(context["exception"]) for context in reports.take()]
    assert errors == [
        f"'NoneType' object has no attribute '{name}'" for name in ("data_received", "connection_lost")
    ]


def test_no_protocol_any_more_at_a_pipe(run, reports):
    """What comes is reported as an error, and reading goes on."""

    async def main():
        async with read_pipe() as (protocol, writer):
            transport = protocol.transport
            transport.set_protocol(None)
            writer.write(b"lost")
            await wait_until(lambda: len(reports) == 1)
            transport.set_protocol(protocol)
            writer.write(b"kept")
            await protocol.wait_for_data(4)
            return bytes(protocol.data)

    assert run(main()) == b"kept"
    (context,) = reports.take()
    assert str(context["exception"]) == "'NoneType' object has no attribute 'data_received'"


class OwnErrors(Recorder, asyncio.BufferedProtocol):
    """Has an OSError of its own in one of its methods."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def fail_in(self, method):
        if self.method == method:
            raise FileNotFoundError(method)

    def get_buffer(self, sizehint):
        self.fail_in("get_buffer")
        return bytearray(100)

    def buffer_updated(self, nbytes):
        self.fail_in("buffer_updated")

    def eof_received(self):
        self.fail_in("eof_received")


@pytest.mark.parametrize("method", ["data_received", "get_buffer", "buffer_updated", "eof_received"])
@pytest.mark.parametrize("over_tls", [False, True])
def test_an_error_of_the_system_that_is_not_the_connections(run, impl, reports, over_tls, method):
    """A file that the protocol does not find, say. An OSError of the connection itself is not reported."""
    if not impl.is_cloop:
        pytest.skip("asyncio says nothing of an OSError, whoever has raised it")

    def factory():
        if method == "data_received":
            return raising(method, FileNotFoundError(method))()
        return OwnErrors(method)

    async def main():
        async with with_tls_peer(factory) if over_tls else with_raw_peer(factory) as (protocol, peer):
            if over_tls:
                await peer.write(b"data")
                with contextlib.suppress(ssl.SSLError, EOFError, OSError):
                    await peer.do(peer.tls.unwrap)
            else:
                peer.send(b"data")
                peer.shutdown(socket.SHUT_WR)
            return await protocol.lost

    error = run(main())
    assert isinstance(error, FileNotFoundError)
    assert reports.take_one()["exception"] is error


def test_much_data_and_an_error_of_the_system(run, impl, reports):
    """The same where TLS joins what has come from several pieces."""
    if not impl.is_cloop:
        pytest.skip("asyncio says nothing of an OSError, whoever has raised it")

    async def main():
        async with with_tls_peer(raising("data_received", OSError("own"))) as (protocol, peer):
            protocol.transport.pause_reading()
            protocol.transport.set_read_buffer_limits(high=1_000_000)
            for _ in range(30):
                await peer.write(bytes(16_000))
            await settle()
            protocol.transport.resume_reading()
            return await protocol.lost

    error = run(main())
    assert reports.take_one()["exception"] is error


def test_connection_made(run, reports):
    """Reported like any callback's; the transport is usable all the same."""
    error = KeyError("made")

    class Raising(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise error

    async def main():
        async with with_raw_peer(Raising) as (protocol, peer):
            peer.send(b"data")
            return await protocol.wait_for_data(4)

    assert run(main()) == b"data"
    context = reports.take_one()
    assert context["exception"] is error
    assert "connection_made" in context["message"]


def test_connection_lost(run, reports):
    error = KeyError("lost")

    class Raising(Recorder):
        def connection_lost(self, exception):
            super().connection_lost(exception)
            raise error

    async def main():
        async with with_raw_peer(Raising) as (protocol, peer):
            protocol.transport.close()
            await protocol.lost
            assert await read_all(peer) == b""

    run(main())
    assert reports.take_one()["exception"] is error


def test_other_connections_go_on(run, reports):
    class Picky(Recorder):
        def data_received(self, data):
            if data == b"poison":
                raise KeyError("poison")
            self.transport.write(data)

    async def main():
        async with connected(server=Picky) as (good, _), connected(server=Picky) as (bad, _):
            bad.transport.write(b"poison")
            await bad.lost
            good.transport.write(b"fine")
            return await good.wait_for_data(4)

    assert run(main()) == b"fine"
    assert isinstance(reports.take_one()["exception"], KeyError)


@pytest.mark.parametrize("method", ["data_received", "eof_received", "connection_lost"])
@pytest.mark.parametrize("error_type", [KeyboardInterrupt, SystemExit])
def test_interrupts_come_out_of_the_run(loop, method, error_type):
    class Interrupted(Recorder):
        def interrupt(self, *args):
            self.interrupt = int
            raise error_type("interrupted")

    def called(self, *args):
        getattr(Recorder, method)(self, *args)
        self.interrupt()

    setattr(Interrupted, method, called)
    connection = with_raw_peer(Interrupted)
    protocol, peer = loop.run_until_complete(connection.__aenter__())
    if method == "connection_lost":
        protocol.transport.close()
    elif method == "data_received":
        peer.send(b"data")
    else:
        peer.close()
    with pytest.raises(error_type, match="interrupted"):
        run_for(loop, 5)
    assert loop.run_until_complete(asyncio.sleep(0, "again")) == "again"
    loop.run_until_complete(connection.__aexit__(None, None, None))


@ASYNCIO_DROPS_THE_SOCKET
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_factory_that_raises_in_a_server(loop, impl, run, reports, over_tls):
    """The client sees its connection closed; the server goes on, and somebody is told."""
    made = []

    def factory():
        made.append(True)
        if len(made) == 1:
            raise KeyError("factory")
        return Recorder()

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context() if over_tls else None)
        address = server.sockets[0].getsockname()
        _, first = await loop.create_connection(Recorder, *address)
        await first.lost
        _, second = await loop.create_connection(Recorder, *address)
        await wait_until(lambda: len(made) == 2)
        await settle()
        assert not second.lost.done()
        second.transport.close()
        await second.lost
        server.close()
        await server.wait_closed()
        await settle()

    run(main())
    if impl.is_cloop:
        check(reports.take_one())
    else:
        # asyncio tells in debug mode only.
        assert reports.take() == []


def test_handshakes_that_fail_are_not_reported(loop, run, reports):
    """That is the peers' doing, of whom there are many."""

    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context())
        transport, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        transport.write(b"no TLS at all, but a line of text\n")
        await client.lost
        server.close()
        await server.wait_closed()

    run(main())
    assert reports.take() == []


@ASYNCIO_DROPS_THE_SOCKET
def test_a_factory_that_raises_in_debug_mode(loop, run, reports):
    loop.set_debug(True)

    def factory():
        raise KeyError("factory")

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0)
        _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        await wait_until(lambda: reports)
        context = reports.take_one()
        check(context)
        context.clear()
        client.transport.close()
        await client.lost
        server.close()
        await server.wait_closed()

    run(main())


def check(context):
    assert context["message"] == "Error on transport creation for incoming connection"
    assert isinstance(context["exception"], KeyError)


@ASYNCIO_DROPS_THE_SOCKET
def test_a_factory_that_raises_in_a_client(loop, run):

    def factory():
        raise KeyError("factory")

    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        with pytest.raises(KeyError, match="factory"):
            await loop.create_connection(factory, *server.sockets[0].getsockname())
        await asyncio.sleep(0.002)
        server.close()
        await server.wait_closed()

    run(main())
