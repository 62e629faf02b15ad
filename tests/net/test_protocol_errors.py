"""Protocols that raise: what is reported, and that the connection ends where it must."""

import asyncio

import pytest

from tests.support import run_for, settle, wait_until

from .protocols import Recorder, connected, read_all, with_raw_peer

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
def test_a_factory_that_raises_in_a_server(loop, run, reports):
    """The client sees its connection closed; the server goes on."""
    made = []

    def factory():
        made.append(True)
        if len(made) == 1:
            raise KeyError("factory")
        return Recorder()

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0)
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
    # Debug mode alone reports it.
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
