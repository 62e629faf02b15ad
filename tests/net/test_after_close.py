"""Calls on a transport that is closing or closed do nothing: libraries make them all the time."""

import asyncio
import contextlib
import logging
import os

import pytest

from tests.support import PY312, settle

from .protocols import KeepsOpen, Recorder, connected, fill, read_all, with_raw_peer

HARMLESS = {
    "close": lambda transport: transport.close(),
    "abort": lambda transport: transport.abort(),
    "write": lambda transport: transport.write(b"x"),
    "write_eof": lambda transport: transport.write_eof(),
    "pause_reading": lambda transport: transport.pause_reading(),
    "resume_reading": lambda transport: transport.resume_reading(),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(high=10),
    "get_write_buffer_limits": lambda transport: transport.get_write_buffer_limits(),
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size(),
    "is_reading": lambda transport: transport.is_reading(),
    "can_write_eof": lambda transport: transport.can_write_eof(),
    "get_extra_info": lambda transport: transport.get_extra_info("peername"),
    "set_protocol": lambda transport: transport.set_protocol(transport.get_protocol()),
    "repr": repr,
}


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("wait", [True, False], ids=["lost", "closing"])
def test_harmless(run, name, how, wait):
    async def main():
        async with with_raw_peer() as (protocol, _):
            getattr(protocol.transport, how)()
            if wait:
                await protocol.lost
            HARMLESS[name](protocol.transport)
            assert protocol.transport.is_closing()
            await protocol.lost
            await settle()
            return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_writelines(run, impl, how):
    if PY312 and not impl.is_cloop:
        pytest.skip("asyncio fails with AttributeError from 3.12")

    async def main():
        async with with_raw_peer() as (protocol, peer):
            getattr(protocol.transport, how)()
            protocol.transport.writelines([b"one", b"two"])
            await protocol.lost
            protocol.transport.writelines([b"three"])
            return peer.recv(10)

    assert run(main()) == b""


@pytest.mark.parametrize("how", ["close", "abort"])
def test_writes_warn_from_the_fifth(run, caplog, how):
    caplog.set_level(logging.WARNING, "asyncio")

    async def main():
        async with with_raw_peer() as (protocol, _):
            getattr(protocol.transport, how)()
            await protocol.lost
            counts = []
            for _ in range(8):
                protocol.transport.write(b"x")
                counts.append(len(caplog.records))
            return counts

    assert run(main()) == [0, 0, 0, 0, 1, 2, 3, 4]
    assert {record.getMessage() for record in caplog.records} == {"socket.send() raised exception."}


def test_writes_while_closing_are_dropped_or_sent_but_raise_nothing(run):
    """With data still waiting, asyncio takes more; nothing of it may be lost or out of order then."""

    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.close()
            protocol.transport.write(b"after close")
            received = bytearray()
            while not protocol.lost.done():
                try:
                    received += peer.recv(1 << 20)
                except BlockingIOError:
                    pass
                await asyncio.sleep(0)
            while chunk := peer.recv(1 << 20):
                received += chunk
            return bytes(received[sent:])

    assert run(main()) in (b"", b"after close")


def test_writes_after_the_peer_is_gone(run, caplog):
    caplog.set_level(logging.WARNING, "asyncio")

    async def main():
        async with with_raw_peer(KeepsOpen) as (protocol, peer):
            peer.close()
            for _ in range(20):
                protocol.transport.write(b"x")
                await asyncio.sleep(0)
            error = await protocol.lost
            protocol.transport.write(b"x")
            return error

    assert isinstance(run(main()), (BrokenPipeError, ConnectionResetError))
    assert 0 < len(caplog.records) <= 20


def test_the_first_reason_is_the_one(run):
    """Closed by us and then reset by the peer, or the other way round: one call, with the first reason."""

    async def main():
        async with connected() as (client, server):
            client.transport.close()
            server.transport.abort()
            results = [await client.lost, await server.lost]
            await settle()
            return results, client.calls, server.calls

    results, client_calls, server_calls = run(main())
    assert results == [None, None]
    assert client_calls == ["made", ("lost", None)]
    assert server_calls[-1] == ("lost", None)


def test_an_error_before_a_close_is_the_reason(run, reports):
    """What the protocol raised, whatever is done to the transport until it is told."""
    error = KeyError("data")

    class Fails(Recorder):
        def data_received(self, data):
            asyncio.get_running_loop().call_soon(self.transport.abort)
            asyncio.get_running_loop().call_soon(self.transport.close)
            raise error

    async def main():
        async with with_raw_peer(Fails) as (protocol, peer):
            peer.send(b"data")
            await protocol.lost
            protocol.transport.abort()
            await settle()
            return protocol.calls

    assert run(main()) == ["made", ("lost", error)]
    assert reports.take_one()["exception"] is error


def test_an_error_of_what_is_sent_after_a_close_is_the_reason(run):
    """Closed with something in the buffer, it had no reason yet."""

    async def main():
        async with with_raw_peer() as (protocol, peer):
            fill(protocol.transport)
            protocol.transport.close()
            peer.close()
            error = await protocol.lost
            return type(error), protocol.calls == ["made", ("lost", error)] or protocol.calls

    kind, calls = run(main())
    assert issubclass(kind, (BrokenPipeError, ConnectionResetError)) and calls is True


def test_the_descriptor_is_closed_once(run):
    """A number that is given out again must not be closed by a transport that had it before."""

    async def main():
        async with with_raw_peer() as (protocol, _):
            fd = protocol.transport.get_extra_info("socket").fileno()
            reading, writing = os.pipe()
            protocol.transport.close()
            await protocol.lost
            reused = os.dup2(reading, fd)
            protocol.transport.abort()
            protocol.transport.close()
            await settle()
            os.write(writing, b"x")
            assert os.read(reused, 1) == b"x"
            for each in (reading, writing, reused):
                os.close(each)

    run(main())


def test_closing_everything_in_every_callback(run):
    """The transport is closed, aborted and written to from inside each of its callbacks."""

    class Closes(Recorder):
        def __init__(self, where):
            super().__init__()
            self.where = where

        def act(self, where):
            if where == self.where:
                for action in ("close", "abort", "write_eof", "pause_reading", "write"):
                    HARMLESS[action](self.transport)

        def connection_made(self, transport):
            super().connection_made(transport)
            self.act("made")

        def data_received(self, data):
            super().data_received(data)
            self.act("data")

        def eof_received(self):
            super().eof_received()
            self.act("eof")
            return True

        def connection_lost(self, error):
            super().connection_lost(error)
            self.act("lost")

    async def main(where):
        async with with_raw_peer(lambda: Closes(where)) as (protocol, peer):
            with contextlib.suppress(BrokenPipeError):
                peer.send(b"data")
            await asyncio.sleep(0.001)
            peer.close()
            if where == "lost":
                protocol.transport.close()
            await asyncio.wait_for(protocol.lost, 5)
            await settle()
            return [call for call in protocol.calls if isinstance(call, tuple)]

    for where in ("made", "data", "eof", "lost"):
        assert len(run(main(where))) == 1


def test_abort_after_a_close_that_sent_what_was_buffered(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio fails with AttributeError")

    async def main():
        async with with_raw_peer() as (protocol, peer):
            sent = fill(protocol.transport)
            protocol.transport.close()
            assert len(await read_all(peer)) == sent
            await protocol.lost
            protocol.transport.abort()
            await settle()
            return protocol.calls

    assert run(main()) == ["made", ("lost", None)]
