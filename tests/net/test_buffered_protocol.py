"""BufferedProtocol: data goes straight into the protocol's own buffer."""

import asyncio
import os
import random
import socket

import pytest

from tests.support import PY312, wait_until

from .protocols import Recorder, Refusing, read_all, with_raw_peer
from .tls import with_tls_peer


class Buffered(asyncio.BufferedProtocol):
    """Receives into a buffer of a given size."""

    def __init__(self, size=1000):
        self.buffer = bytearray(size)
        self.calls = []
        self.hints = []
        self.data = bytearray()
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def get_buffer(self, sizehint):
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes):
        assert 0 < nbytes <= len(self.buffer)
        self.data += memoryview(self.buffer)[:nbytes]

    def eof_received(self):
        self.calls.append("eof")

    def connection_lost(self, error):
        self.calls.append(("lost", error))
        self.lost.set_result(error)


def test_receives(run):
    async def main():
        async with with_raw_peer(Buffered) as (protocol, peer):
            peer.send(b"hello")
            peer.send(b" world")
            peer.close()
            await protocol.lost
            assert all(isinstance(hint, int) for hint in protocol.hints)
            return bytes(protocol.data), protocol.calls

    assert run(main()) == (b"hello world", ["made", "eof", ("lost", None)])


@pytest.mark.parametrize("size", [1, 7, 1000, 300_000])
def test_buffers_of_all_sizes(run, size):
    data = random.Random(5).randbytes(3000 if size < 100 else 1_000_000)

    async def main():
        async with with_raw_peer(lambda: Buffered(size)) as (protocol, peer):
            left = memoryview(data)
            while left:
                try:
                    left = left[peer.send(left) :]
                except BlockingIOError:
                    await asyncio.sleep(0)
            await wait_until(lambda: len(protocol.data) == len(data))
            return protocol.data == data

    assert run(main()) is True


@pytest.mark.parametrize(
    "wrap", [memoryview, lambda buffer: memoryview(buffer)[10:20], lambda buffer: buffer]
)
def test_kinds_of_buffers(run, wrap):
    class Wrapped(Buffered):
        def get_buffer(self, sizehint):
            return wrap(self.buffer)

        def buffer_updated(self, nbytes):
            self.data += memoryview(wrap(self.buffer))[:nbytes]

    async def main():
        async with with_raw_peer(Wrapped) as (protocol, peer):
            peer.send(b"0123456789abcdef")
            await wait_until(lambda: len(protocol.data) == 16)
            return bytes(protocol.data)

    assert run(main()) == b"0123456789abcdef"


def failing(**methods):
    """A buffered protocol with some of its methods replaced."""
    return type("Failing", (Buffered,), methods)


def raise_key_error(self, *args):
    raise KeyError("raised")


@pytest.mark.parametrize("over_tls", [False, True])
def test_an_empty_buffer(run, impl, reports, over_tls):
    """The documented error, and no end of file."""
    if over_tls and not impl.is_cloop:
        pytest.skip("asyncio takes it for the end of file")
    factory = failing(get_buffer=lambda self, hint: bytearray())

    async def main():
        async with with_tls_peer(factory) if over_tls else with_raw_peer(factory) as (protocol, peer):
            if not over_tls:
                peer.send(b"data")
            return await protocol.lost, list(protocol.calls)

    error, calls = run(main())
    assert str(error) == "get_buffer() returned an empty buffer"
    assert isinstance(error, RuntimeError)
    assert "eof" not in calls
    assert reports.take_one()["exception"] is error


FAILURES = {
    "an empty buffer": (failing(get_buffer=lambda self, hint: bytearray()), RuntimeError, "get_buffer"),
    "no buffer": (failing(get_buffer=lambda self, hint: None), TypeError, "get_buffer"),
    "a buffer that cannot be written": (failing(get_buffer=lambda self, hint: b"read-only"), TypeError, ""),
    "a buffer that is refused": (failing(get_buffer=lambda self, hint: Refusing(9)), TypeError, ""),
    "get_buffer raises": (failing(get_buffer=raise_key_error), KeyError, "get_buffer"),
    "buffer_updated raises": (failing(buffer_updated=raise_key_error), KeyError, "buffer_updated"),
    "eof_received raises": (failing(eof_received=raise_key_error), KeyError, "eof_received"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_end_the_connection(run, reports, name):
    if "refused" in name and not PY312:
        pytest.skip("__buffer__ is new in 3.12")
    factory, error_type, place = FAILURES[name]

    async def main():
        async with with_raw_peer(factory) as (protocol, peer):
            peer.send(b"data")
            peer.shutdown(socket.SHUT_WR)
            error = await protocol.lost
            assert await read_some_or_reset(peer) == b""
            return error

    error = run(main())
    assert isinstance(error, error_type)
    context = reports.take_one()
    assert context["exception"] is error
    assert context["message"].startswith("Fatal ") and place in context["message"]


async def read_some_or_reset(sock):
    try:
        return await read_all(sock)
    except ConnectionResetError:
        return b""


def test_switching_between_the_two_kinds(run):
    async def main():
        async with with_raw_peer(Buffered) as (first, peer):
            transport = first.transport
            assert transport.get_protocol() is first
            peer.send(b"one")
            await wait_until(lambda: first.data == b"one")
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            peer.send(b"two")
            assert await second.wait_for_data(3) == b"two"
            third = Buffered()
            transport.set_protocol(third)
            peer.send(b"three")
            await wait_until(lambda: third.data == b"three")
            transport.close()
            await third.lost
            first.lost.set_result(None)
            return first.data, second.calls, third.calls

    assert run(main()) == (b"one", [], [("lost", None)])


def test_switching_inside_of_a_callback(run):
    """What comes in after the switch goes to the new protocol, also when it is there already."""

    class Switches(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()
            self.next_one = Buffered(4)
            self.transport.set_protocol(self.next_one)
            self.transport.resume_reading()

    async def main():
        async with with_raw_peer(Switches) as (protocol, peer):
            peer.send(b"first")
            await protocol.wait_for_data(5)
            peer.send(b"second part")
            await wait_until(lambda: len(protocol.next_one.data) == 11)
            protocol.transport.close()
            await protocol.next_one.lost
            protocol.lost.set_result(None)
            return bytes(protocol.data), bytes(protocol.next_one.data)

    assert run(main()) == (b"first", b"second part")


def test_paused_in_buffer_updated(run):
    class Pauses(Buffered):
        def buffer_updated(self, nbytes):
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    async def main():
        async with with_raw_peer(lambda: Pauses(4)) as (protocol, peer):
            peer.send(b"0123456789")
            await asyncio.sleep(0.005)
            assert protocol.data == b"0123"
            protocol.transport.resume_reading()
            await asyncio.sleep(0.005)
            return bytes(protocol.data)

    assert run(main()) == b"01234567"


@pytest.mark.parametrize("factory", [Recorder, Buffered])
def test_methods_that_are_replaced_on_the_protocol(run, factory):
    """They are looked up for each call, so that a protocol may change its own."""
    name = "data_received" if factory is Recorder else "buffer_updated"

    async def main():
        async with with_raw_peer(factory) as (protocol, peer):
            peer.send(b"first")
            await wait_until(lambda: protocol.data == b"first")
            got = []
            setattr(protocol, name, got.append)
            peer.send(b"other")
            await wait_until(lambda: got)
            delattr(protocol, name)
            peer.send(b"third")
            await wait_until(lambda: len(protocol.data) == 10)
            return got, bytes(protocol.data)

    expected = b"other" if factory is Recorder else 5
    assert run(main()) == ([expected], b"firstthird")


@pytest.mark.skipif(not PY312, reason="__release_buffer__ is new in 3.12")
def test_a_buffer_whose_release_calls_the_system(run):
    """What recv() has said counts, and not what a call since has."""

    class Buffer:
        def __init__(self):
            self.memory = bytearray(8)

        def __len__(self):
            return len(self.memory)

        def __buffer__(self, flags):
            return memoryview(self.memory)

        def __release_buffer__(self, view):
            view.release()
            assert not os.path.exists("/no/such/file")

    class Own(Buffered):
        def get_buffer(self, sizehint):
            self.buffer = Buffer()
            return self.buffer

        def buffer_updated(self, nbytes):
            self.data += self.buffer.memory[:nbytes]

    async def main():
        async with with_raw_peer(Own) as (protocol, peer):
            for data in (b"12345678", b"abcdefgh"):
                # All of the buffer, so that there is another recv().
                peer.send(data)
                await wait_until(lambda data=data: protocol.data.endswith(data))
            assert not protocol.lost.done()

    run(main())
