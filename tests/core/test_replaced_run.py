"""asyncio.Handle._run replaced, as by tools that report what is slow: each callback goes through it."""

import asyncio
import contextlib
import contextvars
import subprocess
import sys
import threading

import pytest

from tests.support import run_for, run_turn

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
