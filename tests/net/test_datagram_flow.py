"""What a datagram endpoint does with what the kernel does not take: a unix socket's peer does not read."""

import contextlib
import socket

import pytest

from tests.support import PY313, PY314, settle, wait_until

from .datagrams import Datagrams, drop, endpoint, numbered, plain_socket, receive

HEADER = 8 if PY313 else 0


@contextlib.asynccontextmanager
async def slow_peer(tmp_path, connected=True, factory=Datagrams):
    """An endpoint, the plain socket that it sends to, and a function that sends to it."""
    path = str(tmp_path / "peer")
    with plain_socket(path, socket.AF_UNIX) as peer:
        options = {"remote_addr": path} if connected else {}
        async with endpoint(factory, family=socket.AF_UNIX, **options) as protocol:

            def send(data):
                protocol.transport.sendto(data, None if connected else path)

            yield protocol, peer, send


def fill(protocol, send, size=100):
    """Send until something waits: how many were sent, the waiting one among them."""
    count = 0
    while not protocol.transport.get_write_buffer_size():
        send(b"%0*d" % (size, count))
        count += 1
    return count


def filling(count, size=100):
    return [b"%0*d" % (size, i) for i in range(count)]


@pytest.mark.parametrize("connected", [True, False])
def test_sent_in_order_later(run, tmp_path, connected):
    async def main():
        async with slow_peer(tmp_path, connected) as (protocol, peer, send):
            count = fill(protocol, send)
            for data in numbered(100):
                send(data)
            assert await receive(peer, count + 100) == filling(count) + numbered(100)
            await settle()
            assert "write=<idle" in repr(protocol.transport)
            send(b"at once")
            assert peer.recv(10) == b"at once"
            assert protocol.errors == []

    run(main())


def test_the_size_of_what_waits(run, tmp_path):
    """From 3.13 on a header is counted too."""

    async def main():
        async with slow_peer(tmp_path) as (protocol, _peer, send):
            fill(protocol, send)
            size = protocol.transport.get_write_buffer_size
            assert size() == 100 + HEADER
            send(b"12345")
            assert size() == 105 + 2 * HEADER
            send(b"")
            assert size() == 105 + (3 if PY313 else 2) * HEADER
            send(memoryview(b"12345678"))
            assert f"write=<polling, bufsize={size()}>" in repr(protocol.transport)

    run(main())


def test_nothing_waits_in_the_end(run, impl, tmp_path):
    if not impl.is_cloop and PY313 and not PY314:
        pytest.skip("asyncio of 3.13.0 does not take the headers off again")

    async def main():
        async with slow_peer(tmp_path) as (protocol, peer, send):
            count = fill(protocol, send)
            for data in numbered(20):
                send(data)
            await receive(peer, count + 20)
            await settle()
            assert protocol.transport.get_write_buffer_size() == 0

    run(main())


def test_what_waits_is_a_copy(run, tmp_path):
    async def main():
        async with slow_peer(tmp_path) as (protocol, peer, send):
            count = fill(protocol, send)
            data = bytearray(b"before")
            send(data)
            send(memoryview(data)[::2])
            data[:] = b"after!"
            assert (await receive(peer, count + 2))[-2:] == [b"before", b"bfr"]

    run(main())


@pytest.mark.parametrize("connected", [True, False])
def test_pause_and_resume(run, impl, tmp_path, connected):
    low = 0
    if not impl.is_cloop and PY313 and not PY314:
        low = 8 * 100  # the headers that are never taken off, see above

    async def main():
        async with slow_peer(tmp_path, connected) as (protocol, peer, send):
            protocol.transport.set_write_buffer_limits(high=3000, low=low)
            count = fill(protocol, send)
            sent = 0
            while "pause" not in protocol.calls:
                send(b"%0100d" % sent)
                sent += 1
            assert protocol.transport.get_write_buffer_size() > 3000
            assert protocol.transport.get_write_buffer_size() - 100 - HEADER <= 3000
            send(b"more")
            assert protocol.calls == ["made", "pause"]
            await receive(peer, count + sent + 1)
            await wait_until(lambda: "resume" in protocol.calls)
            assert protocol.calls == ["made", "pause", "resume"]

    run(main())


def test_sending_from_resume_writing(run, tmp_path):
    class Goes(Datagrams):
        def resume_writing(self):
            super().resume_writing()
            self.transport.sendto(b"on")

    async def main():
        async with slow_peer(tmp_path, factory=Goes) as (protocol, peer, send):
            protocol.transport.set_write_buffer_limits(high=150, low=120)
            count = fill(protocol, send)
            send(b"%0100d" % count)
            assert (await receive(peer, count + 2))[count + 1 :] == [b"on"]

    run(main())


@pytest.mark.parametrize("connected", [True, False])
def test_close_sends_first(run, tmp_path, connected):
    async def main():
        async with slow_peer(tmp_path, connected) as (protocol, peer, send):
            count = fill(protocol, send)
            for data in numbered(30):
                send(data)
            protocol.transport.close()
            await settle()
            assert protocol.calls == ["made"]
            assert await receive(peer, count + 30) == filling(count) + numbered(30)
            assert await protocol.lost is None
            await settle()
            assert protocol.calls == ["made", ("lost", None)]

    run(main())


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("close_first", [True, False])
def test_abort_drops(run, tmp_path, connected, close_first):
    async def main():
        async with slow_peer(tmp_path, connected) as (protocol, peer, send):
            count = fill(protocol, send)
            for data in numbered(30):
                send(data)
            if close_first:
                protocol.transport.close()
            protocol.transport.abort()
            assert await protocol.lost is None
            # What was under way when the kernel took nothing more is the last but one.
            assert await receive(peer, count - 1) == filling(count - 1)
            with pytest.raises(BlockingIOError):
                peer.recv(10)
            await settle()
            assert protocol.calls == ["made", ("lost", None)]

    run(main())


@pytest.mark.parametrize("connected", [True, False])
def test_an_error_while_something_waits(run, tmp_path, connected):
    """It costs the one datagram; the others follow."""

    async def main():
        async with slow_peer(tmp_path, connected) as (protocol, peer, send):
            count = fill(protocol, send)
            send(b"before")
            send(bytes(1 << 22))  # more than any unix socket's buffer
            send(b"after")
            data = await receive(peer, count + 2)
            assert data[count:] == [b"before", b"after"]
            assert [type(exc) for exc in protocol.errors] == [OSError]
            assert not protocol.transport.is_closing()

    run(main())


def test_a_peer_that_goes(run, tmp_path):
    async def main():
        async with slow_peer(tmp_path) as (protocol, peer, send):
            fill(protocol, send)
            send(b"x")
            peer.close()
            await wait_until(lambda: len(protocol.errors) == 2)
            assert isinstance(protocol.errors[0], ConnectionRefusedError)
            await wait_until(lambda: "write=<idle" in repr(protocol.transport))
            assert not protocol.transport.is_closing()
            protocol.transport.close()
            assert await protocol.lost is None

    run(main())


@pytest.mark.parametrize("address", [("127.0.0.1", 9), "\udc80\ud800"], ids=["tuple", "surrogate"])
def test_a_bad_address_while_something_waits(run, impl, tmp_path, address):
    """When it is its turn, its caller is gone: the protocol is told."""
    if not impl.is_cloop:
        pytest.skip("asyncio ends the endpoint")

    async def main():
        async with slow_peer(tmp_path, connected=False) as (protocol, peer, send):
            count = fill(protocol, send)
            send(b"before")
            protocol.transport.sendto(b"bad", address)
            protocol.transport.sendto(b"worse", address)
            send(b"after")
            assert (await receive(peer, count + 2))[-2:] == [b"before", b"after"]
            expected = UnicodeEncodeError if isinstance(address, str) else TypeError
            assert [type(exc) for exc in protocol.errors] == [expected] * 2
            assert not protocol.transport.is_closing()

    run(main())


def test_many_addresses_wait(run, tmp_path):
    """Each datagram goes to its own, whatever was sent together."""

    async def main():
        async with slow_peer(tmp_path, connected=False) as (protocol, peer, send):
            count = fill(protocol, send)
            with contextlib.ExitStack() as stack:
                paths = [str(tmp_path / f"peer{i}") for i in range(5)]
                others = [stack.enter_context(plain_socket(path, socket.AF_UNIX)) for path in paths]
                for i in range(40):
                    protocol.transport.sendto(b"%d" % i, paths[i % 5])
                await receive(peer, count)
                for i, other in enumerate(others):
                    assert await receive(other, 8) == [b"%d" % n for n in range(i, 40, 5)]

    run(main())


def test_closed_while_something_waits_and_the_loop_ends(loop, run, tmp_path):
    """Nothing is left behind, though nobody reads."""

    async def main():
        async with slow_peer(tmp_path) as (protocol, _peer, send):
            fill(protocol, send)
            protocol.transport.close()
            await settle()
            assert not protocol.lost.done()
            await drop(protocol)
            assert protocol.calls == ["made", ("lost", None)]

    run(main())
