"""Everything that may be done to a connection, in any order, also from within its callbacks."""

import contextlib
import random
import socket

import pytest

from tests.support import settle

from .protocols import KeepsOpen, Recorder, drop, with_raw_peer


class Eventful(Recorder):
    """Does something at random in each of its callbacks."""

    act = staticmethod(lambda: None)

    def data_received(self, data):
        super().data_received(data)
        self.act()

    def pause_writing(self):
        super().pause_writing()
        self.act()

    def eof_received(self):
        result = super().eof_received()
        self.act()
        return result


class EventfulAndOpen(Eventful, KeepsOpen):
    """And stays writable after the peer's end of file."""


class Play:
    """A connection, its plain peer, and what went over it."""

    def __init__(self, protocol, peer, generator):
        self.protocol, self.peer, self.generator = protocol, peer, generator
        self.transport = protocol.transport
        self.written, self.sent, self.received = bytearray(), bytearray(), bytearray()
        self.ended = False

    def write(self):
        # asyncio fails with an AttributeError once the connection is lost.
        if self.transport.is_closing() or self.ended:
            return
        pieces = [self.generator.randbytes(self.generator.choice([1, 100, 70_000])) for _ in range(3)]
        # Noted before it is written, for then the protocol may be paused, and write more.
        if self.generator.random() < 0.5:
            self.written += b"".join(pieces)
            self.transport.writelines(pieces)
            return
        for piece in pieces:
            self.written += piece
            self.transport.write(piece)

    def write_eof(self):
        self.ended = True
        self.transport.write_eof()

    def abort(self):
        # As above.
        if not self.protocol.lost.done():
            self.transport.abort()

    def limits(self):
        self.transport.set_write_buffer_limits(high=self.generator.choice([0, 1000, 1 << 20]))

    def peer_sends(self):
        data = self.generator.randbytes(self.generator.choice([1, 5000]))
        with contextlib.suppress(OSError):
            self.sent += data[: self.peer.send(data)]

    def peer_receives(self):
        with contextlib.suppress(OSError):
            self.received += self.peer.recv(self.generator.choice([1, 100_000]))

    def peer_ends(self):
        with contextlib.suppress(OSError):
            self.peer.shutdown(socket.SHUT_WR)

    @property
    def harmless(self):
        transport = self.transport
        return [self.write, self.write, transport.pause_reading, transport.resume_reading, self.limits]

    @property
    def peers(self):
        return [self.peer_sends, self.peer_sends, self.peer_receives, self.peer_receives]

    @property
    def ends(self):
        return [self.write_eof, self.peer_ends, self.peer.close, self.transport.close, self.abort]


async def play(play, steps):
    """Act, and let the loop act; the ends come in the second half."""
    choice, chance = play.generator.choice, play.generator.random
    play.protocol.act = lambda: choice(play.harmless)()
    for step in range(steps):
        if step > steps // 2 and chance() < 0.15:
            choice(play.ends)()
        else:
            choice(play.harmless + play.peers)()
        if chance() < 0.6:
            await settle(play.generator.randrange(4))


@pytest.mark.parametrize("factory", [Eventful, EventfulAndOpen])
@pytest.mark.parametrize("seed", range(30))
def test_of_a_stream(run, factory, seed):
    async def main():
        async with with_raw_peer(factory) as (protocol, peer):
            it = Play(protocol, peer, random.Random(seed))
            await play(it, 60)
            protocol.act = lambda: None
            sock = protocol.transport.get_extra_info("socket")
            await drop(protocol)
            await settle()
            assert sock.fileno() == -1
            assert protocol.transport.get_write_buffer_size() == 0
            assert protocol.calls[0] == "made" and protocol.calls[-1] == ("lost", protocol.lost.result())
            assert isinstance(protocol.lost.result(), OSError | None)
            assert it.sent.startswith(protocol.data)
            with contextlib.suppress(OSError):
                while more := peer.recv(1 << 20):
                    it.received += more
            assert it.written.startswith(it.received)
            marks = [call for call in protocol.calls if call in ("pause", "resume")]
            assert marks == ["pause", "resume"] * (len(marks) // 2) + ["pause"] * (len(marks) % 2)

    run(main())
