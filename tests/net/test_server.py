"""create_server and the Server it makes."""

import asyncio
import errno
import socket
import time

import pytest

from tests.support import PY312, PY313, no_more_descriptors, settle, unused_port, wait_until

from .protocols import Recorder


def ipv6_works():
    """Whether this machine can bind ::1."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not ipv6_works(), reason="no IPv6 here")


async def stop(server):
    server.close()
    await server.wait_closed()


async def connect(server):
    """A client that the server has accepted."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname()[:2])
    return client


class Accepting:
    """A factory that keeps what it makes."""

    def __init__(self):
        self.made = []

    def __call__(self):
        self.made.append(Recorder())
        return self.made[-1]

    async def wait(self, count=1):
        await wait_until(lambda: len(self.made) == count and all(each.made.done() for each in self.made))
        return self.made[-1]


def test_its_type_and_state(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving() is True
        assert server.get_loop() is loop
        await stop(server)
        assert server.is_serving() is False
        server.close()
        return server.sockets

    assert run(main()) == ()


def test_sockets(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        sockets = server.sockets
        assert type(sockets) is tuple and len(sockets) == 1
        assert type(sockets[0]) is asyncio.trsock.TransportSocket
        assert sockets[0].family == socket.AF_INET
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        assert not sockets[0].fileno() < 0
        await stop(server)

    run(main())


def test_accepts_and_calls_the_factory_for_each(loop, run):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        clients = [await connect(server) for _ in range(20)]
        await factory.wait(20)
        for number, client in enumerate(clients):
            client.transport.write(b"%d" % number)
        await wait_until(lambda: all(each.data for each in factory.made))
        assert sorted(int(each.data) for each in factory.made) == list(range(20))
        for client in clients:
            client.transport.close()
        for each in factory.made:
            await each.lost
        await stop(server)

    run(main())


def test_all_addresses(loop, run):
    async def main():
        server = await loop.create_server(Recorder, None, unused_port())
        families = {sock.family for sock in server.sockets}
        client = await connect(server)
        client.transport.close()
        await client.lost
        await settle()
        await stop(server)
        return families

    families = run(main())
    assert socket.AF_INET in families
    assert (socket.AF_INET6 in families) or not ipv6_works()


@pytest.mark.parametrize(
    "hosts", [["127.0.0.1", "127.0.0.1"], ("127.0.0.1",), ["127.0.0.1", "localhost"]], ids=str
)
def test_equal_addresses_are_bound_once(loop, run, hosts):
    async def main():
        port = unused_port()
        server = await loop.create_server(Recorder, hosts, port, family=socket.AF_INET)
        names = [sock.getsockname() for sock in server.sockets]
        await stop(server)
        return names == [("127.0.0.1", port)] or names

    assert run(main()) is True


@needs_ipv6
def test_several_hosts(loop, run):
    async def main():
        server = await loop.create_server(Recorder, ["127.0.0.1", "::1"], unused_port())
        families = [sock.family for sock in server.sockets]
        await stop(server)
        return sorted(families)

    assert run(main()) == [socket.AF_INET, socket.AF_INET6]


@needs_ipv6
def test_ipv6_clients(loop, run):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "::1", 0)
        _, client = await loop.create_connection(Recorder, "::1", server.sockets[0].getsockname()[1])
        accepted = await factory.wait()
        peername = accepted.transport.get_extra_info("peername")
        assert peername == client.transport.get_extra_info("sockname")
        client.transport.close()
        await accepted.lost
        await stop(server)
        return peername[0]

    assert run(main()) == "::1"


def test_a_socket_of_ones_own(loop, run):
    async def main():
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await loop.create_server(Recorder, sock=sock)
        assert server.sockets[0].getsockname() == sock.getsockname()
        assert sock.gettimeout() == 0
        client = await connect(server)
        client.transport.close()
        await client.lost
        await settle()
        await stop(server)
        return sock.fileno()

    assert run(main()) == -1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, r"^Neither host/port nor sock were specified$"),
        (
            {"ssl_handshake_timeout": 1, "host": "127.0.0.1", "port": 0},
            r"ssl_handshake_timeout is only meaningful",
        ),
        (
            {"ssl_shutdown_timeout": 1, "host": "127.0.0.1", "port": 0},
            r"ssl_shutdown_timeout is only meaningful",
        ),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(loop, run, kwargs, message):
    with pytest.raises(ValueError, match=message):
        run(loop.create_server(Recorder, **kwargs))


def test_host_and_socket_together(loop, run):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match=r"^host/port and sock can not be specified at the same time$"):
            run(loop.create_server(Recorder, "127.0.0.1", 0, sock=sock))


def test_datagram_sockets_are_refused(loop, run):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            run(loop.create_server(Recorder, sock=sock))


def test_ssl_must_be_a_context(loop, run):
    with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
        run(loop.create_server(Recorder, "127.0.0.1", 0, ssl=True))


def test_an_address_in_use(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
            await loop.create_server(Recorder, "127.0.0.1", port)
        await stop(server)
        return port, caught.value

    port, error = run(main())
    assert error.errno == errno.EADDRINUSE
    assert f"('127.0.0.1', {port}): " in str(error)


def test_a_name_that_does_not_resolve(loop, run, monkeypatch):
    def resolve(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(socket.gaierror):
        run(loop.create_server(Recorder, "no.such.host", 0))


def test_a_port_that_does_not_fit(loop, run):
    with pytest.raises(OverflowError):
        run(loop.create_server(Recorder, "127.0.0.1", 65_536))


def test_an_address_of_another_machine(loop, run, impl):
    """Alone it is an error; beside one that works it may be passed over by later versions."""
    with pytest.raises(OSError, match=r"bind|address") as caught:
        run(loop.create_server(Recorder, "192.0.2.1", 0))
    assert isinstance(caught.value, OSError)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT")
def test_reuse_port(loop, run):
    async def main():
        first = await loop.create_server(Recorder, "127.0.0.1", 0, reuse_port=True)
        port = first.sockets[0].getsockname()[1]
        second = await loop.create_server(Recorder, "127.0.0.1", port, reuse_port=True)
        options = [
            server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0
            for server in (first, second)
        ]
        await stop(first)
        await stop(second)
        return options

    assert run(main()) == [True, True]


@pytest.mark.parametrize("reuse", [True, False])
def test_reuse_address(loop, run, reuse):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, reuse_address=reuse)
        option = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        await stop(server)
        return bool(option)

    assert run(main()) is reuse


def test_a_port_can_be_used_again_at_once(loop, run):
    async def main():
        port = unused_port()
        for _ in range(3):
            factory = Accepting()
            server = await loop.create_server(factory, "127.0.0.1", port)
            client = await connect(server)
            accepted = await factory.wait()
            accepted.transport.close()
            await client.lost
            await accepted.lost
            await stop(server)

    run(main())


def test_started_later(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
        assert server.is_serving() is False
        address = server.sockets[0].getsockname()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, *address)
        assert await server.start_serving() is None
        await server.start_serving()
        assert server.is_serving() is True
        client = await connect(server)
        client.transport.close()
        await client.lost
        await settle()
        await stop(server)

    run(main())


def test_as_a_context(loop, run):
    async def main():
        async with await loop.create_server(Recorder, "127.0.0.1", 0) as server:
            assert server.is_serving()
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "127.0.0.1", unused_port())

    run(main())


def test_serve_forever_until_cancelled(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False)
        task = asyncio.create_task(server.serve_forever())
        await settle()
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        client = await connect(server)
        client.transport.close()
        await client.lost
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return server.is_serving(), server.sockets

    assert run(main()) == (False, ())


# From some release of 3.14 on, it closes them.
CANCEL_CLOSES_CLIENTS = "close_clients" in asyncio.base_events.Server.serve_forever.__code__.co_names


@pytest.mark.skipif(not CANCEL_CLOSES_CLIENTS, reason="clients stay")
def test_clients_are_closed_when_serve_forever_is_cancelled(loop, run):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        task = asyncio.create_task(server.serve_forever())
        client = await connect(server)
        accepted = await factory.wait()
        task.cancel()
        assert await asyncio.wait_for(accepted.lost, 5) is None
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        await client.lost

    run(main())


@pytest.mark.skipif(CANCEL_CLOSES_CLIENTS, reason="clients are closed")
def test_clients_stay_when_serve_forever_is_cancelled(loop, run):
    """From 3.12 on it ends when they have gone."""

    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        task = asyncio.create_task(server.serve_forever())
        client = await connect(server)
        accepted = await factory.wait()
        task.cancel()
        await asyncio.sleep(0.01)
        waits = not task.done()
        client.transport.write(b"still")
        await accepted.wait_for_data(5)
        accepted.transport.write(b"here")
        assert await client.wait_for_data(4) == b"here"
        client.transport.close()
        await accepted.lost
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        return waits

    assert run(main()) is PY312


def test_serve_forever_ends_by_close(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        loop.call_soon(loop.call_soon, server.close)
        with pytest.raises(asyncio.CancelledError):
            await server.serve_forever()
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_serve_forever_of_a_closed_server(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        await stop(server)
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_clients_stay_when_the_server_closes(loop, run):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = await connect(server)
        accepted = await factory.wait()
        server.close()
        accepted.transport.write(b"still here")
        assert await client.wait_for_data(10) == b"still here"
        client.transport.close()
        await accepted.lost
        await server.wait_closed()

    run(main())


def test_wait_closed_waits_for_clients(loop, run):
    """From 3.12; before, it returned at once when the server was closed."""

    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = await connect(server)
        accepted = await factory.wait()
        server.close()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.01)
        waited = not waiting.done()
        client.transport.close()
        await accepted.lost
        await asyncio.wait_for(waiting, 5)
        return waited

    assert run(main()) is PY312


def test_wait_closed_of_an_open_server(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.005)
        waited = not waiting.done()
        server.close()
        await asyncio.wait_for(waiting, 5)
        return waited

    assert run(main()) is True


@pytest.mark.skipif(not PY313, reason="close_clients and abort_clients are new in 3.13")
@pytest.mark.parametrize("method", ["close_clients", "abort_clients"])
def test_ending_the_clients(loop, run, method):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        clients = [await connect(server) for _ in range(3)]
        await factory.wait(3)
        factory.made[0].transport.close()
        await factory.made[0].lost
        server.close()
        getattr(server, method)()
        getattr(server, method)()
        for each in (*clients, *factory.made):
            await each.lost
        await asyncio.wait_for(server.wait_closed(), 5)

    run(main())


@pytest.mark.skipif(not PY313, reason="close_clients is new in 3.13")
def test_close_clients_sends_what_is_buffered(loop, run):
    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        client = await connect(server)
        accepted = await factory.wait()
        accepted.transport.write(bytes(5_000_000))
        server.close()
        server.close_clients()
        await client.lost
        await server.wait_closed()
        return len(client.data)

    assert run(main()) == 5_000_000


def test_connections_waiting_when_it_closes_are_dropped(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False, backlog=5)
        await server.start_serving()
        waiting = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(3)]
        server.close()
        await server.wait_closed()
        for sock in waiting:
            sock.settimeout(5)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                pass
            sock.close()

    run(main())


def test_no_descriptors_left(impl, loop, run, reports):
    """It is reported, the server rests for a second instead of spinning, and then goes on."""

    async def main():
        factory = Accepting()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with socket.socket() as client:
            client.setblocking(False)
            with no_more_descriptors():
                client.connect_ex(address)
                await wait_until(lambda: reports)
                cpu = time.thread_time()
                await asyncio.sleep(0.2)
                assert time.thread_time() - cpu < 0.1
            accepted = await factory.wait()
        await accepted.lost
        await stop(server)

    run(main())
    messages = {context["message"] for context in reports.take()}
    if not impl.is_cloop:
        # It sets a timer for each of a hundred refusals, and those that are left when the server ends fail.
        messages = {each for each in messages if "_start_serving" not in each}
    assert messages == {"socket.accept() out of system resource"}


def test_repr(loop, run):
    async def main():
        server = await loop.create_server(Recorder, "127.0.0.1", 0)
        text = repr(server)
        await stop(server)
        return text

    assert run(main()).startswith("<Server sockets=")


def test_a_server_dropped_with_its_loop(loop_factory):
    loop = loop_factory()
    loop.run_until_complete(loop.create_server(Recorder, "127.0.0.1", 0)).close()
    loop.run_until_complete(settle())
