"""Fixtures: sockets of the test's own."""

import socket

import pytest

from tests.support import tcp_pair


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
