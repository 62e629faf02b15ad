"""getaddrinfo and getnameinfo."""

import asyncio
import logging
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import PATIENCE

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


@pytest.fixture
def look_ups(monkeypatch):
    """The hosts that were looked up; they are all 127.0.0.1 or ::1."""
    hosts = []
    real = socket.getaddrinfo

    def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
        hosts.append(host)
        return real("::1" if family == socket.AF_INET6 else "127.0.0.1", port, family, type, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return hosts


@pytest.fixture(params=["127.0.0.1", "::1"])
def serving(request):
    """A listening socket of each family."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as sock:
        yield sock


def connect(loop, run, serving, address):
    with socket.socket(serving.family) as sock:
        sock.setblocking(False)
        run(loop.sock_connect(sock, address))
        return sock.getpeername()


def test_addresses_need_no_look_up(loop, run, serving, look_ups):
    address = serving.getsockname()
    assert connect(loop, run, serving, address) == address
    assert connect(loop, run, serving, address[:2]) == address
    assert look_ups == []


def test_names_and_scopes_are_looked_up(loop, run, serving, look_ups):
    address = serving.getsockname()
    for host in ("some.host", "::1%lo", "127.1"):
        assert connect(loop, run, serving, (host, address[1])) == address
    assert look_ups == ["some.host", "::1%lo", "127.1"]


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface has another name")
def test_a_scope_reaches_the_kernel(loop, run):
    """By name and by number: a link-local address of the loopback interface, which it lacks."""
    index = socket.if_nametoindex("lo")
    for address in (("fe80::1%lo", 9), (f"fe80::1%{index}", 9), ("fe80::1", 9, 0, index)):
        with socket.socket(socket.AF_INET6) as sock:
            sock.setblocking(False)
            with pytest.raises(OSError) as model:
                sock.connect(("fe80::1", 9, 0, index))
            with pytest.raises(OSError) as caught:
                run(loop.sock_connect(sock, address))
        if not isinstance(model.value, BlockingIOError):
            assert caught.value.errno == model.value.errno


def test_a_name_that_does_not_exist(loop, run, monkeypatch):
    def getaddrinfo(*args):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with socket.socket() as sock:
        sock.setblocking(False)
        for call in (loop.sock_connect(sock, ("some.host", 80)), loop.getaddrinfo("some.host", 80)):
            with pytest.raises(socket.gaierror) as caught:
                run(call)
            assert caught.value.errno == socket.EAI_NONAME


def test_the_default_executor_looks_up(loop, run):
    with ThreadPoolExecutor(1, thread_name_prefix="names") as executor:
        loop.set_default_executor(executor)
        seen = []

        class Host(str):
            __slots__ = ()

            def encode(self, *args):
                seen.append(threading.current_thread().name)
                return super().encode(*args)

        run(loop.getaddrinfo(Host("127.0.0.1"), 80))
        run(loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST))
    assert seen and all(name.startswith("names") for name in seen)


def test_a_look_up_that_is_cancelled(loop, run, monkeypatch):
    started, go_on = threading.Event(), threading.Event()

    def getaddrinfo(*args):
        started.set()
        go_on.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        task = asyncio.ensure_future(loop.getaddrinfo("some.host", 80))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    run(main())
    run(loop.shutdown_default_executor())


@pytest.mark.parametrize(("slow", "level"), [(10, logging.DEBUG), (0, logging.INFO)])
def test_debug_mode_logs_look_ups(loop, run, caplog, slow, level):
    caplog.set_level(logging.DEBUG, "asyncio")
    loop.set_debug(True)
    loop.slow_callback_duration = slow
    run(loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    logged = [record for record in caplog.records if "ddress info" in record.getMessage()]
    begin, end = logged
    call = f"127.0.0.1:80, type={socket.SOCK_STREAM!r}, flags={socket.AI_PASSIVE!r}"
    assert begin.getMessage() == f"Get address info {call}"
    assert end.getMessage().startswith(f"Getting address info {call} took ")
    assert (begin.levelno, end.levelno) == (logging.DEBUG, level)


# ---- Threads of their own


@pytest.fixture
def slow_jobs(impl, loop):
    """A default executor whose threads all wait."""
    if not impl.is_cloop:
        pytest.skip("asyncio looks names up once a job is over, which may be never")
    over = threading.Event()
    for _ in range(100):
        loop.run_in_executor(None, over.wait)
    yield over
    over.set()
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize("debug", [True, False])
def test_slow_jobs_do_not_keep_names_from_being_looked_up(slow_jobs, loop, run, debug):
    loop.set_debug(debug)
    loop.slow_callback_duration = 100
    found = run(asyncio.wait_for(loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM), PATIENCE))
    assert found
    assert run(asyncio.wait_for(loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST), PATIENCE))


def test_the_threads_end_with_the_executor(loop, run):
    before = set(threading.enumerate())
    run(loop.getaddrinfo("localhost", 80))
    assert set(threading.enumerate()) - before
    run(loop.shutdown_default_executor())
    assert not set(threading.enumerate()) - before
    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        run(loop.getaddrinfo("localhost", 80))


def test_the_threads_end_with_the_loop(impl):
    before = set(threading.enumerate())
    loop = impl.new_event_loop()
    loop.run_until_complete(loop.getaddrinfo("localhost", 80))
    made = set(threading.enumerate()) - before
    assert made
    loop.close()
    for thread in made:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_default_executor_that_is_set_later_looks_up_too(loop, run):
    run(loop.getaddrinfo("localhost", 80))
    before = set(threading.enumerate())
    with ThreadPoolExecutor(1, thread_name_prefix="set-later") as executor:
        loop.set_default_executor(executor)
        run(loop.getaddrinfo("localhost", 80))
        (made,) = set(threading.enumerate()) - before
        assert made.name.startswith("set-later")
        run(loop.shutdown_default_executor())


def test_few_threads_look_up(impl, loop, run, monkeypatch):
    """However many names are asked for."""
    if not impl.is_cloop:
        pytest.skip("asyncio has as many as the default executor")
    running, most = 0, 0
    lock = threading.Lock()

    def getaddrinfo(*args):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def main():
        await asyncio.gather(*(loop.getaddrinfo("some.host", 80) for _ in range(50)))

    run(main())
    assert 1 < most <= 8
    run(loop.shutdown_default_executor())
