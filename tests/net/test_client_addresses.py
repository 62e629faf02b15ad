"""create_connection: which addresses it tries, in which order, from where."""

import asyncio
import re
import socket
import ssl

import pytest

from tests.support import PY312, open_fds, settle, unused_port, wait_until

from .protocols import Recorder, drop, full_listener


@pytest.fixture
def tried(loop):
    """The addresses that create_connection tries, of which none works."""
    addresses = []

    async def refuse(sock, address):
        addresses.append(address)
        raise ConnectionRefusedError(f"no {address}")

    loop.sock_connect = refuse
    return addresses


V4 = [(f"127.0.0.{n}", 1) for n in range(1, 4)]
V6 = [(f"::{n}", 1, 0, 0) for n in range(1, 4)]


# ---- The order


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, [*V6, *V4]),
        ({"interleave": 0}, [*V6, *V4]),
        ({"interleave": 1}, [V6[0], V4[0], V6[1], V4[1], V6[2], V4[2]]),
        ({"interleave": 2}, [V6[0], V6[1], V4[0], V6[2], V4[1], V4[2]]),
        ({"happy_eyeballs_delay": 1}, [V6[0], V4[0], V6[1], V4[1], V6[2], V4[2]]),
        ({"happy_eyeballs_delay": 1, "interleave": 0}, [*V6, *V4]),
    ],
    ids=str,
)
def test_the_order(loop, run, resolves_to, tried, kwargs, expected):
    resolves_to(*V6, *V4)
    with pytest.raises(OSError, match=r"^Multiple exceptions: ") as caught:
        run(loop.create_connection(Recorder, "some.host", 1, **kwargs))
    assert tried == expected
    assert str(caught.value) == "Multiple exceptions: " + ", ".join(f"no {each}" for each in expected)


@pytest.mark.skipif(not PY312, reason="all_errors is new in 3.12")
@pytest.mark.parametrize("delay", [None, 0.001])
def test_all_errors(loop, run, resolves_to, tried, delay):
    resolves_to(*V4)
    with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
        run(loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=delay, all_errors=True))
    assert [str(error) for error in caught.value.exceptions] == [f"no {each}" for each in V4]


def test_a_race_of_equal_errors(loop, run, resolves_to):
    port = unused_port()
    resolves_to(("127.0.0.1", port), ("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError, match=r"Connect call failed \('127\.0\.0\.1', \d+\)"):
        run(loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=0.001))


def test_another_error_than_oserror_ends_it(loop, run, resolves_to):
    resolves_to(*V4)
    tried = []

    async def fail(sock, address):
        tried.append((sock, address))
        raise ZeroDivisionError

    loop.sock_connect = fail
    with pytest.raises(ZeroDivisionError):
        run(loop.create_connection(Recorder, "host", 1))
    ((sock, _),) = tried
    assert sock.fileno() == -1


def test_a_family_that_the_system_lacks_is_passed_over(loop, run, echo_server, monkeypatch):
    def getaddrinfo(*args, **kwargs):
        return [
            (12345, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", echo_server),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        _, protocol = await loop.create_connection(Recorder, "host", 1)
        await drop(protocol)
        await asyncio.sleep(0.002)
        return protocol.transport.get_extra_info("peername")

    assert run(main()) == echo_server


# ---- Cancelled


@pytest.mark.parametrize("delay", [None, 0.001])
def test_cancelled_while_it_tries(loop, run, resolves_to, delay):
    """Every socket of the race is closed, at once."""
    with full_listener() as address:
        resolves_to(address, address, address)

        async def main():
            before = set(open_fds())
            task = asyncio.create_task(
                loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=delay)
            )
            count = 1 if delay is None else 3
            await wait_until(lambda: len(set(open_fds()) - before) == count)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settle()
            return set(open_fds()) - before

        assert run(main()) == set()


def test_the_losers_of_a_race_are_closed(loop, run, echo_server, resolves_to):
    with full_listener() as address:
        resolves_to(address, address, echo_server)

        async def main():
            before = set(open_fds())
            _, protocol = await loop.create_connection(Recorder, "host", 1, happy_eyeballs_delay=0.001)
            opened = set(open_fds()) - before
            await drop(protocol)
            await asyncio.sleep(0.002)
            # The two ends of the connection.
            return len(opened)

        assert run(asyncio.wait_for(main(), 5)) <= 2


def test_cancelled_while_it_looks_up(loop, run):
    async def never(*args, **kwargs):
        await asyncio.sleep(60)

    loop.getaddrinfo = never

    async def main():
        task = asyncio.create_task(loop.create_connection(Recorder, "host", 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


# ---- Hosts and ports


def test_no_host_is_this_machine(loop, run, echo_server):
    async def main():
        _, protocol = await loop.create_connection(Recorder, None, echo_server[1], family=socket.AF_INET)
        await drop(protocol)
        await asyncio.sleep(0.002)
        return protocol.transport.get_extra_info("peername")

    assert run(main()) == echo_server


def test_a_scope_is_kept(loop, run, tried):
    index, name = socket.if_nameindex()[0]
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_connection(Recorder, f"fe80::1%{name}", 80))
    assert tried == [("fe80::1", 80, 0, index)]


@pytest.mark.parametrize("port", ["80", b"80", 80])
def test_kinds_of_ports(loop, run, tried, port):
    with pytest.raises(ConnectionRefusedError):
        run(loop.create_connection(Recorder, "127.0.0.1", port))
    assert tried == [("127.0.0.1", 80)]


def test_flags_and_family_reach_the_look_up(loop, run, monkeypatch):
    calls = []

    def getaddrinfo(*args, **kwargs):
        calls.append(args)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    kwargs = {"family": socket.AF_INET, "proto": socket.IPPROTO_TCP, "flags": socket.AI_NUMERICHOST}
    with pytest.raises(OSError, match=r"^getaddrinfo\(\) returned empty list$"):
        run(loop.create_connection(Recorder, "host", 1, **kwargs))
    assert calls == [
        ("host", 1, socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_NUMERICHOST)
    ]


# ---- local_addr


def test_a_local_port_alone(loop, run, echo_server):
    async def main():
        port = unused_port()
        _, protocol = await loop.create_connection(Recorder, *echo_server, local_addr=(None, port))
        await drop(protocol)
        await asyncio.sleep(0.002)
        return protocol.transport.get_extra_info("sockname") == ("127.0.0.1", port)

    assert run(main()) is True


def test_a_local_address_of_another_family(loop, run, echo_server):
    with pytest.raises(OSError, match=r"^no matching local address with family=.*AF_INET.* found$"):
        run(loop.create_connection(Recorder, *echo_server, local_addr=("::1", 0)))


def test_the_next_local_address_where_the_first_is_taken(loop, run, echo_server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = unused_port()
        real = socket.getaddrinfo

        def getaddrinfo(host, *args, **kwargs):
            if host == "here":
                return [
                    (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
                    for address in (taken.getsockname(), ("127.0.0.1", port))
                ]
            return real(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

        async def main():
            _, protocol = await loop.create_connection(Recorder, *echo_server, local_addr=("here", 0))
            await drop(protocol)
            await asyncio.sleep(0.002)
            return protocol.transport.get_extra_info("sockname") == ("127.0.0.1", port)

        assert run(main()) is True


def test_no_local_address_can_be_had(loop, run, echo_server):
    """The text has the address and what bind() said; its socket is closed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        text = f"error while attempting to bind on address {address!r}: "
        with pytest.raises(OSError, match=re.escape(text) + ".*address already in use"):
            run(loop.create_connection(Recorder, *echo_server, local_addr=address))


# ---- The name for TLS


@pytest.mark.parametrize("kwargs", [{"host": "", "port": 1}, {"host": None, "port": 1}], ids=str)
def test_tls_needs_a_name(loop, run, kwargs):
    with pytest.raises(ValueError, match=r"^You must set server_hostname when using ssl without a host$"):
        run(loop.create_connection(Recorder, ssl=True, **kwargs))


def test_tls_over_a_socket_needs_a_name(loop, run):
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(ValueError, match=r"^You must set server_hostname when using ssl without a host$"):
            run(loop.create_connection(Recorder, sock=left, ssl=ssl.create_default_context()))
        assert left.fileno() >= 0
