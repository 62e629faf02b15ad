"""A connection or server that could not be made leaves no reference cycle: who asked is let go of at once."""

import asyncio
import gc
import socket
import weakref

import pytest

from tests.support import unused_port

UNKNOWN = ("192.0.2.1", 0)  # no address of this machine


class Mark:
    """Something in the frame of whoever asks."""


def bind_fails(loop, _):
    return asyncio.open_connection("127.0.0.1", unused_port(), local_addr=UNKNOWN)


def no_local_address(loop, _):
    return asyncio.open_connection("127.0.0.1", unused_port(), local_addr=("::1", 0))


def refused(loop, _):
    return asyncio.open_connection("127.0.0.1", unused_port())


def several_refused(loop, _):
    return asyncio.open_connection("localhost", unused_port())


def all_errors(loop, _):
    return loop.create_connection(asyncio.Protocol, "localhost", unused_port(), all_errors=True)


def race(loop, _):
    return asyncio.open_connection("localhost", unused_port(), happy_eyeballs_delay=0.01)


def race_and_bind_fails(loop, _):
    return asyncio.open_connection("127.0.0.1", 9, local_addr=UNKNOWN, happy_eyeballs_delay=0.01)


def sock_connect(loop, sock):
    return loop.sock_connect(sock, ("127.0.0.1", unused_port()))


def serve(loop, _):
    return loop.create_server(asyncio.Protocol, *UNKNOWN)


def datagram_bind(loop, _):
    return loop.create_datagram_endpoint(asyncio.DatagramProtocol, UNKNOWN)


def unix_connection(loop, _):
    return asyncio.open_unix_connection("/no/such/path")


def unix_server(loop, _):
    return asyncio.start_unix_server(print, "/no/such/path")


def no_program(loop, _):
    return asyncio.create_subprocess_exec("/no/such/program")


@pytest.mark.parametrize(
    "call",
    [
        bind_fails,
        no_local_address,
        refused,
        several_refused,
        all_errors,
        race,
        race_and_bind_fails,
        sock_connect,
        serve,
        datagram_bind,
        unix_connection,
        unix_server,
        no_program,
    ],
    ids=lambda call: call.__name__,
)
def test_the_frame_that_asked_is_gone(impl, loop, run, call):
    if not impl.is_cloop:
        pytest.skip("asyncio keeps it, until the collector runs")

    async def ask():
        mark = Mark()
        references.append(weakref.ref(mark))
        with socket.socket() as sock:
            sock.setblocking(False)
            try:
                await call(loop, sock)
            except (OSError, ExceptionGroup):
                return
        raise AssertionError("it worked")

    references = []
    gc.disable()
    try:
        run(ask())
        assert references[0]() is None
    finally:
        gc.enable()
