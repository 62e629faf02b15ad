"""A server that is closed while handshakes are under way: nobody waits for them, and they are ended."""

import asyncio
import ssl

import pytest

from tests.support import PY312, settle, tcp_pair, wait_until

from .protocols import Recorder, read_some
from .tls import NAME, client_context, server_context


@pytest.fixture(autouse=True)
def cloop_is_right(impl):
    """Skips asyncio's half."""
    if not impl.is_cloop:
        pytest.skip("asyncio waits for the handshake's time-out")


async def silent_client(server):
    """A plain connection to a server of TLS, which has been accepted."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    await settle()
    await asyncio.sleep(0.005)
    assert not protocol.lost.done()
    return transport, protocol


def test_a_handshake_that_never_ends(run):
    async def main():
        loop = asyncio.get_running_loop()
        made = []

        def factory():
            made.append(Recorder())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        _, client = await silent_client(server)
        server.close()
        async with asyncio.timeout(5):
            await server.wait_closed()
            assert await client.lost is None
        # The protocol was never told of anything.
        return [protocol.calls for protocol in made]

    assert run(main()) == [[]]


def test_a_server_that_goes_on(run):
    """Of two servers only that which is closed ends its handshakes."""

    async def main():
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context()) for _ in range(2)]
        clients = [await silent_client(server) for server in servers]
        servers[0].close()
        async with asyncio.timeout(5):
            await clients[0][1].lost
        await settle()
        still_open = not clients[1][1].lost.done()
        servers[1].close()
        await clients[1][1].lost
        for server in servers:
            await server.wait_closed()
        return still_open

    assert run(main())


def test_a_client_is_waited_for(run):
    """From the moment on in which its protocol has been made."""

    async def main():
        loop = asyncio.get_running_loop()
        accepted = []

        class Closing(Recorder):
            """Closes its server at once."""

            def connection_made(self, transport):
                super().connection_made(transport)
                accepted.append(self)
                server.close()

        server = await loop.create_server(Closing, "127.0.0.1", 0, ssl=server_context())
        transport, client = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname(), ssl=client_context(), server_hostname=NAME
        )
        await wait_until(lambda: accepted)
        waiting = asyncio.ensure_future(server.wait_closed())
        await settle()
        transport.write(b"data")
        await accepted[0].wait_for_data(4)
        waited = not waiting.done()
        transport.close()
        await client.lost
        await accepted[0].lost
        async with asyncio.timeout(5):
            await waiting
        return waited

    # Before 3.12 a server that is closed waits for nobody.
    assert run(main()) is PY312


def test_a_factory_that_closes_the_server(run):
    async def main():
        loop = asyncio.get_running_loop()

        def factory():
            server.close()
            return Recorder()

        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        async with asyncio.timeout(5):
            await client.lost
            await server.wait_closed()

    run(main())


def test_a_server_name_callback_that_closes_the_server(run):
    async def main():
        loop = asyncio.get_running_loop()
        context = server_context()
        context.sni_callback = lambda *arguments: server.close()
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await loop.create_connection(
                Recorder, *server.sockets[0].getsockname(), ssl=client_context(), server_hostname=NAME
            )
        async with asyncio.timeout(5):
            await server.wait_closed()

    run(main())


def test_connections_of_others_go_on(run):
    """What was accepted elsewhere is no server's."""

    async def main():
        loop = asyncio.get_running_loop()
        mine, other = tcp_pair()
        server = await loop.create_server(Recorder, "127.0.0.1", 0, ssl=server_context())
        with other:
            opening = asyncio.ensure_future(
                loop.connect_accepted_socket(Recorder, mine, ssl=server_context())
            )
            await settle()
            server.close()
            await server.wait_closed()
            await settle()
            going_on = not opening.done()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert await read_some(other) == b""
            return going_on

    assert run(main())
