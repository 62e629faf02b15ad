"""asyncio.Handle._run replaced, as by tools that report what is slow: each callback goes through it."""

import asyncio
import contextlib
import contextvars
import subprocess
import sys
import textwrap
import threading
import types

import pytest

from tests.support import run_for, run_turn
from tests.system.processes import run_python

variable = contextvars.ContextVar("variable", default="default")


@contextlib.contextmanager
def recorded():
    """The handles that are run by asyncio's Handle._run meanwhile."""
    handles = []
    original = asyncio.events.Handle._run

    def run(self):
        handles.append((self, self._callback, self._args))
        return original(self)

    asyncio.events.Handle._run = run
    try:
        yield handles
    finally:
        asyncio.events.Handle._run = original


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("schedule", ["call_soon", "call_soon_threadsafe", "call_later"])
def test_callbacks(loop, schedule, debug):
    loop.set_debug(debug)
    seen = []
    with recorded() as handles:
        arguments = (0, seen.append, 1) if schedule == "call_later" else (seen.append, 1)
        handle = getattr(loop, schedule)(*arguments)
        run_for(loop, 0.001)
    assert seen == [1]
    assert [entry for entry in handles if entry[0] is handle] == [(handle, seen.append, (1,))]
    run_turn(loop)
    before = len(handles)
    run_turn(loop)
    assert len(handles) == before


def test_what_is_cancelled_is_not_run(loop):
    with recorded() as handles:
        handle = loop.call_soon(int)
        handle.cancel()
        run_turn(loop)
    assert handle not in [entry[0] for entry in handles]


def test_the_steps_of_a_task(loop, run):
    """Tools look for the task in the callback's `__self__`."""

    async def main():
        variable.set("set")
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert variable.get() == "set"
        return asyncio.current_task()

    with recorded() as handles:
        task = run(main())
    steps = [entry for entry in handles if getattr(entry[1], "__self__", None) is task]
    assert len(steps) >= 3
    assert all(isinstance(handle, asyncio.Handle) for handle, _, _ in handles)
    assert variable.get() == "default"


def test_connections_and_executors_meanwhile(loop, run):
    async def echo(reader, writer):
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        thread = await asyncio.to_thread(threading.get_ident)
        assert thread != threading.get_ident()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('child')", stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        await loop.shutdown_default_executor()
        return output

    with recorded() as handles:
        assert run(main()) == b"child\n"
    assert handles


def test_an_error_of_the_callback(loop, reports):
    with recorded():
        handle = loop.call_soon(int, "no number")
        run_turn(loop)
    report = reports.take_one()
    assert report["handle"] is handle
    assert isinstance(report["exception"], ValueError)
    assert report["message"].startswith("Exception in callback ")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_run(loop, kind):
    def callback():
        raise kind

    with recorded():
        loop.call_soon(callback)
        with pytest.raises(kind):
            loop.run_forever()
    run_turn(loop)


def test_replaced_and_given_back_by_a_callback(loop):
    """While the turn goes on."""
    original = asyncio.events.Handle._run
    handles = []

    def run(self):
        handles.append(self)
        original(self)

    try:
        loop.call_soon(setattr, asyncio.events.Handle, "_run", run)
        run_turn(loop)
        handles.clear()
        handle = loop.call_soon(int)
        run_turn(loop)
        assert handle in handles
        loop.call_soon(setattr, asyncio.events.Handle, "_run", original)
        run_turn(loop)
    finally:
        asyncio.events.Handle._run = original
    handles.clear()
    loop.call_soon(int)
    run_turn(loop)
    assert handles == []


def test_timers_have_a_method_of_their_own(loop):
    original = asyncio.events.Handle._run
    handles = []

    def run(self):
        handles.append(self)
        original(self)

    asyncio.events.TimerHandle._run = run
    try:
        other = loop.call_soon(int)
        timer = loop.call_later(0, int)
        run_for(loop, 0.001)
    finally:
        del asyncio.events.TimerHandle._run
    assert timer in handles
    assert other not in handles


# ---- By what is no plain function, and otherwise


class Proxy:
    """As of wrapt and others: it passes on what is asked of the function, and binds as one."""

    def __init__(self, function, handles):
        self.function = function
        self.handles = handles

    def __getattr__(self, name):
        return getattr(self.function, name)

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, handle):
        self.handles.append(handle)
        return self.function(handle)


def test_by_an_object_that_passes_attributes_on(loop, monkeypatch):
    handles = []
    with monkeypatch.context() as patch:
        proxy = Proxy(asyncio.Handle._run, handles)
        assert proxy.__globals__ is vars(asyncio.events)
        patch.setattr(asyncio.Handle, "_run", proxy)
        scheduled = loop.call_soon(int)
        timer = loop.call_later(0, int)
        run_for(loop, 0.001)
    assert scheduled in handles
    assert timer in handles
    handles.clear()
    loop.call_soon(int)
    run_turn(loop)
    assert handles == []


def test_by_wrapt(loop, monkeypatch):
    wrapt = pytest.importorskip("wrapt")
    handles = []

    def wrapper(wrapped, instance, args, kwargs):
        handles.append(instance)
        return wrapped(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", wrapt.FunctionWrapper(asyncio.Handle._run, wrapper))
        scheduled = loop.call_soon(int)
        run_turn(loop)
    assert scheduled in handles


def test_by_other_code_in_the_same_function(loop):
    """The class does not change then."""
    function = asyncio.Handle._run
    original = function.__code__
    handles = function.handles = []

    def run(self):
        Handle._run.handles.append(self)  # noqa: F821  # its globals are those of asyncio's module
        self._context.run(self._callback, *self._args)

    try:
        run_turn(loop)
        function.__code__ = run.__code__
        first = loop.call_soon(int)
        run_turn(loop)
        assert first in handles
        function.__code__ = original
        handles.clear()
        loop.call_soon(int)
        run_turn(loop)
        assert handles == []
        function.__code__ = run.__code__
        again = loop.call_soon(int)
        run_turn(loop)
        assert again in handles
    finally:
        function.__code__ = original
        del function.handles


REPLACED_FIRST = """
    import asyncio, sys
    original = asyncio.Handle._run
    handles = []

    class Proxy:
        def __getattr__(self, name):
            return getattr(original, name)

        def __get__(self, instance, owner=None):
            return self if instance is None else lambda: self(instance)

        def __call__(self, handle):
            handles.append(handle)
            original(handle)

    asyncio.Handle._run = Proxy()
    import cloop

    def turn(loop):
        handles.clear()
        loop.call_soon(int)
        loop.call_soon(loop.stop)
        loop.run_forever()
        return len(handles)

    loop = {}.new_event_loop()
    counts = [turn(loop)]
    asyncio.Handle._run = original
    counts.append(turn(loop))
    asyncio.Handle._run = Proxy()
    counts.append(turn(loop))
    loop.close()
    print(*counts)
"""


def test_before_cloop_was_imported(impl, tmp_path):
    program = textwrap.dedent(REPLACED_FIRST).format(impl.name)
    assert run_python("-W", "ignore", "-c", program, cwd=tmp_path).stdout == "2 0 2\n"
