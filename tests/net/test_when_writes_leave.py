"""What was written is on its way when the caller may rely on it, however the loop groups its sends.

Where other callbacks wait for their turn a loop may send the writes of all of them together, later in the
turn. Nobody may tell by what arrives, in which order, and whether.
"""

import asyncio
import contextlib
import ctypes
import signal
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.support import running_thread, settle, tcp_pair, wait_until
from tests.system.processes import run_python

from .protocols import Recorder
from .tls import NAME, InnerPeer, Peer, client_context, server_context

HABIT = 8  # turns after which a loop might take a habit for one


class Chatty(Recorder):
    """Answers each message by many small writes; `last` may do more in the same callback."""

    def __init__(self):
        super().__init__()
        self.messages = 0
        self.last = lambda transport: None

    def data_received(self, data):
        self.messages += 1
        for i in range(10):
            self.transport.write(b"%d" % i)
        if self.messages > HABIT:
            self.last(self.transport)


def receive(sock, size):
    """Block this thread, and so the loop, until so much has come."""
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            break
        data += more
    return data


async def a_chatty_one(last):
    """A connection whose end here is known to make many writes, and the plain socket at its other end."""
    here, there = tcp_pair()
    there.settimeout(5)
    transport, protocol = await asyncio.get_running_loop().create_connection(Chatty, sock=here)
    for turn in range(HABIT):
        there.send(b"?")
        await wait_until(lambda turn=turn: protocol.messages > turn)
        assert receive(there, 10) == b"0123456789"
    protocol.last = last
    there.send(b"?")
    await wait_until(lambda: protocol.messages > HABIT)
    return transport, protocol, there


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (lambda transport: transport.writelines([b"a", b"b"]), b"0123456789ab"),
        (lambda transport: transport.write(bytearray(b"ab")), b"0123456789ab"),
        (lambda transport: transport.write(b"a" * 100_000), b"0123456789" + b"a" * 100_000),
    ],
    ids=["writelines", "bytearray", "large"],
)
def test_what_follows_small_writes_comes_after_them(run, last, expected):
    async def main():
        transport, protocol, there = await a_chatty_one(last)
        with there:
            got = await asyncio.to_thread(receive, there, len(expected))
            transport.close()
            await protocol.lost
        return got

    assert run(main()) == expected


@pytest.mark.parametrize("end", ["close", "abort", "write_eof"])
def test_the_end_comes_after_small_writes(run, end):
    async def main():
        transport, protocol, there = await a_chatty_one(lambda transport: getattr(transport, end)())
        with there:
            got = await asyncio.to_thread(receive, there, 1000)
            transport.close()
            await protocol.lost
        return got

    assert run(main()) == b"0123456789"


def test_the_callback_raises_after_small_writes(run, reports):
    def last(transport):
        raise ValueError("last")

    async def main():
        _transport, protocol, there = await a_chatty_one(last)
        with there:
            got = await asyncio.to_thread(receive, there, 1000)
            await protocol.lost
        return got

    assert run(main()) == b"0123456789"
    assert isinstance(reports.take_one()["exception"], ValueError)


def test_the_loop_is_interrupted_after_small_writes(loop):
    def last(transport):
        raise KeyboardInterrupt

    connection = []

    async def main():
        connection.extend(await a_chatty_one(lambda transport: None))
        connection[1].last = last
        connection[2].send(b"?")
        await connection[1].lost

    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    transport, _protocol, there = connection
    with there:
        assert receive(there, 20) == b"0123456789" * 2
        transport.abort()
        loop.run_until_complete(task)


def test_nothing_small_is_waiting_in_the_buffer(run):
    sizes = []

    async def main():
        transport, protocol, there = await a_chatty_one(
            lambda transport: sizes.append(transport.get_write_buffer_size())
        )
        with there:
            transport.close()
            await protocol.lost

    run(main())
    assert sizes == [0]


@pytest.mark.parametrize("ask", ["get_write_buffer_size", "get_extra_info"])
def test_the_peer_has_what_was_written_before_a_question(run, ask):
    got = []

    def last(transport):
        getattr(transport, ask)(*(["socket"] if ask == "get_extra_info" else []))
        got.append(receive(there[0], 10))

    there = []

    async def main():
        transport, protocol, sock = await a_chatty_one(lambda transport: None)
        with sock:
            assert receive(sock, 10) == b"0123456789"
            there.append(sock)
            protocol.last = last
            sock.send(b"?")
            await wait_until(lambda: got)
            transport.close()
            await protocol.lost

    run(main())
    assert got == [b"0123456789"]


def test_writes_while_the_loop_stands(loop):
    transport, protocol, there = loop.run_until_complete(a_chatty_one(lambda transport: None))
    with there:
        assert receive(there, 10) == b"0123456789"
        for _ in range(3):
            transport.write(b"x")
        assert receive(there, 3) == b"xxx"
        transport.close()
        loop.run_until_complete(protocol.lost)


def test_many_small_writes_to_a_peer_that_does_not_read(run):
    """The protocol is paused from inside write(), and everything arrives."""

    async def main():
        transport, protocol, there = await a_chatty_one(lambda transport: None)
        with there:
            assert receive(there, 10) == b"0123456789"
            written = 0
            while "pause" not in protocol.calls:
                for _ in range(100):
                    before = transport.get_write_buffer_size() if written % 7 == 0 else None
                    transport.write(b"y" * 1000)
                    written += 1000
                    paused = "pause" in protocol.calls
                    if before is not None:
                        assert paused == (transport.get_write_buffer_size() > 65536)
                    if paused:
                        break
                await asyncio.sleep(0)
            got = await asyncio.to_thread(receive, there, written)
            await wait_until(lambda: "resume" in protocol.calls)
            transport.close()
            await protocol.lost
        return got == b"y" * written

    assert run(main()) is True


# ---- A loop that answers many peers


async def busy_with_many_answers(rounds=5, peers=64):
    """Answer so many peers in each turn, with some work for each, as a server under load does."""
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(peers):
        here, there = tcp_pair()
        there.settimeout(5)
        transport, _ = await loop.create_connection(Recorder, sock=here)
        connections.append((transport, there))

    def answer(transport):
        end = time.perf_counter() + 30e-6
        while time.perf_counter() < end:
            pass
        transport.write(b"answer")

    for _ in range(rounds):
        for transport, _ in connections:
            loop.call_soon(answer, transport)
        await settle(2)
        for _, there in connections:
            assert receive(there, 6) == b"answer"
    return connections


async def finish(connections):
    for transport, there in connections:
        transport.close()
        there.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_a_callback_that_waits_for_its_own_data(run):
    """Nothing else waits for its turn: it may block the loop, and the data reaches the peer all the same."""
    got = []

    async def main():
        loop = asyncio.get_running_loop()
        connections = await busy_with_many_answers()

        def write_and_wait(transport, there):
            for _ in range(3):
                transport.write(b"now")
                got.append(receive(there, 3))

        loop.call_soon(write_and_wait, *connections[0])
        await asyncio.sleep(0.01)
        await finish(connections)

    run(main())
    assert got == [b"now"] * 3


def test_a_long_callback_behind_a_write(run):
    """What was written before it has left when it returns."""
    got = []

    async def main():
        loop = asyncio.get_running_loop()
        (transport, there), *_ = connections = await busy_with_many_answers(peers=2)
        there.setblocking(False)
        loop.call_soon(transport.write, b"soon")
        loop.call_soon(time.sleep, 0.01)
        loop.call_soon(lambda: got.append(receive(there, 4)))
        loop.call_soon(int)
        await settle(2)
        await finish(connections)

    run(main())
    assert got == [b"soon"]


def test_much_is_written_while_others_wait(run):
    """It leaves before the callback returns."""
    got = []

    async def main():
        loop = asyncio.get_running_loop()
        (transport, there), *_ = connections = await busy_with_many_answers(peers=2)

        def write_much():
            for _ in range(80):
                transport.write(b"m" * 1000)
            got.append(len(receive(there, 60_000)))

        loop.call_soon(write_much)
        loop.call_soon(int)
        await settle(2)
        assert len(receive(there, 20_000)) == 20_000
        await finish(connections)

    run(main())
    assert got == [60_000]


@pytest.mark.parametrize("size", [1, 1000, 20_000])
def test_answers_to_many_arrive_whole_and_in_order(run, size):
    async def main():
        connections = await busy_with_many_answers()
        loop = asyncio.get_running_loop()
        for i in range(10):
            for transport, _ in connections:
                loop.call_soon(transport.write, bytes([i]) * size)
                loop.call_soon(transport.writelines, [bytes([i]), bytes([i])])
            await settle(2)
        expected = b"".join(bytes([i]) * (size + 2) for i in range(10))
        same = [
            await asyncio.to_thread(receive, there, len(expected)) == expected for _, there in connections
        ]
        await finish(connections)
        return all(same)

    assert run(main()) is True


@pytest.mark.parametrize("option", ["TCP_NODELAY", "TCP_CORK"])
def test_the_socket_options_stay_as_they_were(run, option):
    if not hasattr(socket, option):
        pytest.skip(f"no {option} here")

    async def main():
        connections = await busy_with_many_answers()
        values = {
            transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, getattr(socket, option))
            for transport, _ in connections
        }
        await finish(connections)
        return values

    assert run(main()) == {option == "TCP_NODELAY"}


ENDS_IN_ITS_CALLBACK = """
import asyncio, os, sys
from tests.net.test_when_writes_leave import busy_with_many_answers
from tests.support import load_implementation

async def main(name, port):
    await busy_with_many_answers()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    loop.call_soon(lambda: (transport.write(b"bye"), os._exit(0)))
    await loop.create_future()

name, port = sys.argv[1:]
load_implementation(name).new_event_loop().run_until_complete(main(name, int(port)))
"""


def test_a_process_that_ends_in_its_callback(impl):
    root = Path(__file__).parents[2]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # A debug build of CPython warns of what is open at the end.
        done = run_python(
            "-W", "ignore::ResourceWarning", "-c", ENDS_IN_ITS_CALLBACK, impl.name, port, cwd=root
        )
        assert (done.returncode, done.stderr) == (0, "")
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            assert receive(peer, 100) == b"bye"


# ---- Not only callbacks write, and not every turn ends as it should


def test_a_turn_inside_of_a_callback(run):
    """It waits for what happens once the peer has got what the callback has written."""
    heard = []

    def turn_until_heard(transport):
        loop = asyncio.get_running_loop()
        timer = loop.call_later(5, heard.append, False)
        while not heard:
            loop._run_once()
        timer.cancel()
        transport.close()

    async def main():
        loop = asyncio.get_running_loop()
        _transport, protocol, there = await a_chatty_one(lambda transport: None)
        assert receive(there, 10) == b"0123456789"
        protocol.last = turn_until_heard

        def listen():
            receive(there, 10)
            loop.call_soon_threadsafe(heard.append, True)

        with there, running_thread(listen):
            there.send(b"?")
            await protocol.lost

    run(main())
    assert heard == [True]


def test_a_signal_handler_writes_before_the_loop_sleeps(run):
    """The signal comes in a callback that runs no bytecode, the handler when the loop is to sleep."""
    raise_signal = getattr(ctypes.CDLL(None), "raise")

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, there = await a_chatty_one(lambda transport: None)
        assert receive(there, 10) == b"0123456789"
        old = signal.signal(signal.SIGUSR1, lambda *_: transport.write(b"signal"))
        try:
            with there:
                timer = loop.call_later(0.05, raise_signal, signal.SIGUSR1)
                try:
                    assert await asyncio.to_thread(receive, there, 6) == b"signal"
                finally:
                    timer.cancel()
                    transport.close()
                    await protocol.lost
        finally:
            signal.signal(signal.SIGUSR1, old)

    run(main())


def test_a_thread_writes_while_the_loop_sleeps(run):
    """Nobody shall do that, and many do."""

    async def main():
        transport, protocol, there = await a_chatty_one(lambda transport: None)
        assert receive(there, 10) == b"0123456789"

        def write():
            time.sleep(0.1)
            transport.write(b"thread")
            return receive(there, 6)

        with there:
            assert await asyncio.to_thread(write) == b"thread"
            transport.close()
            await protocol.lost

    run(main())


def test_a_callback_that_forks(impl):
    """The child ends its run of the loop, and sends nothing again."""
    done = run_python("-c", FORKS_IN_ITS_CALLBACK, impl.name, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "b'0123456789'\n")


FORKS_IN_ITS_CALLBACK = """
import asyncio, os, sys, warnings
from tests.net.test_when_writes_leave import a_chatty_one, receive
from tests.support import load_implementation

def last(transport):
    if os.fork() == 0:
        sys.exit(0)
    assert os.wait()[1] == 0

async def main():
    transport, protocol, there = await a_chatty_one(last)
    transport.close()
    await protocol.lost
    return receive(there, 1000)

warnings.simplefilter("ignore")
print(load_implementation(sys.argv[1]).new_event_loop().run_until_complete(main()))
"""


# ---- Streams: a connection alone never waits


@contextlib.asynccontextmanager
async def stream(tls):
    """A StreamWriter over so many layers of TLS, and what its peer has got until now, as a function."""
    here, there = tcp_pair()
    with there:
        _, writer = await asyncio.open_connection(sock=here)
        peers = []
        for _ in range(tls):
            if peers:
                peers.append(InnerPeer(peers[-1], server_context(), server_side=True))
            else:
                peers.append(Peer(there, server_context(), server_side=True))
            await asyncio.gather(
                writer.start_tls(client_context(), server_hostname=NAME),
                peers[-1].do(peers[-1].tls.do_handshake),
            )

        def received():
            """Blocks the loop's thread a while, so that only what has left already is there."""
            time.sleep(0.3)
            data = all_of(there.recv)
            for peer in peers:
                peer.incoming.write(data)
                data = all_of(peer.tls.read)
            return data

        try:
            yield writer, received
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def all_of(read):
    """What there is to read now."""
    data = b""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        while more := read(100_000):
            data += more
    return data


@pytest.mark.parametrize("tls", [0, 1, 2])
def test_what_streams_write_is_on_its_way(run, tls):
    """Whatever their habits are."""

    async def main():
        async with stream(tls) as (writer, received):
            for _ in range(HABIT):
                for _ in range(10):
                    writer.write(b".")
                await asyncio.sleep(0)
            assert received() == b"." * 10 * HABIT
            # The first and others of one turn.
            for data in (b"one", b"two", b"three"):
                writer.write(data)
                assert received() == data

    run(main())
