"""The loop's sock_ methods on the user's own sockets: results, errors, and what a wait leaves behind."""

import array
import asyncio
import errno
import inspect
import os
import random
import socket
import struct
import sys

import pytest

from tests.support import run_turn, settle, unused_port

from .protocols import connected
from .sockets import RECEIVERS, receivers

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a thing of Linux")


EVERY = {
    **{name: call for name, (call, *_) in RECEIVERS.items()},
    "sendall": lambda loop, sock: loop.sock_sendall(sock, b"data"),
    "sendto": lambda loop, sock: loop.sock_sendto(sock, b"data", ("127.0.0.1", 9)),
    "accept": lambda loop, sock: loop.sock_accept(sock),
    "connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 9)),
}
every = pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)


# ---- Results


@receivers
def test_what_is_there_comes_at_once(loop, tcp, receive, expected, ended):
    """Without a turn of the loop."""
    left, right = tcp
    right.send(b"data")
    with pytest.raises(StopIteration) as caught:
        receive(loop, left).send(None)
    assert caught.value.value == expected


@receivers
def test_waits_for_data(loop, run, tcp, receive, expected, ended):
    left, right = tcp
    loop.call_soon(right.send, b"data")
    assert run(receive(loop, left)) == expected
    assert loop.remove_reader(left) is False


@receivers
def test_the_end_of_the_peer(loop, run, tcp, receive, expected, ended):
    left, right = tcp
    loop.call_soon(right.shutdown, socket.SHUT_WR)
    assert run(receive(loop, left)) == ended


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "waits"])
@pytest.mark.parametrize(
    "make", [bytearray, lambda size: memoryview(bytearray(size)), lambda size: array.array("I", bytes(size))]
)
def test_receives_into_any_writable_buffer(loop, run, tcp, make, waits):
    left, right = tcp
    buffer = make(8)
    if waits:
        loop.call_soon(right.send, b"12345678")
    else:
        right.send(b"12345678")
    assert run(loop.sock_recv_into(left, buffer)) == 8
    assert bytes(memoryview(buffer).cast("B")) == b"12345678"


def test_nbytes_of_recvfrom_into(loop, run):
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        left.setblocking(False)
        for waits in (False, True):
            if waits:
                loop.call_soon(right.send, b"12345678")
            else:
                right.send(b"12345678")
            buffer = bytearray(8)
            assert run(loop.sock_recvfrom_into(left, buffer, nbytes=3))[0] == 3
            assert buffer == b"123" + bytes(5)


@pytest.mark.parametrize("size", [1, 1000, 16384, 100_000, 262_144, 262_145, 1 << 24])
def test_data_arrives_whole_whatever_is_asked_for(loop, run, tcp, size):
    left, right = tcp
    sent = random.Random(size).randbytes(2_000 * min(size, 1000))

    async def receive():
        received = bytearray()
        while data := await loop.sock_recv(left, size):
            assert type(data) is bytes and len(data) <= size
            received += data
        return bytes(received)

    async def send():
        rest = memoryview(sent)
        step = random.Random(7)
        while rest:
            length = step.choice((1, 100, 5000, 20_000, 150_000))
            await loop.sock_sendall(right, rest[:length])
            rest = rest[length:]
            if step.random() < 0.05:
                await asyncio.sleep(0)
        right.shutdown(socket.SHUT_WR)

    async def main():
        return (await asyncio.gather(receive(), send()))[0]

    assert run(main()) == sent


def test_datagrams_are_not_cut_short_by_the_size_of_earlier_ones(loop, run):
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        for sock in (left, right):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 400_000)
        sizes = [20_000, 30_000, 10, 60_000, 60_001, 20_000, 16_384, 90_000, 0, 1, 50_000]

        async def main():
            for size in sizes:
                datagram = random.Random(size).randbytes(size)
                await loop.sock_sendall(right, datagram)
                assert await loop.sock_recv(left, 200_000) == datagram
            await loop.sock_sendall(right, bytes(50_000))
            assert await loop.sock_recv(left, 20_000) == bytes(20_000)

        run(main())


@pytest.mark.parametrize(
    "make",
    [
        bytes,
        bytearray,
        lambda data: memoryview(bytearray(data)),
        lambda data: memoryview(data)[:],
        lambda data: array.array("B", data),
    ],
    ids=["bytes", "bytearray", "writable view", "view", "array"],
)
@pytest.mark.parametrize("size", [0, 1, 1000, 10_000_000])
def test_sendall_sends_all_of_any_buffer(loop, run, tcp, make, size):
    left, right = tcp
    data = random.Random(1).randbytes(size)

    async def receive():
        received = bytearray()
        while len(received) < size:
            received += await loop.sock_recv(right, 65536)
        return bytes(received)

    async def main():
        results = await asyncio.gather(loop.sock_sendall(left, make(data)), receive())
        assert results == [None, data]

    run(main())
    assert loop.remove_writer(left) is False


def test_sendall_counts_bytes_and_not_items(loop, run, tcp, impl):
    """asyncio compares bytes sent with items, and waits for ever."""
    if not impl.is_cloop:
        pytest.skip("asyncio hangs")
    left, right = tcp
    data = array.array("I", range(500_000))

    async def receive():
        received = bytearray()
        while len(received) < 2_000_004:
            received += await loop.sock_recv(right, 65536)
        return bytes(received)

    async def main():
        return await asyncio.gather(
            loop.sock_sendall(left, array.array("I", b"1234")), loop.sock_sendall(left, data), receive()
        )

    received = run(asyncio.wait_for(main(), 10))[2]
    assert received == b"1234" + bytes(data)


def test_a_buffer_cannot_shrink_while_it_is_sent(loop, run, tcp):
    left, _ = tcp
    data = bytearray(30_000_000)

    async def main():
        task = asyncio.ensure_future(loop.sock_sendall(left, data))
        await settle()
        assert not task.done()
        with pytest.raises(BufferError):
            data.clear()
        task.cancel()
        await asyncio.wait([task])
        del task
        data.clear()

    run(main())


def test_both_directions_of_one_socket_at_once(loop, run, tcp):
    """Waits for reading and for writing overlap in every order."""
    data = random.Random(3).randbytes(8_000_000)

    async def receive(sock, size):
        received = bytearray()
        while len(received) < len(data):
            received += await loop.sock_recv(sock, size)
        return bytes(received)

    async def main():
        left, right = tcp
        results = await asyncio.gather(
            loop.sock_sendall(left, data),
            loop.sock_sendall(right, data),
            receive(left, 50_000),
            receive(right, 200_000),
        )
        assert results == [None, None, data, data]

    run(main())
    for sock in tcp:
        assert loop.remove_reader(sock) is False
        assert loop.remove_writer(sock) is False


# ---- Families


FAMILIES = {"IPv4": (socket.AF_INET, ("127.0.0.1", 0)), "IPv6": (socket.AF_INET6, ("::1", 0))}
if sys.platform == "linux":
    FAMILIES["abstract unix"] = (socket.AF_UNIX, "\0cloop-tests-")
families = pytest.mark.parametrize(("family", "address"), FAMILIES.values(), ids=FAMILIES)


def named(address):
    return address + os.urandom(4).hex() if isinstance(address, str) else address


@families
def test_datagrams(loop, run, family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as left, socket.socket(family, socket.SOCK_DGRAM) as right:
        for sock in (left, right):
            sock.setblocking(False)
            sock.bind(named(address))
        loop.call_soon(right.sendto, b"one", left.getsockname())
        assert run(loop.sock_recvfrom(left, 100)) == (b"one", right.getsockname())
        assert run(loop.sock_sendto(left, b"two", right.getsockname())) == 3
        buffer = bytearray(10)
        assert run(loop.sock_recvfrom_into(right, buffer)) == (3, left.getsockname())
        assert buffer[:3] == b"two"
        assert run(loop.sock_sendto(left, b"", right.getsockname())) == 0
        assert run(loop.sock_recvfrom(right, 10)) == (b"", left.getsockname())


@families
def test_accept_and_connect(loop, run, family, address):
    with socket.socket(family) as listening, socket.socket(family) as client:
        for sock in (listening, client):
            sock.setblocking(False)
        listening.bind(named(address))
        listening.listen()

        async def main():
            accepting = asyncio.ensure_future(loop.sock_accept(listening))
            await settle()
            assert await loop.sock_connect(client, listening.getsockname()) is None
            return await accepting

        connection, peer = run(main())
        with connection:
            assert type(connection) is socket.socket
            assert peer == client.getsockname()
            assert connection.getpeername() == peer
            assert (connection.family, connection.type, connection.proto) == (
                family,
                socket.SOCK_STREAM,
                client.proto,
            )
            assert connection.gettimeout() == 0
            assert not os.get_blocking(connection.fileno())
            assert not os.get_inheritable(connection.fileno())
            assert repr(connection.family) == repr(listening.family)


def test_a_path_of_the_file_system(loop, run, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(path)
        listening.listen()
        for sock in (listening, client):
            sock.setblocking(False)
        run(loop.sock_connect(client, path))
        connection, peer = run(loop.sock_accept(listening))
        connection.close()
        assert peer == ""


@linux_only
def test_netlink(loop, run):
    """A family with addresses of its own: ask the kernel for the loopback interface."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.setblocking(False)
        get_link, request = 18, 1
        interface = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("lo"), 0, 0)
        message = struct.pack("=IHHII", 16 + len(interface), get_link, request, 1, 0) + interface
        assert run(loop.sock_sendto(sock, message, (0, 0))) == len(message)
        answer, sender = run(loop.sock_recvfrom(sock, 65536))
        assert sender == (0, 0)
        assert struct.unpack_from("=H", answer, 4) == (16,)
        assert b"lo\0" in answer


def test_connect_looks_names_up(loop, run, listener):
    with socket.socket() as client:
        client.setblocking(False)
        run(loop.sock_connect(client, ("localhost", listener.getsockname()[1])))
        assert client.getpeername() == listener.getsockname()


def test_a_refused_connection(loop, run):
    address = ("127.0.0.1", unused_port())
    with socket.socket() as client:
        client.setblocking(False)
        with pytest.raises(ConnectionRefusedError) as caught:
            run(loop.sock_connect(client, address))
        assert caught.value.errno == errno.ECONNREFUSED
        assert f"Connect call failed {address}" in str(caught.value)
        assert loop.remove_writer(client) is False


def test_connections_wait_to_be_accepted(loop, run, listener):
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]

    async def main():
        return [await loop.sock_accept(listener) for _ in clients]

    accepted = run(main())
    assert [peer for _, peer in accepted] == [client.getsockname() for client in clients]
    for sock in (*clients, *(sock for sock, _ in accepted)):
        sock.close()


# ---- Coroutines


def test_they_are_coroutines(loop, run, tcp):
    left, right = tcp
    for name in (
        "recv",
        "recv_into",
        "recvfrom",
        "recvfrom_into",
        "sendall",
        "sendto",
        "accept",
        "connect",
        "sendfile",
    ):
        assert inspect.iscoroutinefunction(getattr(loop, f"sock_{name}"))
    coroutine = loop.sock_recv(left, 10)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()

    async def main():
        tasks = [loop.create_task(loop.sock_recv(left, 10)), asyncio.ensure_future(loop.sock_recv(right, 10))]
        await settle()
        await asyncio.gather(loop.sock_sendall(right, b"to left"), loop.sock_sendall(left, b"to right"))
        assert await asyncio.gather(*tasks) == [b"to left", b"to right"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(left, 10), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await loop.sock_recv(left, 10)

    run(main())
    assert loop.remove_reader(left) is False


def test_tasks_of_asyncio_wait_too(loop, run, tcp):
    left, right = tcp
    loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.tasks._PyTask(coro, loop=loop, **kwargs))

    async def main():
        task = asyncio.create_task(loop.sock_recv(left, 10))
        await settle()
        right.send(b"data")
        assert await task == b"data"
        task = asyncio.create_task(loop.sock_recv(left, 10))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert loop.remove_reader(left) is False


def test_the_order_of_results_is_that_of_the_sockets(loop, run):
    """Whose data came first is woken first, and in a later turn than the one that received it."""
    pairs = [socket.socketpair() for _ in range(5)]
    seen = []

    async def receive(number, sock):
        await loop.sock_recv(sock, 10)
        seen.append(number)

    async def main():
        for left, _ in pairs:
            left.setblocking(False)
        tasks = [asyncio.ensure_future(receive(number, left)) for number, (left, _) in enumerate(pairs)]
        await settle()
        for _, right in pairs:
            right.send(b"x")
        await asyncio.gather(*tasks)

    run(main())
    assert seen == [0, 1, 2, 3, 4]
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


# ---- Errors


@every
def test_tls_sockets_are_refused(loop, run, pair, call):
    ssl = pytest.importorskip("ssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    left, _ = pair
    with context.wrap_socket(left, do_handshake_on_connect=False) as wrapped:
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            run(call(loop, wrapped))


@every
def test_debug_mode_refuses_sockets_that_block(loop, run, call):
    loop.set_debug(True)
    with socket.socket() as sock:
        for timeout in (None, 5):
            sock.settimeout(timeout)
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                run(call(loop, sock))


@every
def test_a_closed_socket(loop, run, call):
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        run(call(loop, sock))
    assert caught.value.errno == errno.EBADF


WRONG = {
    "size no number": (lambda loop, sock: loop.sock_recv(sock, "ten"), TypeError),
    "size a float": (lambda loop, sock: loop.sock_recv(sock, 1.5), TypeError),
    "size negative": (lambda loop, sock: loop.sock_recv(sock, -1), ValueError),
    "size absurd": (lambda loop, sock: loop.sock_recv(sock, 1 << 80), OverflowError),
    "buffer read-only": (lambda loop, sock: loop.sock_recv_into(sock, b"1234"), TypeError),
    "buffer none": (lambda loop, sock: loop.sock_recv_into(sock, 5), TypeError),
    "nbytes negative": (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), -1), ValueError),
    "nbytes too large": (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(5), 6), ValueError),
    "text": (lambda loop, sock: loop.sock_sendall(sock, "text"), TypeError),
    "number": (lambda loop, sock: loop.sock_sendall(sock, 5), TypeError),
    "not contiguous": (lambda loop, sock: loop.sock_sendall(sock, memoryview(b"1234")[::2]), BufferError),
    "no socket": (lambda loop, sock: loop.sock_recv(None, 10), AttributeError),
    "no socket to send": (lambda loop, sock: loop.sock_sendall(5, b""), AttributeError),
    "accepting": (lambda loop, sock: loop.sock_accept(sock), OSError),
}


@pytest.mark.parametrize(("call", "kind"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_raise_when_awaited(loop, run, tcp, call, kind):
    left, _ = tcp
    coroutine = call(loop, left)
    with pytest.raises(kind):
        run(coroutine)
    assert loop.remove_reader(left) is loop.remove_writer(left) is False


def test_messages_are_the_sockets_own(loop, run, tcp):
    left, _ = tcp
    for call, plain in (
        (loop.sock_sendall(left, "text"), lambda: left.send("text")),
        (loop.sock_recv(left, -1), lambda: left.recv(-1)),
        (loop.sock_recv_into(left, b"x"), lambda: left.recv_into(b"x")),
        (loop.sock_recv(left, "x"), lambda: left.recv("x")),
    ):
        with pytest.raises((TypeError, ValueError)) as model:
            plain()
        with pytest.raises(type(model.value)) as caught:
            run(call)
        assert str(caught.value) == str(model.value)


def test_zero_bytes_are_there_at_once(loop, run, tcp):
    left, _ = tcp
    assert run(loop.sock_recv(left, 0)) == b""
    assert run(loop.sock_recv_into(left, bytearray())) == 0


def test_a_reset_while_waiting(loop, run, tcp):
    left, right = tcp
    right.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    loop.call_soon(right.close)
    with pytest.raises(ConnectionResetError):
        run(loop.sock_recv(left, 10))
    with pytest.raises(BrokenPipeError):
        run(loop.sock_sendall(left, b"x"))


def test_a_peer_that_goes_while_we_send(loop, run, tcp):
    left, right = tcp
    loop.call_later(0.005, right.close)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        run(loop.sock_sendall(left, bytes(50_000_000)))
    assert loop.remove_writer(left) is False


def test_a_socket_of_a_transport(run, loop):
    async def main():
        async with connected() as (client, server):
            sock = client.transport.get_extra_info("socket")
            real = sock._sock
            for call in (
                loop.sock_recv(real, 10),
                loop.sock_recvfrom(real, 10),
                loop.sock_recv_into(real, bytearray(5)),
            ):
                with pytest.raises(RuntimeError, match="is used by transport"):
                    await call
            server.transport.pause_reading()
            with pytest.raises(RuntimeError, match="is used by transport"):
                await loop.sock_sendall(real, bytes(50_000_000))
            client.transport.abort()
            server.transport.abort()

    run(main())


def test_a_closed_loop(loop, tcp):
    left, right = tcp
    right.send(b"data")
    loop.close()
    with pytest.raises(StopIteration) as caught:
        loop.sock_recv(left, 10).send(None)
    assert caught.value.value == b"data"
    for call in (loop.sock_recv(left, 10), loop.sock_accept(left)):
        with pytest.raises((RuntimeError, OSError)):
            call.send(None)


def test_a_loop_closed_while_somebody_waits(loop_factory, tcp, reports):
    left, _ = tcp
    loop = loop_factory()
    task = loop.create_task(loop.sock_recv(left, 10))
    run_turn(loop)
    run_turn(loop)
    loop.close()
    task._log_destroy_pending = False
    task.get_coro().close()


def test_a_blocking_socket_blocks(loop, run, tcp):
    """As in asyncio, which leaves that to the socket outside of debug mode."""
    left, right = tcp
    left.settimeout(0.001)
    with pytest.raises(TimeoutError):
        run(loop.sock_recv(left, 10))
    with pytest.raises(TimeoutError):
        run(loop.sock_recv_into(left, bytearray(10)))
    left.setblocking(True)
    right.send(b"data")
    assert run(loop.sock_recv(left, 10)) == b"data"
    run(loop.sock_sendall(left, bytes(200_000)))
    received = bytearray()
    while len(received) < 200_000:
        received += run(loop.sock_recv(right, 65536))
