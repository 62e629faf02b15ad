"""create_datagram_endpoint: addresses, options, errors; and what it leaves when it fails."""

import asyncio
import errno
import os
import socket
import sys

import pytest

from tests.support import PY312, PY313

from .datagrams import Datagrams, Echo, endpoint, name_of, plain_socket, receive

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux's abstract namespace")


async def refused(*args, **options):
    """The exception of an endpoint that can't be made."""
    try:
        async with endpoint(Datagrams, *args, **options):
            pass
    except (OSError, ValueError, TypeError, RuntimeError) as exc:
        return exc
    raise AssertionError("it was made")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_there_and_back(run, host):
    async def main():
        async with endpoint(Echo, local_addr=(host, 0)) as server:
            async with endpoint(remote_addr=name_of(server)[:2]) as client:
                client.transport.sendto(b"hello")
                await client.wait_for(1)
                assert client.received == [(b"hello", name_of(server))]
                assert server.received == [(b"hello", name_of(client))]
                assert client.transport.get_extra_info("peername") == name_of(server)
                assert server.transport.get_extra_info("peername") is None

    run(main())


def test_what_it_is(run):
    async def main():
        async with endpoint() as protocol:
            transport = protocol.transport
            assert isinstance(transport, asyncio.BaseTransport)
            if PY312:
                assert isinstance(transport, asyncio.DatagramTransport)
            sock = transport.get_extra_info("socket")
            assert type(sock) is asyncio.trsock.TransportSocket
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_DGRAM)
            assert sock.gettimeout() == 0
            assert transport.get_protocol() is protocol
            assert not transport.is_closing()
            assert transport.is_reading()
            assert transport.get_write_buffer_limits() == (16384, 65536)
            assert protocol.calls == ["made"]

    run(main())


def test_local_and_remote(run):
    async def main():
        with plain_socket() as peer:
            async with endpoint(local_addr=("127.0.0.1", 0), remote_addr=peer.getsockname()) as protocol:
                assert name_of(protocol)[1] != 0
                assert protocol.transport.get_extra_info("peername") == peer.getsockname()
                peer.sendto(b"to the client", name_of(protocol))
                assert await protocol.wait_for(1) == [b"to the client"]

    run(main())


def test_a_given_socket(run):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            async with endpoint(sock=sock) as protocol:
                assert sock.gettimeout() == 0
                with plain_socket() as peer:
                    peer.sendto(b"x", sock.getsockname())
                    await protocol.wait_for(1)
                    assert protocol.received == [(b"x", peer.getsockname())]
            assert sock.fileno() == -1

    run(main())


def test_a_family_alone(run):
    """Not bound to anything, it can send."""

    async def main():
        with plain_socket() as peer:
            async with endpoint(family=socket.AF_INET) as protocol:
                protocol.transport.sendto(b"x", peer.getsockname())
                assert peer.recvfrom(10)[0] == b"x"

    run(main())


def test_reuse_port(run):
    async def main():
        async with endpoint(local_addr=("127.0.0.1", 0), reuse_port=True) as first:
            async with endpoint(local_addr=name_of(first), reuse_port=True) as second:
                assert name_of(first) == name_of(second)

    run(main())


def test_broadcast(run):
    """The socket is not connected, and yet every datagram has its address."""

    async def main():
        with plain_socket() as peer:
            async with endpoint(remote_addr=peer.getsockname(), allow_broadcast=True) as protocol:
                transport = protocol.transport
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) != 0
                assert transport.get_extra_info("peername") is None
                transport.sendto(b"without")
                transport.sendto(b"with", peer.getsockname())
                with pytest.raises(ValueError, match="Invalid address: must be None or"):
                    transport.sendto(b"wrong", ("127.0.0.1", 9))
                assert [peer.recv(10), peer.recv(10)] == [b"without", b"with"]

    run(main())


# ---- Refusals


def test_nothing_given(run):
    exc = run(refused(family=0))
    assert (type(exc), str(exc)) == (ValueError, "unexpected address family")


@pytest.mark.parametrize("address", ["127.0.0.1", ("127.0.0.1",), ["127.0.0.1", 80], ("::1", 80, 0, 0)])
@pytest.mark.parametrize("which", ["local_addr", "remote_addr"])
def test_no_address(run, which, address):
    exc = run(refused(**{which: address}))
    assert (type(exc), str(exc)) == (TypeError, "2-tuple is expected")


@pytest.mark.parametrize("which", ["local_addr", "remote_addr"])
def test_no_path(run, which):
    exc = run(refused(family=socket.AF_UNIX, **{which: ("127.0.0.1", 80)}))
    assert (type(exc), str(exc)) == (TypeError, "string is expected")


@pytest.mark.parametrize("port", [65_536, -1, 1 << 70])
@pytest.mark.parametrize("which", ["local_addr", "remote_addr"])
def test_a_port_that_does_not_fit(run, which, port):
    async def main():
        with pytest.raises(OverflowError):
            async with endpoint(**{which: ("127.0.0.1", port)}):
                pass

    run(main())


def test_two_families(run):
    exc = run(refused(local_addr=("127.0.0.1", 0), remote_addr=("::1", 80)))
    assert (type(exc), str(exc)) == (ValueError, "can not get address information")


def test_address_in_use(run):
    with plain_socket() as taken:
        exc = run(refused(local_addr=taken.getsockname()))
    assert exc.errno == errno.EADDRINUSE


def test_options_with_a_socket(run):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        exc = run(refused(sock=sock, local_addr=("127.0.0.1", 0), family=socket.AF_INET, reuse_port=True))
    assert type(exc) is ValueError
    assert str(exc) == (
        "socket modifier keyword arguments can not be used when sock is specified. "
        f"(local_addr=('127.0.0.1', 0), family={socket.AF_INET}, reuse_port=True)"
    )


def test_a_stream_socket(run):
    with socket.socket() as sock:
        exc = run(refused(sock=sock))
        kind = "datagram socket" if PY313 else "UDP Socket"
        assert (type(exc), str(exc)) == (ValueError, f"A {kind} was expected, got {sock!r}")


def test_no_reuse_address(run):
    exc = run(refused(local_addr=("127.0.0.1", 0), reuse_address=False))
    assert type(exc) is TypeError


def test_reuse_port_where_it_is_not(run, monkeypatch):
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    exc = run(refused(local_addr=("127.0.0.1", 0), reuse_port=True))
    assert (type(exc), str(exc)) == (ValueError, "reuse_port not supported by socket module")


def test_a_socket_in_use(run, impl):
    if not impl.is_cloop and not PY312:
        pytest.skip("asyncio looks only from 3.12 on")

    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            async with endpoint(sock=sock) as protocol:
                exc = await refused(sock=sock)
                assert type(exc) is RuntimeError
                assert "is used by transport" in str(exc)
                with plain_socket() as peer:
                    peer.sendto(b"undisturbed", name_of(protocol))
                    assert await protocol.wait_for(1) == [b"undisturbed"]

    run(main())


def test_the_factory_fails(run, impl):
    if not impl.is_cloop:
        pytest.skip("asyncio leaves the socket open")

    def fails():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(ZeroDivisionError):
            async with endpoint(fails, local_addr=("127.0.0.1", 0)):
                pass

    run(main())


def test_the_factory_fails_on_a_given_socket(run):
    """It stays its owner's."""

    def fails():
        raise ZeroDivisionError

    async def main():
        with plain_socket() as sock:
            with pytest.raises(ZeroDivisionError):
                async with endpoint(fails, sock=sock):
                    pass
            assert sock.fileno() >= 0

    run(main())


def test_connection_made_fails(run, reports):
    class Fails(Datagrams):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def main():
        async with endpoint(Fails, local_addr=("127.0.0.1", 0)) as protocol:
            assert isinstance(reports.take_one()["exception"], ZeroDivisionError)
            with plain_socket() as peer:
                peer.sendto(b"x", name_of(protocol))
                assert await protocol.wait_for(1) == [b"x"]

    run(main())


def test_cancelled(loop, run):
    """Between the constructor and connection_made: the transport is closed."""
    made = []

    def factory():
        made.append(Datagrams())
        loop.call_soon(task.cancel)
        return made[0]

    async def main():
        nonlocal task
        task = loop.create_task(loop.create_datagram_endpoint(factory, local_addr=("127.0.0.1", 0)))
        with pytest.raises(asyncio.CancelledError):
            await task
        await made[0].lost
        assert made[0].calls == ["made", ("lost", None)]

    task = None
    run(main())


# ---- Unix sockets


def test_unix_sockets(run, tmp_path):
    async def main():
        there, here = str(tmp_path / "server"), str(tmp_path / "client")
        unix = socket.AF_UNIX
        async with endpoint(Echo, local_addr=there, family=unix) as server:
            async with endpoint(local_addr=here, remote_addr=there, family=unix) as client:
                assert name_of(server) == there
                assert client.transport.get_extra_info("peername") == there
                big = bytes(range(256)) * 600  # no place of the internet's size holds it
                client.transport.sendto(big)
                client.transport.sendto(b"small")
                await client.wait_for(2)
                assert client.received == [(big, there), (b"small", there)]
                assert server.received == [(big, here), (b"small", here)]

    run(main())


@linux_only
def test_abstract_names(run):
    async def main():
        name = f"\0cloop-{os.getpid()}-"
        async with endpoint(Echo, local_addr=name + "a", family=socket.AF_UNIX) as server:
            options = {"remote_addr": name + "a", "family": socket.AF_UNIX}
            async with endpoint(local_addr=name + "b", **options) as client:
                client.transport.sendto(b"x")
                await client.wait_for(1)
                assert client.received == [(b"x", (name + "a").encode())]
                assert server.received == [(b"x", (name + "b").encode())]

    run(main())


def test_a_peer_without_a_name(run, tmp_path):
    async def main():
        path = str(tmp_path / "server")
        async with endpoint(local_addr=path, family=socket.AF_UNIX) as server:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                peer.sendto(b"x", path)
                await server.wait_for(1)
                assert server.received[0][0] == b"x"
                assert not server.received[0][1]

    run(main())


@pytest.mark.parametrize("address", [None, ""])
def test_a_pair(impl, run, tmp_path, address):
    """An empty name is a peer's; and other addresses may be sent to, where the system lets us."""
    if not impl.is_cloop:
        pytest.skip("asyncio takes it for no peer and ends the endpoint")

    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        right.setblocking(False)
        with right, plain_socket(str(tmp_path / "other"), socket.AF_UNIX) as other:
            async with endpoint(sock=left) as protocol:
                assert protocol.transport.get_extra_info("peername") == ""
                right.send(b"question")
                await protocol.wait_for(1)
                protocol.transport.sendto(b"answer", address)
                assert await receive(right, 1) == [b"answer"]
                protocol.transport.sendto(b"elsewhere", str(tmp_path / "other"))
                assert await receive(other, 1) == [b"elsewhere"]
                protocol.transport.sendto(b"and back", address)
                assert await receive(right, 1) == [b"and back"]
                assert protocol.errors == []

    run(main())


def test_a_pair_of_which_one_does_not_read(impl, run):
    if not impl.is_cloop:
        pytest.skip("asyncio takes it for no peer and ends the endpoint")

    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        right.setblocking(False)
        with right:
            async with endpoint(sock=left) as protocol:
                count = 0
                while not protocol.transport.get_write_buffer_size():
                    protocol.transport.sendto(b"%0100d" % count)
                    count += 1
                for _ in range(30):
                    protocol.transport.sendto(b"%0100d" % count)
                    count += 1
                assert await receive(right, count) == [b"%0100d" % i for i in range(count)]

    run(main())


@pytest.mark.parametrize("as_bytes", [True, False])
def test_unix_addresses(run, tmp_path, as_bytes):
    async def main():
        path = str(tmp_path / "peer")
        with plain_socket(path, socket.AF_UNIX) as peer:
            async with endpoint(family=socket.AF_UNIX) as protocol:
                protocol.transport.sendto(b"x", os.fsencode(path) if as_bytes else path)
                assert peer.recv(10) == b"x"
                protocol.transport.sendto(b"x", path + "x")
                protocol.transport.sendto(b"x", path + "x" * 200)
                assert [type(exc) for exc in protocol.errors] == [FileNotFoundError, OSError]
                assert str(protocol.errors[1]) == "AF_UNIX path too long"

    run(main())


def test_a_stale_socket_is_removed(run, tmp_path):
    path = str(tmp_path / "stale")
    with plain_socket(path, socket.AF_UNIX):
        pass
    assert os.path.exists(path)

    async def main():
        async with endpoint(local_addr=path, family=socket.AF_UNIX) as protocol:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
                peer.sendto(b"x", path)
            assert await protocol.wait_for(1) == [b"x"]

    run(main())
    assert os.path.exists(path)


def test_another_file_stays(run, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    exc = run(refused(local_addr=str(path), family=socket.AF_UNIX))
    assert exc.errno == errno.EADDRINUSE
    assert path.read_text() == "precious"


def test_a_path_that_can_not_be_looked_at(run, tmp_path, error_log):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "socket")
    exc = run(refused(local_addr=path, family=socket.AF_UNIX))
    assert isinstance(exc, NotADirectoryError)
    (message,) = error_log
    assert message.startswith(f"Unable to check or remove stale UNIX socket {path!r}: NotADirectoryError")
    error_log.clear()
