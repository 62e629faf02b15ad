"""create_connection."""

import asyncio
import errno
import random
import socket
import threading

import pytest

from tests.support import PY312, open_fds, running_thread, settle, unused_port

from .protocols import Recorder, full_listener, read_all


async def finish(protocol):
    protocol.transport.close()
    await protocol.lost
    # The server's end needs a moment to see it.
    await asyncio.sleep(0.002)


def test_returns_transport_and_protocol(loop, run, echo_server):
    async def main():
        made = []

        def factory():
            made.append(Recorder())
            return made[0]

        transport, protocol = await loop.create_connection(factory, *echo_server)
        assert protocol is made[0] and protocol.transport is transport
        transport.write(b"hello")
        assert await protocol.wait_for_data(5) == b"hello"
        await finish(protocol)

    run(main())


def test_by_name(loop, run, echo_server):
    async def main():
        _, protocol = await loop.create_connection(
            Recorder, "localhost", echo_server[1], family=socket.AF_INET
        )
        await finish(protocol)
        return protocol.transport.get_extra_info("peername")

    assert run(main()) == echo_server


def test_a_connected_socket(loop, run):
    async def main():
        mine, peer = socket.socketpair()
        assert mine.gettimeout() is None
        _, protocol = await loop.create_connection(Recorder, sock=mine)
        assert mine.gettimeout() == 0
        protocol.transport.write(b"x")
        protocol.transport.close()
        with peer:
            peer.setblocking(False)
            assert await read_all(peer) == b"x"
        await protocol.lost
        return mine.fileno()

    assert run(main()) == -1


def test_local_address(loop, run, echo_server):
    async def main():
        port = unused_port()
        _, protocol = await loop.create_connection(Recorder, *echo_server, local_addr=("127.0.0.1", port))
        await finish(protocol)
        return protocol.transport.get_extra_info("sockname") == ("127.0.0.1", port)

    assert run(main()) is True


def test_a_local_address_that_cannot_be_had(loop, run, echo_server):
    with pytest.raises(OSError, match=r"error while attempting to bind on address \('192\.0\.2\.1', \d+\)"):
        run(loop.create_connection(Recorder, *echo_server, local_addr=("192.0.2.1", 0)))


def test_refused(loop, run):
    port = unused_port()
    with pytest.raises(ConnectionRefusedError) as caught:
        run(loop.create_connection(Recorder, "127.0.0.1", port))
    assert caught.value.errno == errno.ECONNREFUSED
    assert str(caught.value) == f"[Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.1', {port})"


def test_the_factory_is_not_called_when_it_fails(loop, run):
    called = []
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_connection(lambda: called.append(1), "127.0.0.1", unused_port()))
    assert called == []


def test_several_addresses_the_last_works(loop, run, echo_server, resolves_to):
    resolves_to(("127.0.0.1", unused_port()), ("127.0.0.1", unused_port()), echo_server)

    async def main():
        _, protocol = await loop.create_connection(Recorder, "some.host", 1)
        await finish(protocol)
        return protocol.transport.get_extra_info("peername")

    assert run(main()) == echo_server


def test_several_addresses_none_works(loop, run, resolves_to):
    ports = [unused_port(), unused_port()]
    resolves_to(*(("127.0.0.1", port) for port in ports))
    with pytest.raises(OSError, match=r"^Multiple exceptions: ") as caught:
        run(loop.create_connection(Recorder, "some.host", 1))
    texts = [f"[Errno {errno.ECONNREFUSED}] Connect call failed ('127.0.0.1', {port})" for port in ports]
    assert str(caught.value) == f"Multiple exceptions: {', '.join(texts)}"


def test_several_addresses_one_error(loop, run, resolves_to):
    """Equal messages are given once, as the error itself."""
    port = unused_port()
    resolves_to(("127.0.0.1", port), ("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
        run(loop.create_connection(Recorder, "some.host", 1))


@pytest.mark.skipif(not PY312, reason="all_errors is new in 3.12")
def test_all_errors(loop, run, resolves_to):
    resolves_to(("127.0.0.1", unused_port()), ("127.0.0.1", unused_port()))
    with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
        run(loop.create_connection(Recorder, "some.host", 1, all_errors=True))
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError] * 2


@pytest.mark.parametrize("kwargs", [{"happy_eyeballs_delay": 0.005}, {"interleave": 1}], ids=str)
def test_racing_addresses(loop, run, echo_server, resolves_to, kwargs):
    resolves_to(("127.0.0.1", unused_port()), echo_server)

    async def main():
        _, protocol = await loop.create_connection(Recorder, "some.host", 1, **kwargs)
        await finish(protocol)
        return protocol.transport.get_extra_info("peername")

    assert run(main()) == echo_server


def test_a_slow_address_does_not_hold_up_the_next(loop, run, echo_server, resolves_to):
    """The first is a listener whose queue is full: connecting to it takes for ever."""
    with full_listener() as address:
        resolves_to(address, echo_server)

        async def main():
            _, protocol = await loop.create_connection(Recorder, "some.host", 1, happy_eyeballs_delay=0.01)
            await finish(protocol)
            return protocol.transport.get_extra_info("peername")

        assert run(asyncio.wait_for(main(), 5)) == echo_server


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "host and port was not specified and no sock specified"),
        (
            {"server_hostname": "name", "host": "127.0.0.1", "port": 1},
            "server_hostname is only meaningful with ssl",
        ),
        (
            {"ssl_handshake_timeout": 1, "host": "127.0.0.1", "port": 1},
            "ssl_handshake_timeout is only meaningful",
        ),
        (
            {"ssl_shutdown_timeout": 1, "host": "127.0.0.1", "port": 1},
            "ssl_shutdown_timeout is only meaningful",
        ),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(loop, run, kwargs, message):
    with pytest.raises(ValueError, match=message):
        run(loop.create_connection(Recorder, **kwargs))


def test_host_and_socket_together(loop, run):
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="host/port and sock can not be specified at the same time"):
            run(loop.create_connection(Recorder, "127.0.0.1", 1, sock=sock))


def test_datagram_sockets_are_refused(loop, run):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="A Stream Socket was expected"):
            run(loop.create_connection(Recorder, sock=sock))


def test_a_port_that_does_not_fit(loop, run):
    with pytest.raises(OverflowError):
        run(loop.create_connection(Recorder, "127.0.0.1", 65_536))


def test_a_name_that_does_not_resolve(loop, run, monkeypatch):
    def resolve(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(socket.gaierror, match="Name or service not known"):
        run(loop.create_connection(Recorder, "no.such.host", 1))


def test_a_name_without_addresses(loop, run, resolves_to):
    resolves_to()
    with pytest.raises(OSError, match=r"getaddrinfo\('some.host'\) returned empty list|returned empty list"):
        run(loop.create_connection(Recorder, "some.host", 1))


def test_cancelled_while_connecting(loop, run):
    """The socket is closed, and nothing comes of it later."""
    with full_listener() as address:

        async def main():
            before = set(open_fds())
            task = asyncio.create_task(loop.create_connection(Recorder, *address))
            await asyncio.sleep(0.005)
            assert not task.done() and set(open_fds()) - before
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settle()
            return set(open_fds()) - before

        assert run(main()) == set()


@pytest.mark.filterwarnings("ignore:unclosed <socket")
@pytest.mark.filterwarnings("ignore:unclosed transport")
def test_cancelled_at_random_while_descriptors_come_and_go(loop, run, echo_server):
    """No connection may end up on a number that another thread opened in the meantime."""
    generator, ending, wrong = random.Random(6), threading.Event(), []

    def churn():
        while not ending.is_set():
            left, right = socket.socketpair()
            left.settimeout(1)
            right.send(b"mine")
            if left.recv(100) != b"mine":
                wrong.append("stray data")
            left.close()
            right.close()

    async def attempt(delay):
        _, protocol = await loop.create_connection(Recorder, *echo_server)
        message = b"%d" % random.getrandbits(60)
        protocol.transport.write(message)
        try:
            await asyncio.sleep(delay)
            assert await protocol.wait_for_data(len(message)) == message
        finally:
            protocol.transport.abort()

    async def main():
        outcomes = set()
        for _ in range(15):
            tasks = [asyncio.create_task(attempt(generator.random() / 500)) for _ in range(20)]
            await asyncio.sleep(generator.random() / 200)
            for task in generator.sample(tasks, 10):
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                outcomes.add(type(result))
        await asyncio.sleep(0.01)
        return outcomes

    with running_thread(churn):
        try:
            outcomes = run(main())
        finally:
            ending.set()
    assert outcomes <= {type(None), asyncio.CancelledError}
    assert wrong == []
