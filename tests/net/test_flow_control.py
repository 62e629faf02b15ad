"""Water marks and pause_reading."""

import asyncio

import pytest

from tests.support import PY312, settle

from .protocols import Paused, Recorder, connected, fill, read_all, read_some, with_raw_peer
from .tls import tls_connected


def test_default_limits(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            return protocol.transport.get_write_buffer_limits(), protocol.transport.get_write_buffer_size()

    assert run(main()) == ((16_384, 65_536), 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"high": 1000}, (250, 1000)),
        ({"low": 1000}, (1000, 4000)),
        ({"high": 1000, "low": 10}, (10, 1000)),
        ({"high": 0}, (0, 0)),
        ({"high": 5, "low": 5}, (5, 5)),
        ({}, (16_384, 65_536)),
    ],
    ids=str,
)
def test_set_limits(run, given, expected):
    async def main():
        async with with_raw_peer() as (protocol, _):
            protocol.transport.set_write_buffer_limits(high=7, low=3)
            protocol.transport.set_write_buffer_limits(**given)
            return protocol.transport.get_write_buffer_limits()

    assert run(main()) == expected


@pytest.mark.parametrize(
    "given", [{"high": 1, "low": 2}, {"high": -1}, {"low": -1}, {"high": 5, "low": -5}], ids=str
)
def test_limits_that_make_no_sense(run, given):
    async def main():
        async with with_raw_peer() as (protocol, _):
            with pytest.raises(ValueError, match=r"^high \(.*\) must be >= low \(.*\) must be >= 0$"):
                protocol.transport.set_write_buffer_limits(**given)
            return protocol.transport.get_write_buffer_limits()

    assert run(main()) == (16_384, 65_536)


class Marks(Recorder):
    """Notes the size of the buffer at each call."""

    def pause_writing(self):
        self.calls.append(("pause", self.transport.get_write_buffer_size()))

    def resume_writing(self):
        self.calls.append(("resume", self.transport.get_write_buffer_size()))

    @property
    def marks(self):
        return [call for call in self.calls if call[0] in ("pause", "resume")]


@pytest.mark.parametrize(("low", "high"), [(16_384, 65_536), (1000, 100_000), (0, 1), (0, 0)])
def test_paused_above_high_and_resumed_at_low(run, low, high):
    async def main():
        async with with_raw_peer(Marks) as (protocol, peer):
            protocol.transport.set_write_buffer_limits(high=high, low=low)
            fill(protocol.transport, bytes(1000))
            while not protocol.marks:
                assert protocol.transport.get_write_buffer_size() <= high
                protocol.transport.write(b"x" * 100)
            ((kind, at_pause),) = protocol.marks
            assert kind == "pause" and at_pause > high
            protocol.transport.write(b"more")
            assert len(protocol.marks) == 1
            while len(protocol.marks) == 1:
                await read_some(peer, 4096)
                await asyncio.sleep(0)
            kind, at_resume = protocol.marks[1]
            assert kind == "resume" and at_resume <= low

    run(main())


def test_exactly_at_the_high_mark_is_not_paused(run):
    async def main():
        async with with_raw_peer(Marks) as (protocol, _):
            fill(protocol.transport)
            size = protocol.transport.get_write_buffer_size()
            protocol.transport.set_write_buffer_limits(high=size + 10, low=0)
            before = len(protocol.marks)
            protocol.transport.write(b"x" * 10)
            assert len(protocol.marks) == before
            protocol.transport.write(b"x")
            return protocol.marks[before:] == [("pause", size + 11)] or protocol.marks

    assert run(main()) is True


def test_pauses_again_and_again(run):
    async def main():
        async with with_raw_peer(Marks) as (protocol, peer):
            for number in range(5):
                while len(protocol.marks) == 2 * number:
                    protocol.transport.write(bytes(50_000))
                while len(protocol.marks) == 2 * number + 1:
                    await read_some(peer)
                    await asyncio.sleep(0)
            return [kind for kind, _ in protocol.marks]

    assert run(main()) == ["pause", "resume"] * 5


def test_writelines_pauses_as_well(run, impl):
    if PY312 and not impl.is_cloop:
        pytest.skip("asyncio does not from 3.12")

    async def main():
        async with with_raw_peer(Marks) as (protocol, _):
            protocol.transport.writelines([bytes(1_000_000)] * 5)
            return [kind for kind, _ in protocol.marks]

    assert run(main()) == ["pause"]


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_an_exception_in_them_is_reported_and_no_more(run, reports, method):
    class Broken(Recorder):
        pass

    def broken(self):
        raise KeyError("broken")

    setattr(Broken, method, broken)

    async def main():
        async with with_raw_peer(Broken) as (protocol, peer):
            fill(protocol.transport, bytes(2_000_000))
            sent = protocol.transport.get_write_buffer_size()
            assert not protocol.transport.is_closing()
            protocol.transport.close()
            assert len(await read_all(peer)) >= sent
            await protocol.lost

    run(main())
    context = reports.take_one()
    assert context["message"] == f"protocol.{method}() failed"
    assert isinstance(context["exception"], KeyError)
    assert {"transport", "protocol"} <= set(context)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_in_them_come_out(loop, error):
    class Broken(Recorder):
        def pause_writing(self):
            raise error

    async def main():
        async with with_raw_peer(Broken) as (protocol, _):
            with pytest.raises(error):
                protocol.transport.write(bytes(5_000_000))

    loop.run_until_complete(main())


def test_pause_and_resume_reading(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            transport = protocol.transport
            assert transport.is_reading() is True
            transport.pause_reading()
            transport.pause_reading()
            assert transport.is_reading() is False
            peer.send(b"waits")
            await asyncio.sleep(0.01)
            assert protocol.data == b""
            transport.resume_reading()
            transport.resume_reading()
            assert transport.is_reading() is True
            return await protocol.wait_for_data(5)

    assert run(main()) == b"waits"


@pytest.mark.parametrize("connect", [connected, tls_connected])
def test_paused_in_connection_made(run, connect):
    async def main():
        async with connect(server=Paused) as (client, server):
            client.transport.write(b"early")
            await asyncio.sleep(0.01)
            assert server.data == b"" and not server.transport.is_reading()
            server.transport.resume_reading()
            assert await server.wait_for_data(5) == b"early"
            return server.transport.is_reading()

    assert run(main()) is True


def test_paused_and_resumed_in_connection_made(run):
    class Both(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.pause_reading()
            transport.resume_reading()

    async def main():
        async with with_raw_peer(Both) as (protocol, peer):
            peer.send(b"data")
            return await protocol.wait_for_data(4)

    assert run(main()) == b"data"


def test_paused_in_data_received(run):
    """Nothing is delivered after the pause, although more was there to be read."""

    class PausesItself(Recorder):
        pieces = 0

        def data_received(self, data):
            super().data_received(data)
            self.pieces += 1
            self.transport.pause_reading()

    async def main():
        async with with_raw_peer(PausesItself) as (protocol, peer):
            sent = 0
            with pytest.raises(BlockingIOError):
                while True:
                    sent += peer.send(bytes(10_000))
            for expected in range(1, 4):
                await asyncio.sleep(0.005)
                assert protocol.pieces == expected or len(protocol.data) == sent
                protocol.transport.resume_reading()
            return len(protocol.data) <= sent

    assert run(main()) is True


def test_the_end_of_file_waits_while_paused(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            peer.send(b"data")
            peer.close()
            await asyncio.sleep(0.01)
            assert protocol.calls == ["made"]
            protocol.transport.resume_reading()
            await protocol.lost
            return bytes(protocol.data), protocol.calls

    assert run(main()) == (b"data", ["made", "eof", ("lost", None)])


def test_paused_by_another_callback_of_the_same_turn(loop, run):
    """Data is there, and before it is read somebody pauses."""

    async def main():
        async with with_raw_peer() as (protocol, peer):
            peer.send(b"data")
            loop.call_soon(protocol.transport.pause_reading)
            await settle(3)
            assert protocol.data == b""
            protocol.transport.resume_reading()
            return await protocol.wait_for_data(4)

    assert run(main()) == b"data"


def test_writing_goes_on_while_reading_is_paused(run):
    async def main():
        async with connected() as (client, server):
            client.transport.pause_reading()
            client.transport.write(b"x" * 500_000)
            data = await server.wait_for_data(500_000)
            return len(data)

    assert run(main()) == 500_000


def test_resumed_while_it_closes(run):
    """A paused protocol that closes hears of its queue's end before the connection's."""

    async def main():
        async with with_raw_peer() as (protocol, peer):
            fill(protocol.transport, bytes(1 << 20))
            protocol.transport.close()
            await read_all(peer)
            await protocol.lost
            return protocol.calls

    assert run(main()) == ["made", "pause", "resume", ("lost", None)]


def test_not_resumed_by_an_abort(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            fill(protocol.transport, bytes(1 << 20))
            protocol.transport.abort()
            await protocol.lost
            return protocol.calls

    assert run(main()) == ["made", "pause", ("lost", None)]


@pytest.mark.parametrize(("how", "expected"), [("abort", []), ("close", ["resume"])])
def test_ended_in_pause_writing(run, how, expected):
    """Who aborts is not resumed; who closes hears that the queue is short again."""

    class Ends(Recorder):
        def pause_writing(self):
            super().pause_writing()
            getattr(self.transport, how)()

    async def main():
        async with with_raw_peer(Ends) as (protocol, peer):
            protocol.transport.write(bytes(5_000_000))
            await read_all(peer)
            await protocol.lost
            return protocol.calls

    assert run(main()) == ["made", "pause", *expected, ("lost", None)]


def test_paused_before_write_returns_and_resumed_by_an_event(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            transport = protocol.transport
            transport.write(bytes(1 << 20))
            assert protocol.calls == ["made", "pause"]
            while not peer.recv(1 << 20):
                pass
            assert protocol.calls == ["made", "pause"]
            while transport.get_write_buffer_size():
                await read_some(peer)
                await asyncio.sleep(0)
            return list(protocol.calls)

    assert run(main()) == ["made", "pause", "resume"]


def test_lowered_marks_pause_at_once(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            transport = protocol.transport
            transport.set_write_buffer_limits(high=1 << 30)
            fill(transport, bytes(1 << 20))
            assert protocol.calls == ["made"]
            transport.set_write_buffer_limits(high=10)
            return list(protocol.calls)

    assert run(main()) == ["made", "pause"]
