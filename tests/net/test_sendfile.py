"""sendfile and sock_sendfile: what arrives, in which order, and where the file stands afterwards."""

import asyncio
import inspect
import io
import os
import random
import re
import socket
import tempfile

import pytest

from tests.support import settle, wait_until

from .protocols import Recorder, connected
from .sockets import blocked_write
from .tls import tls_connected

SIZE = 3_000_000
DATA = random.Random(4).randbytes(SIZE)


@pytest.fixture
def file():
    """A file with DATA, at its beginning."""
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        yield file


class NoDescriptor(io.BytesIO):
    """A file that sendfile(2) can't send."""


@pytest.fixture(params=["native", "fallback"])
def source(request, file):
    """A file with DATA that goes by either way."""
    return file if request.param == "native" else NoDescriptor(DATA)


def make_narrow(sock):
    """Give the socket so little memory that what is not received does not hold the file."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)


async def receive_all(loop, sock):
    received = bytearray()
    while data := await loop.sock_recv(sock, 65536):
        received += data
    return bytes(received)


# ---- sock_sendfile


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        (0, None, DATA),
        (1000, None, DATA[1000:]),
        (0, 10, DATA[:10]),
        (1000, 2_000_000, DATA[1000:2_001_000]),
        (SIZE - 5, 100, DATA[-5:]),
        (SIZE, None, b""),
        (SIZE + 10, 10, b""),
        (0, SIZE, DATA),
        (0, SIZE + 1, DATA),
    ],
)
def test_sends_a_part_of_a_file(loop, run, tcp, source, offset, count, expected):
    left, right = tcp

    async def main():
        receiving = asyncio.ensure_future(receive_all(loop, right))
        sent = await loop.sock_sendfile(left, source, offset, count)
        left.shutdown(socket.SHUT_WR)
        return sent, await receiving

    assert run(main()) == (len(expected), expected)
    if expected:
        assert source.tell() == offset + len(expected)
    assert loop.remove_writer(left) is False


def test_an_empty_file(loop, run, tcp):
    left, _ = tcp
    with tempfile.TemporaryFile() as empty:
        assert run(loop.sock_sendfile(left, empty)) == 0


class Opened:
    """As a file of some mode."""

    def __init__(self, mode):
        self.mode = mode


BAD_COUNT = "count must be a positive integer "
BAD_OFFSET = "offset must be a non-negative integer "
WRONG = {
    "mode": ({"file": Opened("r")}, ValueError, "file should be opened in binary mode"),
    "count zero": ({"count": 0}, ValueError, BAD_COUNT + "(got 0)"),
    "count negative": ({"count": -1}, ValueError, BAD_COUNT + "(got -1)"),
    "count no number": ({"count": "1"}, TypeError, BAD_COUNT + "(got '1')"),
    "offset negative": ({"offset": -1}, ValueError, BAD_OFFSET + "(got -1)"),
    "offset no number": ({"offset": 1.0}, TypeError, BAD_OFFSET + "(got 1.0)"),
}


@pytest.mark.parametrize(("change", "kind", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(loop, run, tcp, file, change, kind, message):
    arguments = {"file": file, **change}

    async def main():
        with pytest.raises(kind, match=re.escape(message)):
            await loop.sock_sendfile(tcp[0], **arguments)
        async with connected() as (client, server):
            with pytest.raises(kind, match=re.escape(message)):
                await loop.sendfile(client.transport, **arguments)
            # It is as good as before.
            client.transport.write(b"more")
            assert await server.wait_for_data(4) == b"more"
            assert client.transport.is_reading()

    run(main())


def test_wrong_arguments_over_tls(loop, run, impl, file):
    """The same as without TLS, and before anything is sent."""
    if not impl.is_cloop:
        pytest.skip("asyncio does not check them there, and sends the whole file for a count of 0")

    async def main():
        async with tls_connected() as (client, server):
            for change, kind, message in WRONG.values():
                with pytest.raises(kind, match=re.escape(message)):
                    await loop.sendfile(client.transport, **{"file": file, **change})
            with pytest.raises(asyncio.SendfileNotAvailableError, match="fallback is disabled"):
                await loop.sendfile(client.transport, file, fallback=False)
            client.transport.write(b"more")
            assert await server.wait_for_data(4) == b"more"

    run(main())


# Whether asyncio begins at the file's beginning for an offset of 0.
REWINDS = "if offset:" not in inspect.getsource(asyncio.BaseEventLoop._sendfile_fallback)
STANDS_ELSEWHERE = "asyncio sends from where the file stands"


def test_a_file_that_stands_elsewhere(loop, run, impl, tcp, source):
    """It is sent from the offset on, which is 0 unless it is given."""
    if not (impl.is_cloop or REWINDS):
        pytest.skip(STANDS_ELSEWHERE)
    left, right = tcp
    source.seek(1_000_000)

    async def main():
        receiving = asyncio.ensure_future(receive_all(loop, right))
        sent = await loop.sock_sendfile(left, source)
        left.shutdown(socket.SHUT_WR)
        return sent, await receiving

    assert run(main()) == (SIZE, DATA)
    assert source.tell() == SIZE


@pytest.mark.parametrize("over_tls", [False, True])
def test_a_file_that_stands_elsewhere_to_a_transport(loop, run, impl, source, over_tls):
    if not (impl.is_cloop or REWINDS):
        pytest.skip(STANDS_ELSEWHERE)
    source.seek(1_000_000)

    async def main():
        async with tls_connected() if over_tls else connected() as (client, server):
            assert await loop.sendfile(client.transport, source) == SIZE
            return await server.wait_for_data(SIZE)

    assert run(main()) == DATA
    assert source.tell() == SIZE


def test_only_stream_sockets(loop, run, file):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="only SOCK_STREAM type sockets are supported"):
            run(loop.sock_sendfile(sock, file))


def test_debug_mode_refuses_sockets_that_block(loop, run, file):
    loop.set_debug(True)
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="the socket must be non-blocking"):
            run(loop.sock_sendfile(sock, file))


def test_without_a_fallback(loop, run, tcp):
    left, _ = tcp
    with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
        run(loop.sock_sendfile(left, NoDescriptor(DATA), fallback=False))
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as pipe:
        os.write(writing, b"piped")
        os.close(writing)
        with pytest.raises((asyncio.SendfileNotAvailableError, OSError)):
            run(loop.sock_sendfile(left, pipe, count=5, fallback=False))


def test_a_full_socket_is_waited_for(loop, run, tcp, file):
    left, right = tcp

    async def main():
        before = blocked_write(left)
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file))
        await settle()
        assert not sending.done()
        receiving = asyncio.ensure_future(receive_all(loop, right))
        assert await sending == SIZE
        left.shutdown(socket.SHUT_WR)
        assert await receiving == bytes(before) + DATA

    run(main())


def test_a_cancelled_one_leaves_the_socket_alone(loop, run, tcp, file, impl):
    left, _ = tcp
    make_narrow(left)

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendfile(left, file, 0, None))
        await settle()
        assert not sending.done()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert loop.remove_writer(left) is False
        if impl.is_cloop:
            # asyncio moves it only where the socket happened to fire in the same turn.
            assert 0 < file.tell() < SIZE

    run(main())


def test_the_peer_goes_in_the_middle(loop, run, tcp, file):
    left, right = tcp
    loop.call_later(0.005, right.close)

    async def main():
        blocked_write(left)
        await loop.sock_sendfile(left, file)

    with pytest.raises(OSError, match=r"os\.sendfile call failed|reset by peer|Broken pipe") as caught:
        run(main())
    assert isinstance(caught.value, ConnectionError)
    assert loop.remove_writer(left) is False


# ---- sendfile


def test_after_what_was_written_and_before_what_comes_next(loop, run, source):
    async def main():
        async with connected() as (client, server):
            before, after = bytes(5_000_000), b"after" * 100_000
            client.transport.write(before)
            assert await loop.sendfile(client.transport, source) == SIZE
            client.transport.write(after)
            received = await server.wait_for_data(len(before) + SIZE + len(after))
            assert received == before + DATA + after
            assert source.tell() == SIZE

    run(main())


def test_data_of_the_peer_waits(loop, run, file):
    """Reading is paused meanwhile, and goes on as before."""

    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            sending = asyncio.ensure_future(loop.sendfile(client.transport, file))
            await settle()
            server.transport.write(b"meanwhile")
            server.transport.resume_reading()
            assert await sending == SIZE
            assert await client.wait_for_data(9) == b"meanwhile"
            client.transport.pause_reading()
            assert await loop.sendfile(client.transport, file, 0, 10) == 10
            assert not client.transport.is_reading()
            assert await server.wait_for_data(SIZE + 10) == DATA + DATA[:10]

    run(main())


def test_nothing_is_written_meanwhile(loop, run, file):
    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(5_000_000))
            sending = asyncio.ensure_future(loop.sendfile(client.transport, file))
            await settle()
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                client.transport.write(b"in between")
            with pytest.raises(RuntimeError, match="sendfile is in progress"):
                client.transport.writelines([b"in between"])
            server.transport.resume_reading()
            assert await sending == SIZE

    run(main())


def test_a_closing_transport(loop, run, file):
    async def main():
        async with connected() as (client, _):
            client.transport.close()
            with pytest.raises(RuntimeError, match="Transport is closing"):
                await loop.sendfile(client.transport, file)

    run(main())


def test_a_transport_that_can_not(loop, run, file):
    class Other(asyncio.Transport):
        def is_closing(self):
            return False

    with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
        run(loop.sendfile(Other(), file))


def test_a_transport_that_can_not_but_by_the_fallback(loop, run, file):
    class Other(asyncio.Transport):
        _sendfile_compatible = asyncio.constants._SendfileMode.FALLBACK

        def is_closing(self):
            return False

    with pytest.raises(RuntimeError, match="fallback is disabled and native sendfile is not supported"):
        run(loop.sendfile(Other(), file, fallback=False))


def test_without_a_fallback_on_a_transport(loop, run):
    async def main():
        async with connected() as (client, server):
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sendfile(client.transport, NoDescriptor(DATA), fallback=False)
            client.transport.write(b"goes on")
            assert await server.wait_for_data(7) == b"goes on"

    run(main())


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("stage", ["drains", "sends"])
def test_the_transport_is_closed_in_the_middle(loop, run, impl, file, how, stage):
    if not impl.is_cloop:
        pytest.skip("asyncio waits for ever, or fails with AttributeError")

    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            if stage == "drains":
                client.transport.write(bytes(10_000_000))
            else:
                make_narrow(client.transport.get_extra_info("socket"))
            sending = asyncio.ensure_future(loop.sendfile(client.transport, file))
            await settle()
            assert not sending.done()
            assert (client.transport.get_write_buffer_size() > 0) is (stage == "drains")
            getattr(client.transport, how)()
            if how == "close" and stage == "drains":
                server.transport.resume_reading()
            with pytest.raises(ConnectionError, match="Connection is closed by peer"):
                await sending
            assert await client.lost is None
            server.transport.abort()

    run(main())


def test_cancelled_the_transport_goes_on(loop, run, file):
    async def main():
        async with connected() as (client, server):
            make_narrow(client.transport.get_extra_info("socket"))
            server.transport.pause_reading()
            sending = asyncio.ensure_future(loop.sendfile(client.transport, file))
            await settle(10)
            assert not sending.done()
            sending.cancel()
            await asyncio.wait([sending])
            client.transport.write(b"the end")
            server.transport.resume_reading()
            await wait_until(lambda: server.data.endswith(b"the end"))
            received = bytes(server.data)
            assert received[:-7] == DATA[: len(received) - 7]
            assert client.transport.is_reading()

    run(main())


def test_cancelled_while_it_drains_the_transport_goes_on(loop, run, impl, file):
    if not impl.is_cloop:
        pytest.skip("asyncio never lets the transport write again")

    async def main():
        async with connected() as (client, server):
            server.transport.pause_reading()
            client.transport.write(bytes(10_000_000))
            sending = asyncio.ensure_future(loop.sendfile(client.transport, file))
            await settle()
            sending.cancel()
            await asyncio.wait([sending])
            client.transport.write(b"the end")
            server.transport.resume_reading()
            assert await server.wait_for_data(10_000_007) == bytes(10_000_000) + b"the end"
            assert client.transport.is_reading()

    run(main())


def test_the_peer_of_a_transport_goes_in_the_middle(loop, run, source):
    async def main():
        async with connected() as (client, server):
            make_narrow(client.transport.get_extra_info("socket"))
            server.transport.pause_reading()
            sending = asyncio.ensure_future(loop.sendfile(client.transport, source))
            await settle(10)
            server.transport.abort()
            with pytest.raises(ConnectionError):
                await sending
            client.transport.close()
            await client.lost

    run(main())


class Slow(Recorder):
    """Reads only now and then."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)


def test_a_slow_peer(loop, run, source):
    async def main():
        async with connected(server=Slow) as (client, server):
            assert await loop.sendfile(client.transport, source) == SIZE
            assert await server.wait_for_data(SIZE) == DATA

    run(main())
