"""Load: who owns a descriptor, who gets a turn, what a bad peer may cost, and in which order things come.

No test looks at the clock: fairness is counted in turns of the loop.
"""

import asyncio
import contextlib
import errno
import itertools
import os
import random
import resource
import socket
import subprocess
import sys
import threading
import tracemalloc
from asyncio import constants
from pathlib import Path

import pytest

from tests.support import PY312, no_more_descriptors, running_thread, settle, wait_until
from tests.system.processes import SECONDS, environment

from .pipes import open_pipe
from .protocols import Echo, Recorder, connected, drop, read_all, with_raw_peer

KB, MB = 1 << 10, 1 << 20

# ---- Who owns a descriptor


def churn(ending, wrong):
    """Open and close descriptors all the time; what goes over them must be what was sent."""
    generator = random.Random(1)
    while not ending.is_set():
        if generator.random() < 0.5:
            left, right = socket.socketpair()
        else:
            left, right = open_pipe()
        with left, right:
            fds = left.fileno(), right.fileno()
            os.write(fds[1], b"mine")
            os.set_blocking(fds[0], False)
            if generator.random() < 0.5:
                ending.wait(0.0005)
            try:
                data = os.read(fds[0], 100)
            except OSError as error:
                data = error
            if data != b"mine" or (left.fileno(), right.fileno()) != fds:
                wrong.append(data)


class Owner(Echo):
    """Sends back what comes, which must all be of one client."""

    everyone: list

    def connection_made(self, transport):
        super().connection_made(transport)
        self.everyone.append(self)


async def attempt(loop, address, number, stay):
    """One client: connects, sends a word of its own, and must hear that and nothing else."""
    word = b"<client %04d>" % number
    _, protocol = await loop.create_connection(Recorder, *address)
    try:
        protocol.transport.write(word)
        await protocol.wait_for_data(len(word))
        await asyncio.sleep(stay)
        assert protocol.data == word
    finally:
        protocol.transport.abort()


# A cancelled connect leaves its socket to the collector, or its transport, which asyncio warns of.
@pytest.mark.filterwarnings("ignore:unclosed <socket", "ignore:unclosed transport")
def test_connects_cancelled_at_random_while_descriptors_come_and_go(loop, run, many_descriptors):
    generator, ending, wrong = random.Random(7), threading.Event(), []
    everyone = []
    owner = type("Owner", (Owner,), {"everyone": everyone})

    async def main():
        server = await loop.create_server(owner, "127.0.0.1", 0, backlog=1024)
        address = server.sockets[0].getsockname()
        tasks = [
            loop.create_task(attempt(loop, address, number, generator.random() / 50))
            for number in range(1000)
        ]
        cancelled = generator.sample(tasks, 500)
        for task in cancelled:
            if generator.random() < 0.1:
                await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        await wait_until(lambda: all(each.lost.done() for each in everyone))
        await settle()
        return tasks, cancelled, results

    with running_thread(churn, ending, wrong):
        try:
            tasks, cancelled, results = run(main())
        finally:
            ending.set()
    assert wrong == []
    for task, result in zip(tasks, results, strict=True):
        assert result is None or (task in cancelled and isinstance(result, asyncio.CancelledError))
    served = [bytes(each.data) for each in everyone if each.data]
    assert sorted(served) == sorted({b"<client %04d>" % int(data[8:12]) for data in served})
    assert len(served) >= 500


def test_a_socket_closed_behind_the_transports_back(run, loop, reports):
    """In connection_made: there is nothing to watch, which is reported, and the loop goes on."""

    class Closes(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.get_extra_info("socket")._sock.close()

    async def main():
        mine, peer = socket.socketpair()
        with peer:
            transport, protocol = await loop.create_connection(Closes, sock=mine)
            with pytest.raises(OSError, match="Bad file descriptor"):
                transport.pause_reading()
                transport.resume_reading()
            transport.abort()
            return await protocol.lost

    assert run(main()) is None
    assert reports.take_one()["exception"].errno == errno.EBADF


# ---- Out of descriptors


def test_accepting_without_descriptors(loop, run, impl, reports, monkeypatch):
    """Reported once, everybody else is served meanwhile, and who was waiting gets in later."""
    monkeypatch.setattr(constants, "ACCEPT_RETRY_DELAY", 0.2)
    accepted = []

    def factory():
        accepted.append(Echo())
        return accepted[-1]

    async def main():
        server = await loop.create_server(factory, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, early = await loop.create_connection(Recorder, *address)
        waiting = [socket.socket() for _ in range(20)]
        for sock in waiting:
            sock.setblocking(False)
        with no_more_descriptors():
            for sock in waiting:
                sock.connect_ex(address)
            await wait_until(lambda: reports)
            for number in range(1, 30):
                early.transport.write(b"x")
                await early.wait_for_data(number)
            seen = reports.take()
            assert len(accepted) == 1
        await wait_until(lambda: len(accepted) == 21)
        for sock in waiting:
            sock.close()
        early.transport.close()
        for each in accepted:
            await each.lost
        server.close()
        await server.wait_closed()
        return seen

    seen = run(main())
    for context in [*seen, *reports.take()]:
        assert context["message"] == "socket.accept() out of system resource"
        assert context["exception"].errno and context["socket"]
    if impl.is_cloop:
        # asyncio goes on trying, up to the length of its backlog, in some versions.
        assert len(seen) == 1


# ---- A peer that never reads


def test_a_buffer_is_what_was_written_and_not_taken(run):
    async def main():
        async with with_raw_peer() as (protocol, peer):
            transport = protocol.transport
            generator = random.Random(2)
            written = 0
            for _ in range(300):
                size = generator.randrange(100_000)
                if size % 3:
                    transport.write(bytes(size))
                else:
                    transport.writelines([bytes(size // 2), bytes(size - size // 2)])
                written += size
            left = transport.get_write_buffer_size()
            assert protocol.calls == ["made", "pause"]
            # The kernel has the rest.
            taken = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    taken += len(peer.recv(MB))
            assert taken + left == written
            await drop(protocol)
            return transport.get_write_buffer_size()

    assert run(main()) == 0


def test_peers_that_never_read_cost_no_more_than_their_buffers(run, loop):
    """Each writer stops when it is told to, so what they hold is the high mark and one write more."""
    chunk, peers = bytes(16 * KB), 20

    class Polite(Recorder):
        def pause_writing(self):
            super().pause_writing()
            self.paused = True

    async def write_on(protocol):
        while not hasattr(protocol, "paused"):
            protocol.transport.write(bytearray(chunk))
            await asyncio.sleep(0)

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(with_raw_peer(Polite)) for _ in range(peers)]
            tracemalloc.start()
            try:
                await asyncio.gather(*(write_on(protocol) for protocol, _ in connections))
                await asyncio.sleep(0.01)
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            for protocol, _ in connections:
                assert protocol.calls == ["made", "pause"]
                assert 64 * KB < protocol.transport.get_write_buffer_size() <= 64 * KB + len(chunk)
            return used

    assert run(main()) < peers * (64 * KB + 2 * len(chunk))


def test_what_is_queued_is_not_copied(run, impl):
    """The same megabyte many times over is as many references."""
    if sys.version_info < (3, 12) and not impl.is_cloop:
        pytest.skip("asyncio joins it all in one bytearray before 3.12")
    data = bytes(MB)

    async def main():
        async with with_raw_peer() as (protocol, peer):
            tracemalloc.start()
            try:
                for _ in range(20):
                    protocol.transport.write(data)
                used, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert protocol.transport.get_write_buffer_size() > 15 * MB
            protocol.transport.close()
            size = len(await read_all(peer))
            return used < MB, size

    assert run(main()) == (True, 20 * MB)


def test_a_paused_reader_takes_nothing_in(run):
    """Then it is the kernel that holds the peer up."""

    async def main():
        async with with_raw_peer() as (protocol, peer):
            protocol.transport.pause_reading()
            sent = 0
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    sent += peer.send(bytes(MB))
                await asyncio.sleep(0)
            assert protocol.data == b"" and sent < 5 * MB
            protocol.transport.resume_reading()
            return len(await protocol.wait_for_data(sent)) == sent

    assert run(main()) is True


# ---- A peer that never stops

FLOOD = """
import os, sys
data = bytes(1 << 20)
try:
    while True:
        os.write(int(sys.argv[1]), data)
except OSError:
    pass
"""

DRAIN = """
import os, sys
while os.read(int(sys.argv[1]), 1 << 20):
    pass
"""


class Flooded(Recorder):
    """Counts, instead of keeping, what comes."""

    received = 0

    def data_received(self, data):
        self.received += len(data)


class FloodedBuffer(asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    received = 0
    buffer = bytearray(64 * KB)

    def connection_made(self, transport):
        self.transport = transport
        self.lost = asyncio.get_running_loop().create_future()

    def get_buffer(self, size_hint):
        return self.buffer

    def buffer_updated(self, size):
        self.received += size

    def connection_lost(self, error):
        self.lost.set_result(error)


@contextlib.asynccontextmanager
async def flooded(factory, count=1):
    """Protocols to which other processes send as fast as they can."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        protocols = []
        for _ in range(count):
            mine, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", FLOOD, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                )
            stack.callback(process.wait, SECONDS)
            _, protocol = await loop.create_connection(factory, sock=mine)
            stack.push_async_callback(drop, protocol)
            protocols.append(protocol)
        await wait_until(lambda: all(protocol.received > MB for protocol in protocols))
        yield protocols


class Turns:
    """Counts the turns of the running loop, and notes something in each."""

    def __init__(self, note=lambda: None):
        self.loop, self.note, self.notes = asyncio.get_running_loop(), note, []
        self.ending = False
        self.tick()

    def tick(self):
        self.notes.append(self.note())
        if not self.ending:
            self.loop.call_soon(self.tick)

    @property
    def count(self):
        return len(self.notes)


@pytest.mark.parametrize("factory", [Flooded, FloodedBuffer])
def test_a_flood_gets_a_share_of_each_turn(run, factory):
    """One connection delivers 256 KiB in a turn at most, and a buffer more where it fills buffers."""

    async def main():
        async with flooded(factory) as (protocol,):
            turns = Turns(lambda: protocol.received)
            before = protocol.received
            await wait_until(lambda: protocol.received > before + 100 * MB)
            turns.ending = True
            shares = [after - before for before, after in itertools.pairwise(turns.notes)]
            return max(shares) <= 256 * KB + 64 * KB

    assert run(main()) is True


def test_a_flood_does_not_hold_up_timers(run, loop):
    """A timer runs in the first turn that begins after its time."""

    async def main():
        async with flooded(Flooded, 2) as protocols:
            turns = Turns(loop.time)
            late = []

            def fire(deadline, number):
                late.append(sum(time > deadline + 0.0001 for time in turns.notes[-20:]))
                if number:
                    schedule(number - 1)

            def schedule(number):
                deadline = loop.time() + 0.001
                loop.call_at(deadline, fire, deadline, number)

            schedule(50)
            before = [protocol.received for protocol in protocols]
            await wait_until(lambda: len(late) == 51)
            turns.ending = True
            assert all(protocol.received > size for protocol, size in zip(protocols, before, strict=True))
            return max(late)

    # The tick of the turn in which it fires may have run before it.
    assert run(main()) <= 2


def test_a_flood_does_not_hold_up_a_quiet_connection(run, loop):
    """A message goes there and back in a few turns, as without the flood."""

    async def main():
        async with flooded(Flooded, 2), connected(server=Echo) as (client, _):
            turns = Turns()
            needed = []
            for number in range(1, 200):
                begin = turns.count
                client.transport.write(b"x")
                await client.wait_for_data(number)
                needed.append(turns.count - begin)
            turns.ending = True
            return sorted(needed)[-3:]

    # Loopback delivers at once, but for a rare softirq that is put off: that is the kernel's time,
    # and would not be so twice in a hundred.
    assert run(main())[0] <= 5


def test_a_fast_reader_does_not_keep_the_writer_in_one_turn(impl, run, loop):
    """Of very much that is queued in small pieces, a turn sends a part."""
    if impl.name == "asyncio" and not PY312:
        pytest.skip("asyncio joins the pieces before 3.12, and offers all of them at once")

    async def main():
        mine, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", DRAIN, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )
        _, protocol = await loop.create_connection(Recorder, sock=mine)
        transport = protocol.transport
        transport.write(bytes(MB))
        transport.writelines([bytes(100)] * 100_000)
        turns = Turns(transport.get_write_buffer_size)
        await wait_until(lambda: not transport.get_write_buffer_size())
        turns.ending = True
        transport.close()
        await protocol.lost
        process.wait(SECONDS)
        shares = [before - after for before, after in itertools.pairwise(turns.notes)]
        return max(shares)

    # asyncio's one system call takes 1,024 pieces and may have taken most of the first megabyte.
    assert run(main()) <= MB + 1024 * 100


# ---- Many connections


def test_thousands_of_connections(impl, tmp_path):
    """Idle ones and then all of them at once; in a process of its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # asyncio's half is only there to show that the program is sound.
    count = 10_000 if impl.is_cloop and (hard == resource.RLIM_INFINITY or hard > 10_200) else 2000
    if hard != resource.RLIM_INFINITY and hard < count + 200:
        pytest.skip("the system allows too few open files")
    program = Path(__file__).with_name("idle_connections.py")
    process = subprocess.run(
        [sys.executable, program, impl.name, tmp_path / "socket", str(count)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (process.stdout, process.stderr) == (f"{count} {count} {count}\n", "")
    assert process.returncode == 0


# ---- Order


def test_the_order_of_data(run):
    """Whatever it is written with and whenever the peer reads."""
    generator = random.Random(5)
    data = generator.randbytes(8 * MB)

    def write_some(transport, start):
        sizes = [generator.choice([0, 1, 100, 10_000, 300_000]) for _ in range(generator.randint(1, 5))]
        kinds = [generator.choice([bytes, bytearray, memoryview]) for _ in sizes]
        parts = []
        for size, kind in zip(sizes, kinds, strict=True):
            parts.append(kind(data[start : start + size]))
            start += size
        if generator.random() < 0.5:
            transport.writelines(parts)
        else:
            for part in parts:
                transport.write(part)
        return min(start, len(data))

    async def main():
        async with with_raw_peer() as (protocol, peer):
            start, received = 0, bytearray()
            while len(received) < len(data):
                if start < len(data) and protocol.transport.get_write_buffer_size() < MB:
                    start = write_some(protocol.transport, start)
                with contextlib.suppress(BlockingIOError):
                    received += peer.recv(generator.choice([10, 10_000, MB]))
                await asyncio.sleep(0)
            return received == data

    assert run(main()) is True


def test_the_order_of_callbacks_in_a_turn(loop, run):
    """What call_soon had, then what has come in, then the timers that are due."""
    seen = []

    class Notes(Recorder):
        def data_received(self, data):
            seen.append("data")

    async def main():
        async with with_raw_peer(Notes) as (_, peer):
            peer.send(b"data")
            loop.call_at(loop.time() - 1, seen.append, "timer")
            loop.call_later(0, seen.append, "second timer")
            loop.call_soon(seen.append, "soon")
            await settle(3)

    run(main())
    assert seen == ["soon", "data", "timer", "second timer"]


def test_the_order_of_a_protocols_callbacks(loop, run):
    """For each of many connections that are made, talked over and lost together."""

    class Notes(Echo):
        def data_received(self, data):
            if "data" not in self.calls:
                self.calls.append("data")
            super().data_received(data)

    async def main():
        accepted = []
        server = await loop.create_server(lambda: accepted.append(Notes()) or accepted[-1], "127.0.0.1", 0)
        address = server.sockets[0].getsockname()

        async def client():
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(client() for _ in range(100)))
        for each in accepted:
            assert await each.lost is None
            assert each.calls == ["made", "data", "eof", ("lost", None)]
        server.close()
        await server.wait_closed()
        return len(accepted)

    assert run(main()) == 100
