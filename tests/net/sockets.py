"""The sock_ methods that receive, by name."""

import contextlib

import pytest


def blocked_write(sock):
    """Fill a socket's buffers; how much went in."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(65536))
    return sent


# By name: how to call it for a socket, and what comes of b"data" from a stream's peer, and of its end.
RECEIVERS = {
    "recv": (lambda loop, sock: loop.sock_recv(sock, 10), b"data", b""),
    "recv_into": (lambda loop, sock: loop.sock_recv_into(sock, bytearray(10)), 4, 0),
    "recvfrom": (lambda loop, sock: loop.sock_recvfrom(sock, 10), (b"data", None), (b"", None)),
    "recvfrom_into": (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(10)), (4, None), (0, None)),
}
receivers = pytest.mark.parametrize(("receive", "expected", "ended"), RECEIVERS.values(), ids=RECEIVERS)
