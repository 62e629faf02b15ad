"""A descriptor that the system can't watch (ENOSPC: the limit on watches): nothing is left open and deaf."""

import asyncio
import contextlib
import os
import socket

import pytest

from tests.support import wait_until

from .protocols import Recorder
from .tls import client_context, server_context


class Unwatchable(contextlib.AbstractContextManager):
    """Has the poller refuse, until the loop reports it."""

    def __init__(self, loop, reports):
        self.number = loop._poller.fileno()
        self.saved = os.dup(self.number)
        self.reports = reports
        loop.set_exception_handler(self.report)

    def begin(self, *_):
        with open(os.devnull) as file:
            os.dup2(file.fileno(), self.number)

    def report(self, loop, context):
        os.dup2(self.saved, self.number)
        self.reports.append(context)

    def __exit__(self, *_):
        os.dup2(self.saved, self.number)
        os.close(self.saved)


@pytest.fixture(autouse=True)
def only_cloop(impl, loop):
    if not impl.is_cloop:
        pytest.skip("asyncio leaves the connection open, and reports what its add_reader() has raised")
    if not hasattr(loop, "_poller") or loop.poller_features()["poller"] != "epoll":
        pytest.skip("a descriptor of another kind refuses in its own way")


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_an_accepted_connection(loop, reports, tls):
    made = []

    async def main():
        with Unwatchable(loop, reports) as poller:

            class Accepted(Recorder):
                def __init__(self):
                    super().__init__()
                    made.append(self)
                    loop.call_soon(poller.begin)

            server = await loop.create_server(Accepted, "127.0.0.1", 0, ssl=server_context() if tls else None)
            sock = socket.create_connection(server.sockets[0].getsockname())
            with sock:
                sock.setblocking(False)
                await wait_until(lambda: reports)
                assert await asyncio.wait_for(loop.sock_recv(sock, 10), 5) == b""
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())
    context = reports.take_one()
    assert isinstance(context["exception"], OSError)
    assert context["message"] == "Can't watch a transport's descriptor"
    if not tls:
        assert made[0].calls == ["made", ("lost", context["exception"])]


def test_what_the_kernel_does_not_take(loop, reports):
    """The rest of a write: the connection ends, and the caller has nothing to do about it."""

    async def main():
        with Unwatchable(loop, reports) as poller:
            ours, theirs = socket.socketpair()
            with theirs:
                _, protocol = await loop.create_connection(Recorder, sock=ours)
                poller.begin()
                protocol.transport.write(bytes(1 << 22))
                assert protocol.transport.is_closing() and protocol.transport.get_write_buffer_size() == 0
                await protocol.lost
                return protocol.calls

    calls = loop.run_until_complete(main())
    error = reports.take_one()["exception"]
    assert isinstance(error, OSError) and calls == ["made", ("lost", error)]


def test_a_client_by_tls_is_told(loop, reports):
    async def main():
        with Unwatchable(loop, reports) as poller:
            ours, theirs = socket.socketpair()
            with theirs:
                connecting = loop.create_connection(
                    Recorder, sock=ours, ssl=client_context(), server_hostname="localhost"
                )
                task = loop.create_task(connecting)
                loop.call_soon(poller.begin)
                with pytest.raises(OSError):
                    await asyncio.wait_for(task, 5)

    loop.run_until_complete(main())
    assert isinstance(reports.take_one()["exception"], OSError)
