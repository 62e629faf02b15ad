"""get_extra_info and what else a transport tells about its socket."""

import asyncio
import socket

import pytest

from tests.support import settle

from .protocols import connected, with_raw_peer


def test_names(run):
    async def main():
        async with connected() as (client, server):
            mine, its = client.transport.get_extra_info, server.transport.get_extra_info
            assert mine("peername") == its("sockname")
            assert mine("sockname") == its("peername")
            assert mine("sockname")[0] == "127.0.0.1"
            assert mine("no such name") is None
            assert mine("no such name", "default") == "default"

    run(main())


def test_names_are_kept_after_the_end(run):
    async def main():
        async with connected() as (client, _):
            before = client.transport.get_extra_info("peername")
            client.transport.close()
            await client.lost
            return before == client.transport.get_extra_info("peername") != None  # noqa: E711

    assert run(main()) is True


def test_the_socket(run):
    async def main():
        async with connected() as (client, server):
            for end in (client, server):
                sock = end.transport.get_extra_info("socket")
                assert type(sock) is asyncio.trsock.TransportSocket
                assert sock.family == socket.AF_INET
                assert sock.type == socket.SOCK_STREAM
                assert sock.fileno() >= 0
                assert sock.gettimeout() == 0
                assert sock.getsockname() == end.transport.get_extra_info("sockname")
                assert not hasattr(sock, "recv") and not hasattr(sock, "close")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

    run(main())


def test_no_delay_is_set(run):
    """Small messages are not held back."""

    async def main():
        async with connected() as (client, server):
            return [
                end.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
                for end in (client, server)
            ]

    assert run(main()) == [True, True]


def test_the_socket_can_be_shut_down(run):
    async def main():
        async with connected() as (client, server):
            client.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await asyncio.wait_for(server.lost, 5)
            return server.calls

    assert run(main()) == ["made", "eof", ("lost", None)]


def test_unix_sockets(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            info = protocol.transport.get_extra_info
            return info("socket").family, info("sockname"), info("peername")

    assert run(main()) == (socket.AF_UNIX, "", "")


@pytest.mark.parametrize("direction", ["reader", "writer"])
def test_the_descriptor_belongs_to_the_transport(loop, run, direction):
    async def main():
        async with connected() as (client, server):
            sock = client.transport.get_extra_info("socket")
            for name in (sock, sock.fileno()):
                for call in (getattr(loop, f"add_{direction}"),):
                    with pytest.raises(RuntimeError, match=r"is used by transport <"):
                        call(name, int)
                with pytest.raises(RuntimeError, match=r"is used by transport <"):
                    getattr(loop, f"remove_{direction}")(name)
            server.transport.write(b"undisturbed")
            return await client.wait_for_data(11)

    assert run(main()) == b"undisturbed"


def test_the_descriptor_is_free_once_the_transport_closes(loop, run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            fd = protocol.transport.get_extra_info("socket").fileno()
            protocol.transport.close()
            await protocol.lost
            await settle()
            return loop.remove_reader(fd), loop.remove_writer(fd)

    assert run(main()) == (False, False)


def test_get_and_set_protocol(run):
    async def main():
        async with with_raw_peer() as (protocol, _):
            assert protocol.transport.get_protocol() is protocol
            other = asyncio.Protocol()
            protocol.transport.set_protocol(other)
            assert protocol.transport.get_protocol() is other
            protocol.transport.set_protocol(protocol)

    run(main())


def test_small_writes_do_not_wait_on_a_listener_of_the_default_protocol(impl, run):
    """asyncio lets them wait there: it looks for IPPROTO_TCP, which socket.socket() does not name."""
    if impl.name == "asyncio":
        pytest.skip("asyncio sets no TCP_NODELAY there")

    async def main():
        loop = asyncio.get_running_loop()
        found = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                sock = transport.get_extra_info("socket")
                found.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        server = await loop.create_server(Server, sock=listener)
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        try:
            return await found
        finally:
            transport.close()
            server.close()
            await server.wait_closed()

    assert run(main()) == 1
