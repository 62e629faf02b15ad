"""create_unix_connection and create_unix_server."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
import sys
from pathlib import Path

import pytest

from tests.support import PY313, settle, wait_until

from .protocols import Echo, Recorder, connected, drop, read_all, with_raw_peer

ABSTRACT = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
CLEANUP = pytest.mark.skipif(not PY313, reason="cleanup_socket is new in 3.13")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "sock")


@pytest.fixture
def serving(loop, run):
    """Starts servers, which are closed in the end."""
    servers = []

    def serve(factory, *args, **kwargs):
        servers.append(run(loop.create_unix_server(factory, *args, **kwargs)))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()
        run(asyncio.wait_for(server.wait_closed(), 5))


async def exchange(loop, path, **kwargs):
    """Send something to an echo server; the client's protocol, after the end."""
    transport, protocol = await loop.create_unix_connection(Recorder, path, **kwargs)
    assert protocol.transport is transport
    transport.write(b"hello")
    assert await protocol.wait_for_data(5) == b"hello"
    transport.close()
    await protocol.lost
    # The server's end needs a moment to see it.
    await asyncio.sleep(0.002)
    return protocol


# ---- Addresses


@pytest.mark.parametrize("kind", [str, os.fsencode, Path], ids=["str", "bytes", "PathLike"])
def test_kinds_of_paths(loop, run, serving, path, kind):
    server = serving(Echo, kind(path))
    assert server.sockets[0].getsockname() == path
    protocol = run(exchange(loop, kind(path)))
    assert protocol.transport.get_extra_info("peername") == path
    assert protocol.transport.get_extra_info("sockname") == ""


@ABSTRACT
@pytest.mark.parametrize("encode", [str, str.encode], ids=["str", "bytes"])
def test_abstract_names(loop, run, serving, encode):
    name = f"\0cloop-test-{os.getpid()}"
    server = serving(Echo, encode(name))
    assert server.sockets[0].getsockname() == name.encode()
    protocol = run(exchange(loop, encode(name)))
    assert protocol.transport.get_extra_info("peername") == name.encode()


def test_names_at_both_ends(loop, run, path, tmp_path):
    """A client that is bound has a name too."""
    mine = str(tmp_path / "mine")

    async def main():
        accepted = []
        server = await loop.create_unix_server(lambda: accepted.append(Recorder()) or accepted[-1], path)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(mine)
        sock.connect(path)
        _, client = await loop.create_unix_connection(Recorder, sock=sock)
        await wait_until(lambda: accepted)
        await accepted[0].made
        found = [
            [end.transport.get_extra_info(name) for name in ("sockname", "peername")]
            for end in (client, accepted[0])
        ]
        await drop(client)
        await drop(accepted[0])
        server.close()
        await server.wait_closed()
        return found

    assert run(main()) == [[mine, path], [path, mine]]


@ABSTRACT
def test_abstract_name_of_a_client(loop, run, path):
    mine = f"\0cloop-client-{os.getpid()}".encode()

    async def main():
        accepted = []
        server = await loop.create_unix_server(lambda: accepted.append(Recorder()) or accepted[-1], path)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(mine)
            sock.connect(path)
            await wait_until(lambda: accepted)
            await accepted[0].made
            name = accepted[0].transport.get_extra_info("peername")
        await accepted[0].lost
        server.close()
        await server.wait_closed()
        return name

    assert run(main()) == mine


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="no SO_PEERCRED")
def test_credentials_of_the_peer(loop, run, path):
    async def main():
        accepted = []
        server = await loop.create_unix_server(lambda: accepted.append(Echo()) or accepted[-1], path)
        await exchange(loop, path)
        transport, client = await loop.create_unix_connection(Recorder, path)
        await wait_until(lambda: len(accepted) == 2)
        await accepted[1].made
        found = []
        for end in (transport, accepted[1].transport):
            sock = end.get_extra_info("socket")
            assert sock.family == socket.AF_UNIX
            found.append(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
        await drop(client)
        await drop(accepted[1])
        server.close()
        await server.wait_closed()
        return found

    assert run(main()) == [(os.getpid(), os.getuid(), os.getgid())] * 2


# ---- The client


def test_a_connected_socket(run):
    async def main():
        mine, peer = socket.socketpair()
        assert mine.gettimeout() is None
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_unix_connection(Recorder, sock=mine)
        assert mine.gettimeout() == 0
        transport.write(b"x")
        transport.close()
        with peer:
            peer.setblocking(False)
            assert await read_all(peer) == b"x"
        await protocol.lost
        return mine.fileno()

    assert run(main()) == -1


def test_no_server(loop, run, path):
    called = []
    with pytest.raises(FileNotFoundError):
        run(loop.create_unix_connection(lambda: called.append(1), path))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        with pytest.raises(ConnectionRefusedError):
            run(loop.create_unix_connection(lambda: called.append(1), path))
    assert called == []


@pytest.mark.parametrize("method", ["create_unix_connection", "create_unix_server"])
def test_a_path_that_is_too_long(loop, run, method):
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        run(getattr(loop, method)(Recorder, "x" * 200))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "no path and sock were specified"),
        ({"path": "p", "sock": 1}, "path and sock can not be specified at the same time"),
        ({"path": "p", "ssl": True}, "you have to pass server_hostname when using ssl"),
        ({"path": "p", "server_hostname": "n"}, "server_hostname is only meaningful with ssl"),
        ({"path": "p", "ssl_handshake_timeout": 1}, "ssl_handshake_timeout is only meaningful with ssl"),
        ({"path": "p", "ssl_shutdown_timeout": 1}, "ssl_shutdown_timeout is only meaningful with ssl"),
    ],
    ids=str,
)
def test_client_arguments_that_make_no_sense(loop, run, kwargs, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        run(loop.create_unix_connection(Recorder, **kwargs))


@pytest.mark.parametrize("method", ["create_unix_connection", "create_unix_server"])
@pytest.mark.parametrize(
    ("family", "type"),
    [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)],
    ids=["inet", "datagram"],
)
def test_sockets_of_another_kind(loop, run, method, family, type):
    with socket.socket(family, type) as sock:
        with pytest.raises(ValueError, match=r"^A UNIX Domain Stream Socket was expected, got <socket"):
            run(getattr(loop, method)(Recorder, sock=sock))
        assert sock.fileno() >= 0


# ---- The server


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({}, ValueError, "path was not specified, and no sock specified"),
        ({"path": "p", "sock": 1}, ValueError, "path and sock can not be specified at the same time"),
        ({"path": "p", "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
        ({"path": "p", "ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only meaningful"),
        ({"path": "p", "ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only meaningful"),
        ({"path": 1}, TypeError, "expected str, bytes or os.PathLike object, not int"),
    ],
    ids=str,
)
def test_server_arguments_that_make_no_sense(loop, run, kwargs, error, message):
    with pytest.raises(error, match=f"^{message}"):
        run(loop.create_unix_server(Recorder, **kwargs))


def test_the_server(loop, serving, path):
    server = serving(Echo, path)
    assert type(server) is asyncio.base_events.Server
    assert server.is_serving() and server.get_loop() is loop
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    server.close()
    assert server.sockets == ()


def test_a_socket_of_ones_own(loop, run, serving, path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    assert sock.gettimeout() is None
    server = serving(Echo, sock=sock)
    assert sock.gettimeout() == 0
    run(exchange(loop, path))
    server.close()
    assert sock.fileno() == -1


def test_started_later(loop, run, serving, path):
    server = serving(Echo, path, start_serving=False)
    assert not server.is_serving()
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_unix_connection(Recorder, path))
    run(server.start_serving())
    assert server.is_serving()
    run(exchange(loop, path))


def test_a_stale_socket_makes_way(loop, run, serving, path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        inode = os.stat(path).st_ino
        serving(Echo, path)
        assert os.stat(path).st_ino != inode
    run(exchange(loop, path))


def test_another_kind_of_file_is_in_the_way(loop, run, path):
    Path(path).touch()
    with pytest.raises(OSError, match="is already in use") as caught:
        run(loop.create_unix_server(Recorder, path))
    assert caught.value.errno == errno.EADDRINUSE
    assert str(caught.value) == f"[Errno {errno.EADDRINUSE}] Address {path!r} is already in use"
    assert caught.value.__suppress_context__
    assert Path(path).is_file()


@ABSTRACT
def test_an_abstract_name_in_use(loop, run, serving):
    name = f"\0cloop-in-use-{os.getpid()}"
    serving(Echo, name)
    with pytest.raises(OSError, match="is already in use"):
        run(loop.create_unix_server(Recorder, name))
    run(exchange(loop, name))


def test_no_such_directory(loop, run, path):
    with pytest.raises(FileNotFoundError):
        run(loop.create_unix_server(Recorder, path + "/of/nowhere"))


def test_a_stale_socket_that_cannot_be_looked_at(loop, run, tmp_path, error_log):
    """It is logged, and bind() has the last word."""
    Path(tmp_path, "file").touch()
    path = str(tmp_path / "file" / "sock")
    with pytest.raises(NotADirectoryError):
        run(loop.create_unix_server(Recorder, path))
    (message,) = error_log
    assert message.startswith(f"Unable to check or remove stale UNIX socket {path!r}: NotADirectoryError")
    error_log.clear()


@pytest.mark.parametrize("method", ["create_unix_connection", "create_unix_server"])
@pytest.mark.filterwarnings("ignore:unclosed <socket")  # asyncio's
def test_nothing_is_left_of_a_path_with_a_nul_in_it(loop, run, method):
    with pytest.raises((ValueError, FileNotFoundError)):
        run(getattr(loop, method)(Recorder, "a/\0/b"))


@pytest.mark.filterwarnings("ignore:unclosed <socket")
def test_an_empty_path(loop, run):
    with pytest.raises(IndexError):
        run(loop.create_unix_server(Recorder, ""))


def test_a_server_cancelled_before_its_creator_got_it(loop, run, impl, path):
    if not impl.is_cloop:
        pytest.skip("asyncio's goes on listening, and nobody can close it")

    async def main():
        task = asyncio.create_task(loop.create_unix_server(Recorder, path))
        await asyncio.sleep(0)
        assert os.path.exists(path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await loop.create_unix_connection(Recorder, path)

    run(main())
    assert os.path.exists(path) is not PY313


def test_a_socket_of_ones_own_that_cannot_listen(loop, run, path):
    """It stays its owner's."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sock:
        listener.bind(path)
        listener.listen()
        sock.connect(path)
        with pytest.raises((OSError, IndexError)):
            run(loop.create_unix_server(Recorder, sock=sock))
        assert sock.fileno() >= 0 and sock.getpeername() == path


@pytest.fixture
def full_path(path):
    """The path of a listener whose queue is full, and the listener."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        while True:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            if sock.connect_ex(path):
                break
        yield path, listener


@LINUX
def test_a_server_whose_queue_is_full(loop, run, impl, full_path):
    """A client waits until there is room, and is connected then."""
    if not impl.is_cloop:
        pytest.skip("asyncio says that it is connected")
    path, listener = full_path

    async def main():
        connecting = asyncio.ensure_future(loop.create_unix_connection(Recorder, path))
        await asyncio.sleep(0.02)
        assert not connecting.done()
        # The one that was there before, and ours.
        listener.accept()[0].close()
        async with asyncio.timeout(5):
            transport, protocol = await connecting
        assert transport.get_extra_info("peername") == path
        accepted, _ = listener.accept()
        with accepted:
            accepted.send(b"hello")
            assert await protocol.wait_for_data(5) == b"hello"
            await drop(protocol)

    run(main())


@LINUX
def test_a_client_that_does_not_want_to_wait(loop, run, impl, full_path):
    if not impl.is_cloop:
        pytest.skip("asyncio says that it is connected")

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await loop.create_unix_connection(Recorder, full_path[0])

    run(main())


# ---- The file of a server that closes


def test_the_file_when_the_server_closes(loop, run, serving, path):
    server = serving(Echo, path)
    server.close()
    assert os.path.exists(path) is not PY313


@CLEANUP
def test_cleanup_that_is_not_wanted(serving, path):
    serving(Echo, path, cleanup_socket=False).close()
    assert os.path.exists(path)


@CLEANUP
def test_cleanup_of_a_socket_of_ones_own(serving, path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    serving(Echo, sock=sock).close()
    assert not os.path.exists(path)


def test_the_file_of_a_socket_that_listens_already(serving, impl, path):
    """It is somebody else's: systemd, or a parent of several workers, goes on to listen there."""
    if PY313 and not impl.is_cloop:
        pytest.skip("asyncio removes the file, whoever has made it")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    serving(Echo, sock=sock).close()
    assert os.path.exists(path)


@CLEANUP
def test_cleanup_for_who_asks_for_it(serving, path):
    """Also of a socket that listens already."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    serving(Echo, sock=sock, cleanup_socket=True).close()
    assert not os.path.exists(path)


@CLEANUP
def test_cleanup_of_a_server_that_never_served(serving, path):
    serving(Echo, path, start_serving=False).close()
    assert not os.path.exists(path)


@CLEANUP
def test_cleanup_a_file_that_is_gone(serving, path):
    server = serving(Echo, path)
    os.unlink(path)
    server.close()
    assert not os.path.exists(path)


@CLEANUP
def test_cleanup_a_path_taken_over(loop, run, serving, path):
    first = serving(Echo, path)
    serving(Echo, path)
    first.close()
    run(exchange(loop, path))


@CLEANUP
def test_cleanup_a_file_of_another_kind(serving, path):
    server = serving(Echo, path)
    os.rename(path, path + ".old")
    Path(path).touch()
    server.close()
    assert Path(path).is_file()


@CLEANUP
def test_cleanup_a_file_that_cannot_be_removed(serving, tmp_path, error_log):
    directory = tmp_path / "directory"
    directory.mkdir()
    path = str(directory / "sock")
    server = serving(Echo, path)
    directory.rename(tmp_path / "old")
    directory.touch()
    server.close()
    (message,) = error_log
    assert message.startswith(f"Unable to clean up listening UNIX socket {path!r}: NotADirectoryError")
    error_log.clear()


@CLEANUP
@ABSTRACT
def test_cleanup_an_abstract_name(loop, run, serving):
    name = f"\0cloop-gone-{os.getpid()}"
    serving(Echo, name).close()
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_unix_connection(Recorder, name))


@CLEANUP
def test_cleanup_nothing_is_remembered(loop, serving, path):
    server = serving(Echo, path)
    assert len(loop._unix_server_sockets) == 1
    server.close()
    assert loop._unix_server_sockets == {}


# ---- What works on top


def test_streams(run, path):
    async def main():
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_unix_server(answer, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"line\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            await settle()
            return answer

    assert run(main()) == b"LINE\n"


def test_a_large_transfer(run, loop, path):
    data = os.urandom(1 << 20) * 3

    async def main():
        accepted = []
        server = await loop.create_unix_server(lambda: accepted.append(Echo()) or accepted[-1], path)
        transport, client = await loop.create_unix_connection(Recorder, path)
        transport.write(data)
        found = await client.wait_for_data(len(data))
        await drop(client)
        await accepted[0].lost
        server.close()
        await server.wait_closed()
        return found == data

    assert run(main()) is True


def test_it_is_the_transport_of_tcp(run, loop, path):
    async def main():
        async with connected() as (tcp, _), with_raw_peer() as (unix, _):
            return type(tcp.transport) is type(unix.transport)

    assert run(main()) is True


def test_many_clients_at_once(run, loop, serving, path):
    serving(Echo, path, backlog=200)

    async def main():
        await asyncio.gather(*(exchange(loop, path) for _ in range(100)))
        await asyncio.sleep(0.01)

    run(main())


@pytest.mark.parametrize("path", ["", b"", [], ()])
def test_no_path_at_all(path):
    from cloop.api import socketfile

    with pytest.raises(IndexError):
        socketfile.is_abstract(path)
