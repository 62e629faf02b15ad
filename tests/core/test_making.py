"""A loop, or a transport, that can't be made whole: nobody sees the half of it."""

import asyncio
import gc
import signal
import socket
import ssl
import subprocess
import sys

import pytest

from tests.support import ROOT

try:
    import _testcapi
except ImportError:
    _testcapi = None

needs_testcapi = pytest.mark.skipif(_testcapi is None, reason="allocations fail by _testcapi only")

FEW_DESCRIPTORS = """
import importlib, os, resource, sys
module = importlib.import_module(sys.argv[1])
module.new_event_loop().close()

class Curious(type(module.new_event_loop())):
    def __del__(self):
        if sys.argv[1] == "cloop":
            self._signal_handlers, self._ready, self._asyncgens
            self.close()

def opened():
    return sorted(os.listdir("/proc/self/fd"))

import gc
gc.collect()
before = opened()
lowest = os.dup(0)
os.close(lowest)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for free in range(3):
    for kind in (module.new_event_loop, Curious):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
        try:
            loop = kind()
        except OSError as exc:
            assert exc.errno == 24, exc
        else:
            assert free > 1, free
            loop.close()
            del loop
        gc.collect()
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert opened() == before, (before, opened())
print("whole")
"""

NO_MEMORY = """
import asyncio, importlib, socket, sys, warnings
import _testcapi
module = importlib.import_module(sys.argv[1])
warnings.simplefilter("ignore")
sys.unraisablehook = lambda _: None
module.new_event_loop().close()

def fail_each(make, end, most):
    for only_one in (True, False):
        for n in range(1, most):
            result = None
            _testcapi.set_nomemory(n, n + 1 if only_one else 0)
            try:
                result = make()
            except Exception:
                pass  # a MemoryError as a rule, but without memory the interpreter errs as well
            finally:
                _testcapi.remove_mem_hooks()
            end(result)
"""

A_LOOP = """
def end(loop):
    if loop is not None:
        loop.close()

fail_each(module.new_event_loop, end, 120)
print("whole")
"""

AN_ACCEPTED_CONNECTION = """
import ssl
from cloop.transports.tls.accept import TlsAcceptor
loop = module.new_event_loop()
loop.set_exception_handler(lambda *_: None)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
listening = socket.socket()
acceptor = TlsAcceptor(loop, asyncio.Protocol, context, None, listening, None, None)
sockets = []

def pair():
    while sockets:
        sockets.pop().close()
    sockets.extend(socket.socketpair())
    sockets[0].setblocking(False)

def end(_):
    loop.call_soon(loop.stop)
    loop.run_forever()
    pair()

pair()
for debug in (False, True):
    loop.set_debug(debug)
    fail_each(lambda: acceptor(sockets[0], "peer", None, False), end, 60)
print("whole")
"""

A_LIST_THAT_GROWS = """
from cloop.api.spawn import Order
items = [bytes([letter]) * 30 for letter in range(65, 90)]
counts = [sys.getrefcount(item) for item in items]
fail_each(lambda: Order(items, None, False, None, {}), lambda order: None, 60)
assert [sys.getrefcount(item) for item in items] == counts
print("whole")
"""


def run_child(program: str, name: str) -> str:
    """What a child prints; it must not crash."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program, name], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, (
        signal.Signals(-done.returncode) if done.returncode < 0 else "",
        done.stderr,
    )
    return done.stdout.strip()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_loop_without_descriptors(impl):
    assert run_child(FEW_DESCRIPTORS, impl.name) == "whole"


@needs_testcapi
def test_a_loop_without_memory():
    assert run_child(NO_MEMORY + A_LOOP, "cloop") == "whole"


@needs_testcapi
def test_an_accepted_connection_without_memory():
    assert run_child(NO_MEMORY + AN_ACCEPTED_CONNECTION, "cloop") == "whole"


@needs_testcapi
def test_a_list_without_memory_to_grow():
    """What could not be appended loses no reference too many."""
    pytest.importorskip("cloop.api.spawn")
    assert run_child(NO_MEMORY + A_LIST_THAT_GROWS, "cloop") == "whole"


# ---- What is being made


def found(name: str) -> list[object]:
    return [each for each in gc.get_objects() if type(each).__name__ == name]


def test_the_collector_does_not_show_a_transport_that_is_being_made(impl, loop):
    if not impl.is_cloop:
        pytest.skip("Python's objects are seen from the start, and harmless")
    seen = []

    class Curious(socket.socket):
        def fileno(self):
            seen.extend(found("StreamTransport"))
            return super().fileno()

    ours, theirs = socket.socketpair()
    with theirs, Curious(fileno=ours.detach()) as sock:
        sock.setblocking(False)
        assert not found("StreamTransport")
        transport = loop._make_socket_transport(sock, Quiet())
        assert seen == []
        assert found("StreamTransport") == [transport]
        transport.abort()
        loop.run_until_complete(one_turn())


class Quiet:
    def connection_made(self, transport):
        pass

    def connection_lost(self, exc):
        pass


async def one_turn():
    pass


def test_the_collector_does_not_show_a_tls_transport_that_is_being_made(impl, loop):
    if not impl.is_cloop:
        pytest.skip("Python's objects are seen from the start, and harmless")
    from cloop.transports.tls.transport import TlsTransport

    seen = []

    class Curious(ssl.SSLContext):
        def wrap_bio(self, *args, **kwargs):
            seen.extend([*found("_SSLProtocolTransport"), *found("TlsMachine")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        TlsTransport(loop, Quiet(), Curious(ssl.PROTOCOL_TLS_SERVER), server_side=True)
    assert seen == []


# ---- What is of no use, and does no harm


def test_nothing_is_taken_for_something(impl, loop):
    if not impl.is_cloop:
        pytest.skip("about what is cloop's own")
    from cloop.aio.bridge import Bridge
    from cloop.aio.latch import Latch
    from cloop.api.spawn import Order
    from cloop.core.reactor import Reactor

    with pytest.raises(AttributeError):
        loop._add_callback(None)
    with pytest.raises(TypeError):
        Latch(None, [], "ALL_COMPLETED")
    with pytest.raises(TypeError, match="no use by itself"):
        Reactor()
    with pytest.raises(IndexError):
        Order([], None, False, None, None)
    assert Bridge()(None) is None


def test_a_coroutine_of_a_stream_knows_its_own_kind(impl, loop):
    """As one of the interpreter's."""

    async def main():
        from cloop.api.streamio import StreamReader

        kind = StreamReader if impl.is_cloop else asyncio.StreamReader
        call = kind(loop=loop).read(5)
        for name in ("close", "send", "throw"):
            with pytest.raises(TypeError):
                getattr(type(call), name)([])
        call.close()

    loop.run_until_complete(main())
