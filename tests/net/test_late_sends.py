"""What a transport says and does where a loop sends at the end of the turn, and not all of it is taken.

Each callback that writes here has another one behind it, for which such a loop lets it wait.
"""

import asyncio
import os
import socket
import struct

import pytest

from tests.support import beside_another, tcp_pair

from .pipes import open_pipe
from .protocols import Recorder
from .test_when_writes_leave import all_of, finish


def test_answers_to_a_peer_that_takes_a_part_of_one(run):
    """The rest follows, and nothing comes twice."""

    async def main():
        loop = asyncio.get_running_loop()
        here, there = tcp_pair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
        there.setblocking(False)
        transport, _ = await loop.create_connection(Recorder, sock=here)
        written = received = b""
        sizes = [0]
        while not sizes[-1]:
            piece = bytes([len(sizes)]) * 30_000
            written += piece
            await beside_another(transport.write, piece)
            sizes.append(transport.get_write_buffer_size())
        # Else the test shows nothing.
        assert sizes[-1] < 30_000
        while len(received) < len(written):
            await asyncio.sleep(0.001)
            received += all_of(there.recv)
        await asyncio.sleep(0.05)
        received += all_of(there.recv)
        await finish([(transport, there)])
        return received == written or len(received) - len(written)

    assert run(main()) is True


@pytest.mark.parametrize("pieces", [1, 2])
def test_the_kernel_refuses_what_waits(run, pieces):
    """The protocol hears what the first call says; the next one would say something else."""

    async def main():
        loop = asyncio.get_running_loop()
        here, there = tcp_pair()
        transport, protocol = await loop.create_connection(Recorder, sock=here)

        def reset_and_write():
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            there.close()
            for _ in range(pieces):
                transport.write(b"into the void")

        await beside_another(reset_and_write)
        return type(await protocol.lost)

    assert run(main()) is ConnectionResetError


def test_what_waits_is_shown_as_sent(run):
    """A debugger or a log of asyncio's shows nothing else."""
    shown = []

    async def main():
        here, there = tcp_pair()
        transport, _ = await asyncio.get_running_loop().create_connection(Recorder, sock=here)

        def write_and_look():
            transport.write(b"x")
            shown.append("write=<idle, bufsize=0>" in repr(transport))
            shown.append(list(transport._buffer))

        await beside_another(write_and_look)
        await finish([(transport, there)])

    run(main())
    assert shown == [True, []]


# ---- Pipes that a program connects: others may write to them, as print() does to standard output


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_others_write_to_the_same_file(run, kind):
    async def main():
        if kind == "pipe":
            reader, writer = open_pipe()
        else:
            reader, writer = socket.socketpair()
        reader_fd, fd = reader.fileno(), writer.fileno()
        os.set_blocking(reader_fd, False)
        transport, protocol = await asyncio.get_running_loop().connect_write_pipe(Recorder, writer)

        def write():
            for i in range(3):
                transport.write(b"transport %d\n" % i)
                os.write(fd, b"print %d\n" % i)

        with reader:
            await beside_another(write)
            got = os.read(reader_fd, 1000)
            transport.close()
            await protocol.lost
        return got.decode().splitlines()

    assert run(main()) == ["transport 0", "print 0", "transport 1", "print 1", "transport 2", "print 2"]
