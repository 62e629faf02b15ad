"""create_server: its addresses and the options of its sockets."""

import asyncio
import errno
import os
import socket
import struct
import sys

import pytest

from tests.support import PY313, settle, unused_port, wait_until

from .protocols import Recorder, drop

# From then on an address that this machine does not have is passed over.
PASSES_OVER = sys.version_info >= (3, 12, 5)
FOREIGN = "192.0.2.1"


@pytest.fixture
def serving(loop, run):
    """Starts servers, which are closed in the end."""
    servers = []

    def serve(*args, **kwargs):
        servers.append(run(loop.create_server(Recorder, *args, **kwargs)))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
        run(asyncio.wait_for(server.wait_closed(), 5))


def option(server, level, name):
    """The value of an option of each of a server's sockets."""
    return [sock.getsockopt(level, name) for sock in server.sockets]


# ---- Options


@pytest.mark.skipif(not PY313, reason="keep_alive is new in 3.13")
@pytest.mark.parametrize("keep_alive", [True, False, None])
def test_keep_alive(serving, keep_alive):
    server = serving("127.0.0.1", 0, keep_alive=keep_alive)
    assert option(server, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == [int(bool(keep_alive))]


@pytest.mark.parametrize(("reuse_address", "expected"), [(None, 1), (True, 1), (False, 0)])
def test_reuse_address(serving, reuse_address, expected):
    server = serving("127.0.0.1", 0, reuse_address=reuse_address)
    assert option(server, socket.SOL_SOCKET, socket.SO_REUSEADDR) == [expected]


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT")
@pytest.mark.parametrize(("reuse_port", "expected"), [(None, 0), (True, 1)])
def test_reuse_port(serving, reuse_port, expected):
    server = serving("127.0.0.1", 0, reuse_port=reuse_port)
    assert option(server, socket.SOL_SOCKET, socket.SO_REUSEPORT) == [expected]


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")
@pytest.mark.parametrize(("kwargs", "expected"), [({}, 100), ({"backlog": 7}, 7)])
def test_backlog(serving, kwargs, expected):
    (sock,) = serving("127.0.0.1", 0, **kwargs).sockets
    # tcpi_sacked is the backlog of a socket that listens.
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    assert struct.unpack_from("I", info, 28) == (expected,)


def test_the_sockets_do_not_block_and_are_not_inherited(serving):
    (sock,) = serving("127.0.0.1", 0).sockets
    assert sock.gettimeout() == 0
    assert not os.get_blocking(sock.fileno())
    assert not os.get_inheritable(sock.fileno())


# ---- Addresses


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_family(serving, family):
    server = serving(None, unused_port(), family=family)
    assert [sock.family for sock in server.sockets] == [family]
    if family == socket.AF_INET6:
        assert option(server, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == [1]


def test_flags_reach_the_look_up(loop, run):
    with pytest.raises(socket.gaierror):
        run(loop.create_server(Recorder, "localhost", 0, flags=socket.AI_NUMERICHOST))


def test_flags_by_default(loop, run, monkeypatch):
    calls = []

    def getaddrinfo(*args, **kwargs):
        calls.append(args)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match=r"^getaddrinfo\('name'\) returned empty list$"):
        run(loop.create_server(Recorder, "name", 1))
    assert calls == [("name", 1, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)]


@pytest.mark.parametrize("host", [None, ""])
def test_all_addresses(serving, host):
    server = serving(host, unused_port(), family=socket.AF_INET)
    assert [sock.getsockname()[0] for sock in server.sockets] == ["0.0.0.0"]


def test_hosts_of_any_iterable(serving):
    server = serving((host for host in ["127.0.0.1", "127.0.0.2"]), 0)
    assert {sock.getsockname()[0] for sock in server.sockets} == {"127.0.0.1", "127.0.0.2"}


def test_one_address_of_another_machine(loop, run, serving):
    if PASSES_OVER:
        server = serving(["127.0.0.1", FOREIGN], 0)
        assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1"]
        return
    with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
        run(loop.create_server(Recorder, ["127.0.0.1", FOREIGN], 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.skipif(not PASSES_OVER, reason="an error at once, before")
def test_only_addresses_of_another_machine(loop, run):
    with pytest.raises(OSError, match=r"^could not bind on any address out of \[\('192\.0\.2\.1', 0\)\]$"):
        run(loop.create_server(Recorder, FOREIGN, 0))


def test_no_hosts_at_all(loop, run, serving):
    if PASSES_OVER:
        with pytest.raises(OSError, match=r"^could not bind on any address out of \[\]$"):
            run(loop.create_server(Recorder, [], 0))
    else:
        assert serving([], 0).sockets == ()


def a_port_of_both():
    """A listener at 127.0.0.2, whose port nobody has at 127.0.0.1, not even a connection that is over."""
    while True:
        taken = socket.create_server(("127.0.0.2", 0))
        with socket.socket() as probe:
            if bind_error(probe, ("127.0.0.1", taken.getsockname()[1])) is None:
                return taken
        taken.close()


def bind_error(sock, address):
    """What bind() fails with, or None."""
    try:
        sock.bind(address)
    except OSError as error:
        return error
    return None


def test_one_address_in_use_closes_them_all(loop, run):
    with a_port_of_both() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="address already in use") as caught:
            run(loop.create_server(Recorder, ["127.0.0.1", "127.0.0.2"], port))
        assert caught.value.errno == errno.EADDRINUSE
        assert f"error while attempting to bind on address ('127.0.0.2', {port}): " in str(caught.value)
    with socket.socket() as free:
        assert bind_error(free, ("127.0.0.1", port)) is None


def test_a_listen_that_fails_closes_them_all(loop, run, impl, monkeypatch):
    """Two protocol numbers for one address: both can be bound, and only one may listen."""
    if not impl.is_cloop:
        pytest.skip("asyncio's first socket goes on listening, and nobody can close it")
    port = unused_port()

    def getaddrinfo(*args, **kwargs):
        return [
            (socket.AF_INET, socket.SOCK_STREAM, proto, "", ("127.0.0.1", port))
            for proto in (0, socket.IPPROTO_TCP)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError) as caught:
        run(loop.create_server(Recorder, "name", port))
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_connection(Recorder, "127.0.0.1", port))


def test_cancelled_before_anybody_has_the_server(loop, run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio's goes on listening, and nobody can close it")

    async def main():
        port = unused_port()
        task = asyncio.create_task(loop.create_server(Recorder, "127.0.0.1", port))
        while True:
            await asyncio.sleep(0)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, "127.0.0.1", port)

    run(main())


# ---- The Server's clients


@pytest.mark.skipif(not PY313, reason="the server knows its clients from 3.13 on")
def test_clients_are_known_while_they_last(loop, run):
    async def main():
        accepted = []
        server = await loop.create_server(lambda: accepted.append(Recorder()) or accepted[-1], "127.0.0.1", 0)
        _, client = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
        await wait_until(lambda: accepted and accepted[0].made.done())
        known = set(server._clients)
        await drop(accepted[0])
        await settle()
        await client.lost
        left = set(server._clients)
        server.close()
        await server.wait_closed()
        return known == {accepted[0].transport}, left

    assert run(main()) == (True, set())
