"""What a task has set in its context is not seen by the connections that it uses, nor kept by them.

A connection has one context, taken when it was made. asyncio has that from 3.15 on, for sockets; in its
pipes, in its TLS and up to 3.14 what a task schedules runs in the task's context.
"""

import asyncio
import contextvars
import gc
import socket
import weakref

import pytest

from tests.support import PY315, settle, wait_until

from .pipes import read_pipe, take_some, write_pipe
from .protocols import Recorder, connected, drop, fill, read_some, with_raw_peer
from .tls import NAME, client_context, server_context, tls_connected, with_tls_peer

VAR: contextvars.ContextVar[object] = contextvars.ContextVar("VAR", default="unset")


class Value:
    """Something that a request would keep in a context variable."""


class Noting(Recorder):
    """Notes the variable's value in each method that is called for an event."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def note(self, method):
        self.seen.append((method, VAR.get()))

    def data_received(self, data):
        self.note("data")
        super().data_received(data)

    def eof_received(self):
        self.note("eof")
        super().eof_received()

    def datagram_received(self, data, address):
        self.note("datagram")
        self.data += data

    def resume_writing(self):
        self.note("resume")
        super().resume_writing()

    def connection_lost(self, error):
        self.note("lost")
        super().connection_lost(error)


class SmallBuffer(Noting, asyncio.BufferedProtocol):
    """Gets less at once than comes."""

    def __init__(self):
        super().__init__()
        self.buffer = bytearray(10)

    def get_buffer(self, sizehint):
        return self.buffer

    def buffer_updated(self, nbytes):
        self.data_received(bytes(self.buffer[:nbytes]))


@pytest.fixture
def sockets_are_right(impl):
    """Skips asyncio's half where its sockets have no context of their own."""
    if not (impl.is_cloop or PY315):
        pytest.skip("asyncio runs what a task schedules in the task's context")


@pytest.fixture
def cloop_is_right(impl):
    """Skips asyncio's half where its versions have no context of the connection, or keep the task's."""
    if not impl.is_cloop:
        pytest.skip("asyncio runs what a task schedules in the task's context, or keeps that")


async def in_a_task(function, *args):
    """Call a function in a task that has set the variable. Returns a weak reference to its value."""

    async def task():
        value = Value()
        VAR.set(value)
        function(*args)
        return weakref.ref(value)

    return await asyncio.create_task(task())


def is_kept(reference):
    gc.collect()
    return reference() is not None


def values(protocol):
    """What its methods have seen: the methods, and the values, which must be one."""
    methods = [method for method, _ in protocol.seen]
    (value,) = {value for _, value in protocol.seen}
    return methods, value


def test_resumed_reading(run, cloop_is_right):
    async def main():
        async with with_raw_peer(Noting) as (protocol, peer):
            protocol.transport.pause_reading()
            value = await in_a_task(protocol.transport.resume_reading)
            kept = is_kept(value)
            peer.send(b"data")
            await protocol.wait_for_data(4)
            return values(protocol), kept

    assert run(main()) == ((["data"], "unset"), False)


def test_waiting_to_write(run, cloop_is_right):
    async def main():
        async with with_raw_peer(Noting) as (protocol, peer):
            value = await in_a_task(fill, protocol.transport, bytes(1 << 20))
            kept = is_kept(value)
            while protocol.transport.get_write_buffer_size():
                await read_some(peer)
                await asyncio.sleep(0)
            return values(protocol), kept

    assert run(main()) == ((["resume"], "unset"), False)


@pytest.mark.parametrize("method", ["close", "abort"])
def test_closing(run, sockets_are_right, method):
    async def main():
        async with with_raw_peer(Noting) as (protocol, _):
            await in_a_task(getattr(protocol.transport, method))
            await protocol.lost
            return values(protocol)

    assert run(main()) == (["lost"], "unset")


def test_closing_with_something_left_to_write(run, cloop_is_right):
    async def main():
        async with with_raw_peer(Noting) as (protocol, peer):
            fill(protocol.transport, bytes(1 << 20))
            value = await in_a_task(protocol.transport.close)
            kept = is_kept(value)
            while not protocol.lost.done():
                await read_some(peer)
                await asyncio.sleep(0)
            return values(protocol), kept

    assert run(main()) == ((["resume", "lost"], "unset"), False)


def test_an_accepted_connection(run, sockets_are_right):
    """Each has a copy of the context that the server was made in."""

    async def main():
        VAR.set("server")
        listening = asyncio.create_task(serve())
        VAR.set("later")
        async with await listening as (client, accepted):
            accepted.transport.pause_reading()
            await in_a_task(accepted.transport.resume_reading)
            client.transport.write(b"data")
            await accepted.wait_for_data(4)
            await in_a_task(accepted.transport.close)
            await accepted.lost
            return values(accepted)

    async def serve():
        return connected(server=Noting)

    assert run(main()) == (["data", "lost"], "later")


def test_gathered_writes(run, cloop_is_right):
    """What is sent at the end of the turn may pause the protocol, when nobody's callback runs."""

    class Pausing(Noting):
        def pause_writing(self):
            self.note("pause")
            super().pause_writing()

    async def main():
        # The loop itself runs in the context of who runs it.
        VAR.set("connection")
        async with with_raw_peer(Pausing) as (protocol, _):
            transport = protocol.transport
            transport.set_write_buffer_limits(high=1000, low=0)
            while "pause" not in protocol.calls:
                for _ in range(10):
                    transport.write(bytes(90))
                await asyncio.sleep(0)
            return values(protocol)

    assert contextvars.copy_context().run(run, main())[1] == "connection"


# ---- Datagrams


def test_datagrams_that_wait(run, cloop_is_right):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(Noting, local_addr=("127.0.0.1", 0))
        transport.pause_reading()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            value = await in_a_task(transport.resume_reading)
            kept = is_kept(value)
            for _ in range(40):
                peer.sendto(b"x", transport.get_extra_info("sockname"))
            await wait_until(lambda: len(protocol.data) == 40)
        await in_a_task(transport.close)
        await protocol.lost
        return {value for _, value in protocol.seen}, kept

    assert run(main()) == ({"unset"}, False)


# ---- Pipes


def test_a_pipe_that_is_read(run, cloop_is_right):
    async def main():
        async with read_pipe(Noting) as (protocol, writer):
            protocol.transport.pause_reading()
            value = await in_a_task(protocol.transport.resume_reading)
            kept = is_kept(value)
            writer.write(b"data")
            await protocol.wait_for_data(4)
            writer.close()
            await protocol.lost
            return values(protocol), kept

    assert run(main()) == ((["data", "eof", "lost"], "unset"), False)


def test_a_pipe_that_is_closed(run, cloop_is_right):
    async def main():
        async with read_pipe(Noting) as (protocol, _):
            await in_a_task(protocol.transport.close)
            await protocol.lost
            return values(protocol)

    assert run(main()) == (["lost"], "unset")


def test_a_pipe_that_is_written(run, cloop_is_right):
    async def main():
        async with write_pipe(Noting) as (protocol, reader):
            transport = protocol.transport
            value = await in_a_task(fill, transport, bytes(1 << 20))
            kept = is_kept(value)
            while transport.get_write_buffer_size():
                await take_some(reader)
            await in_a_task(transport.close)
            await protocol.lost
            return values(protocol), kept

    assert run(main()) == ((["resume", "lost"], "unset"), False)


# ---- TLS


def test_tls_with_data_left(run, cloop_is_right):
    """What has come and was not read is read in the connection's context."""

    async def main():
        async with with_tls_peer(Noting) as (protocol, peer):
            protocol.transport.pause_reading()
            await peer.write(b"data")
            await wait_until(lambda: protocol.transport.get_read_buffer_size())
            await in_a_task(protocol.transport.resume_reading)
            await protocol.wait_for_data(4)
            return values(protocol)

    assert run(main()) == (["data"], "unset")


def test_tls_with_a_small_buffer(run, cloop_is_right):
    async def main():
        async with with_tls_peer(SmallBuffer) as (protocol, peer):
            protocol.transport.pause_reading()
            await peer.write(bytes(100))
            await wait_until(lambda: protocol.transport.get_read_buffer_size())
            await in_a_task(protocol.transport.resume_reading)
            await protocol.wait_for_data(100)
            return {value for _, value in protocol.seen}

    assert run(main()) == {"unset"}


def test_tls_that_is_closed(run, cloop_is_right):
    """Also while its peer does not answer."""

    async def main():
        async with with_tls_peer(Noting) as (protocol, peer):
            value = await in_a_task(protocol.transport.close)
            kept = is_kept(value)
            await peer.do(peer.tls.unwrap)
            await protocol.lost
            return values(protocol), kept

    (methods, seen), kept = run(main())
    assert methods[-1] == "lost"
    assert seen == "unset"
    assert not kept


def test_tls_connections_of_tasks(run, cloop_is_right):
    """Both ends, closed by a task."""

    async def main():
        async with tls_connected(Noting, Noting) as (client, accepted):
            client.transport.write(b"data")
            await accepted.wait_for_data(4)
            await in_a_task(accepted.transport.close)
            await client.lost
            await accepted.lost
            return {value for protocol in (client, accepted) for _, value in protocol.seen}

    assert run(main()) == {"unset"}


def test_tls_that_a_task_starts(run, cloop_is_right):
    """The connection stays in its context, whoever starts TLS on it."""

    async def main():
        loop = asyncio.get_running_loop()
        references = []

        async def start(protocol, context, **options):
            value = Value()
            VAR.set(value)
            references.append(weakref.ref(value))
            protocol.transport = await loop.start_tls(protocol.transport, protocol, context, **options)

        async with connected(Noting, Noting) as (client, accepted):
            await asyncio.gather(
                start(client, client_context(), server_hostname=NAME),
                start(accepted, server_context(), server_side=True),
            )
            await settle()
            kept = [is_kept(reference) for reference in references]
            client.transport.write(b"data")
            await accepted.wait_for_data(4)
            await drop(client)
            await settle()
            await accepted.lost
            return {value for protocol in (client, accepted) for _, value in protocol.seen}, kept

    assert run(main()) == ({"unset"}, [False, False])
