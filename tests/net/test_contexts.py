"""Which contextvars.Context a protocol's methods run in: the connection's.

Up to 3.14 asyncio's callbacks each have a copy of the context that they were scheduled in.
"""

import asyncio
import contextvars

import pytest

from tests.support import PY315, settle, wait_until

from .protocols import Recorder, drop, fill, read_some, with_raw_peer

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


@pytest.fixture
def one_context(impl):
    """Whether one context serves all callbacks of a connection."""
    return impl.is_cloop or PY315


class Noting(Recorder):
    """Notes the variable's value in each method, and sets it to the method's name."""

    def __init__(self):
        super().__init__()
        self.seen = {}
        self.note("factory")

    def note(self, name):
        self.seen.setdefault(name, []).append(VAR.get())
        VAR.set(name)

    def connection_made(self, transport):
        self.note("made")
        super().connection_made(transport)

    def data_received(self, data):
        self.note("data")
        super().data_received(data)

    def eof_received(self):
        self.note("eof")
        super().eof_received()
        return True

    def pause_writing(self):
        self.note("pause")
        super().pause_writing()

    def resume_writing(self):
        self.note("resume")
        super().resume_writing()

    def connection_lost(self, error):
        self.note("lost")
        super().connection_lost(error)


async def receive(protocol, peer, data):
    """Let the protocol receive something."""
    size = len(protocol.data) + len(data)
    peer.send(data)
    await protocol.wait_for_data(size)


def test_a_client(run, one_context):
    async def main():
        VAR.set("caller")
        async with with_raw_peer(Noting) as (protocol, peer):
            VAR.set("later")
            await receive(protocol, peer, b"1")
            await receive(protocol, peer, b"2")
            VAR.set("closing")
            protocol.transport.close()
            await protocol.lost
            return protocol.seen, VAR.get()

    seen, mine = run(main())
    # The factory runs in the caller itself.
    assert seen["factory"] == ["caller"]
    assert mine == "closing"
    # Before 3.15 the context is copied after it.
    assert seen["made"] == (["caller"] if PY315 else ["factory"])
    if one_context:
        assert seen["data"] == ["made", "data"]
        assert seen["lost"] == ["data"]
    else:
        assert seen["data"] == ["factory", "data"]
        assert seen["lost"] == ["closing"]


def test_resumed_reading(run, one_context):
    async def main():
        VAR.set("caller")
        async with with_raw_peer(Noting) as (protocol, peer):
            await receive(protocol, peer, b"1")
            protocol.transport.pause_reading()
            VAR.set("resuming")
            protocol.transport.resume_reading()
            await receive(protocol, peer, b"2")
            return protocol.seen["data"]

    assert run(main()) == (["made", "data"] if one_context else ["factory", "resuming"])


def test_flow_control(run, one_context):
    """pause_writing is called by write(), in its context; resume_writing in that of a later event."""

    async def main():
        async with with_raw_peer(Noting) as (protocol, peer):
            VAR.set("writing")
            fill(protocol.transport, bytes(1 << 20))
            paused = VAR.get()
            while protocol.transport.get_write_buffer_size():
                await read_some(peer)
                await asyncio.sleep(0)
            return protocol.seen["pause"], paused, protocol.seen["resume"]

    assert run(main()) == (["writing"], "pause", ["made"] if one_context else ["writing"])


def test_connection_lost_at_the_peers_wish(run):
    """It is scheduled in the context in which the end was read."""

    async def main():
        async with with_raw_peer(Noting) as (protocol, peer):
            VAR.set("later")
            await receive(protocol, peer, b"1")
            protocol.eof_received = lambda: VAR.set("end") and None
            peer.close()
            await protocol.lost
            return protocol.seen["lost"]

    assert run(main()) == ["end"]


def test_a_server(run, one_context):
    """Each connection has a copy of the context in which the server was started."""

    async def main():
        loop = asyncio.get_running_loop()
        accepted = []

        def accept():
            accepted.append(Noting())
            return accepted[-1]

        VAR.set("creating")
        server = await loop.create_server(accept, "127.0.0.1", 0, start_serving=False)
        VAR.set("starting")
        await server.start_serving()
        VAR.set("later")
        clients = [await loop.create_connection(Recorder, *server.sockets[0].getsockname()) for _ in range(2)]
        await wait_until(lambda: len(accepted) == 2)
        for (transport, _), protocol in zip(clients, accepted, strict=True):
            transport.write(b"x")
            await protocol.wait_for_data(1)
            await drop(protocol)
        server.close()
        await settle()
        for _, client in clients:
            await client.lost
        return [
            {name: protocol.seen[name] for name in ("factory", "made", "data")} for protocol in accepted
        ], VAR.get()

    first = "creating" if PY315 else "starting"
    data = "made" if one_context else "factory"
    expected = {"factory": [first], "made": ["factory"], "data": [data]}
    assert run(main()) == ([expected, expected], "later")


def test_what_a_callback_raises_is_reported_in_no_other_context(run, loop, reports):
    """The handler runs where asyncio's does: in the context of the callback."""
    seen = []
    taken = loop.get_exception_handler()

    def handler(loop, context):
        seen.append(VAR.get())
        taken(loop, context)

    loop.set_exception_handler(handler)

    async def main():
        VAR.set("caller")
        async with with_raw_peer(Noting) as (protocol, peer):
            protocol.wait_for_data = None
            protocol.data = None
            peer.send(b"x")
            await protocol.lost

    run(main())
    assert seen == ["data"]
    assert isinstance(reports.take_one()["exception"], TypeError)
