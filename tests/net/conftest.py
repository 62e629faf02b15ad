"""What the tests of connections share."""

import asyncio
import importlib
import resource
import socket
import tempfile

import pytest

from tests.support import tcp_pair

from .protocols import Echo
from .streams import WIRES, Wire


@pytest.fixture
def echo_server(loop, run):
    """The address of an echo server on the loop."""
    server = run(loop.create_server(Echo, "127.0.0.1", 0))
    yield server.sockets[0].getsockname()
    server.close()
    run(asyncio.wait_for(server.wait_closed(), 5))


@pytest.fixture
def resolves_to(monkeypatch):
    """Makes every name resolve to the addresses given, by socket.getaddrinfo itself."""

    def patch(*addresses):
        def getaddrinfo(*args, **kwargs):
            return [
                (family_of(address), socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return patch


def family_of(address):
    return socket.AF_INET6 if len(address) == 4 else socket.AF_INET


@pytest.fixture
def many_descriptors():
    """Allow this process some thousand descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def tcp():
    """Two connected, non-blocking TCP sockets."""
    left, right = tcp_pair()
    with left, right:
        yield left, right


@pytest.fixture
def listener():
    """A listening, non-blocking TCP socket."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


# ---- Streams


@pytest.fixture
def short_path():
    """A path for a unix socket, whose length is limited."""
    with tempfile.TemporaryDirectory(prefix="cloop") as folder:
        yield f"{folder}/socket"


@pytest.fixture(params=["asyncio", "cloop"])
def functions(request):
    """The module whose open_connection and start_server are used."""
    return importlib.import_module(request.param)


@pytest.fixture(params=WIRES)
def wire(request, functions, short_path):
    return Wire(request.param, functions, short_path)


@pytest.fixture(params=["tcp", "unix"])
def plain_wire(request, functions, short_path):
    return Wire(request.param, functions, short_path)


@pytest.fixture
def tcp_wire(functions, short_path):
    return Wire("tcp", functions, short_path)
