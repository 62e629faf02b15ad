"""getaddrinfo and getnameinfo."""

import socket
import sys
import threading

import pytest

CASES = [
    ("127.0.0.1", 80, {}),
    ("127.0.0.1", "80", {}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM}),
    ("127.0.0.1", 80, {"type": socket.SOCK_DGRAM}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}),
    ("127.0.0.1", 80, {"family": socket.AF_INET, "type": socket.SOCK_STREAM}),
    ("127.0.0.1", None, {"type": socket.SOCK_STREAM}),
    ("127.0.0.1", "", {"type": socket.SOCK_STREAM}),
    ("0.0.0.0", 0, {"type": socket.SOCK_STREAM}),
    ("127.1", 80, {"type": socket.SOCK_STREAM}),
    ("0x7f.1", 80, {"type": socket.SOCK_STREAM}),
    (b"127.0.0.1", 80, {"type": socket.SOCK_STREAM}),
    ("::1", 80, {"type": socket.SOCK_STREAM}),
    ("::1", 80, {"type": socket.SOCK_STREAM, "family": socket.AF_INET6}),
    ("::ffff:127.0.0.1", 80, {"type": socket.SOCK_STREAM}),
    ("fe80::1%lo", 80, {"type": socket.SOCK_STREAM}),
    ("fe80::1%1", 80, {"type": socket.SOCK_STREAM}),
    ("::1", 80, {"type": socket.SOCK_STREAM, "family": socket.AF_INET}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM, "family": socket.AF_INET6}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_NUMERICHOST}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
    ("127.0.0.1", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_CANONNAME}),
    ("::", 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_V4MAPPED}),
    (None, 80, {"type": socket.SOCK_STREAM}),
    (None, 80, {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
    ("localhost", 80, {"type": socket.SOCK_STREAM}),
    ("127.0.0.1", "http", {"type": socket.SOCK_STREAM}),
    ("127.0.0.1", "no-such-service", {}),
    ("999.0.0.1", 80, {"flags": socket.AI_NUMERICHOST}),
    ("127.0.0.1%lo", 80, {"flags": socket.AI_NUMERICHOST}),
    (" 127.0.0.1", 80, {"flags": socket.AI_NUMERICHOST}),
    ("127.0.0.1 ", 80, {"flags": socket.AI_NUMERICHOST}),
    ("1.2.3", 80, {"flags": socket.AI_NUMERICHOST}),
    ("", 80, {"flags": socket.AI_NUMERICHOST}),
]


def outcome_of(function, *args, **kwargs):
    """What it returns, or the kind of what it raises."""
    try:
        return function(*args, **kwargs)
    except (OSError, UnicodeError) as error:
        return type(error), getattr(error, "errno", None)


@pytest.mark.parametrize(("host", "port", "kwargs"), CASES, ids=[str(case) for case in CASES])
def test_as_the_socket_module(loop, run, host, port, kwargs):
    model = outcome_of(socket.getaddrinfo, host, port, **kwargs)
    assert outcome_of(lambda: run(loop.getaddrinfo(host, port, **kwargs))) == model


def test_looked_up_when_called_and_not_in_the_loops_thread(loop, run, monkeypatch):
    """Tools replace socket.getaddrinfo, and it may take seconds."""
    calls = []

    def getaddrinfo(*args):
        calls.append((threading.get_ident(), args))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = run(loop.getaddrinfo("some.host", 80, type=socket.SOCK_STREAM))
    assert found[0][4] == ("192.0.2.7", 80)
    ((thread, args),) = calls
    assert thread != threading.get_ident()
    assert args[:2] == ("some.host", 80)


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("::1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICSERV),
    ],
    ids=str,
)
def test_getnameinfo(loop, run, address, flags):
    assert run(loop.getnameinfo(address, flags)) == socket.getnameinfo(address, flags)


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface has another name")
def test_getnameinfo_with_a_scope(loop, run):
    address = ("fe80::1", 80, 0, socket.if_nametoindex("lo"))
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    assert run(loop.getnameinfo(address, flags)) == ("fe80::1%lo", "80")


@pytest.mark.parametrize("wrong", ["127.0.0.1", ("127.0.0.1",), ("name", 80, "x")])
def test_getnameinfo_of_what_is_no_address(loop, run, wrong):
    with pytest.raises((TypeError, OSError, OverflowError)):
        run(loop.getnameinfo(wrong, 0))
