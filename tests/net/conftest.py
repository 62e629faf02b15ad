"""What the tests of connections share."""

import asyncio
import resource
import socket

import pytest

from tests.support import tcp_pair

from .protocols import Echo


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
