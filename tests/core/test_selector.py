"""`loop._selector`: what it tells, and a `select` of somebody's own, as that of a virtual clock."""

import asyncio
import functools
import selectors
import time
from unittest import mock

import pytest

from tests.support import run_turn, running_thread


class VirtualClock:
    """aiotools' way: the time-out is added to the clock, and not waited for."""

    def __init__(self, loop):
        self.loop = loop
        self.now = loop.time()

    def select(self, original, timeout):
        if timeout is None:
            return original(None)
        self.now += max(timeout, 0)
        return original(0)

    def patched(self):
        return (
            mock.patch.object(
                self.loop._selector, "select", functools.partial(self.select, self.loop._selector.select)
            ),
            mock.patch.object(self.loop, "time", lambda: self.now),
        )


def test_a_virtual_clock(loop, run):
    async def worker(seconds, done):
        await asyncio.sleep(seconds)
        done.append(seconds)

    async def main():
        done = []
        await asyncio.gather(*(worker(seconds, done) for seconds in (300, 5, 40)))
        return done

    clock = VirtualClock(loop)
    begin, virtual = time.monotonic(), loop.time()
    select, time_patch = clock.patched()
    with select, time_patch:
        assert run(main()) == [5, 40, 300]
        assert 299.9 < loop.time() - virtual < 301
    assert time.monotonic() - begin < 100
    # And then the time is as ever.
    before = time.monotonic()
    run(asyncio.sleep(0.01))
    assert time.monotonic() - before >= 0.01


def test_sockets_and_threads_under_a_virtual_clock(loop, run):
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return await loop.run_in_executor(None, lambda: "result")

    async def echo(reader, writer):
        writer.write(await reader.readexactly(5))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    select, time_patch = VirtualClock(loop).patched()
    with select, time_patch:
        assert run(main()) == "result"
    run(loop.shutdown_default_executor())


def test_select_is_called_once_in_a_turn_with_the_time_out(loop):
    timeouts = []
    original = loop._selector.select

    def select(timeout=None):
        timeouts.append(timeout)
        return original(timeout)

    loop._selector.select = select
    run_turn(loop)
    run_turn(loop)
    assert timeouts == [0, 0]
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert any(0 < timeout <= 0.001 for timeout in timeouts if timeout)
    del loop._selector.select
    before = len(timeouts)
    run_turn(loop)
    assert len(timeouts) == before


def test_without_a_time_out_where_nothing_is_scheduled(loop):
    timeouts = []
    original = loop._selector.select

    def select(timeout=None):
        timeouts.append(timeout)
        return original(timeout)

    loop._selector.select = select

    def stop():
        while None not in timeouts:
            time.sleep(0.001)
        loop.call_soon_threadsafe(loop.stop)

    with running_thread(stop):
        loop.run_forever()
    assert None in timeouts
    del loop._selector.select


def test_a_selector_of_somebodys_own(loop, pair):
    """One that wraps the loop's."""

    class Wrapper:
        def __init__(self, selector):
            self.wrapped = selector
            self.calls = 0

        def select(self, timeout=None):
            self.calls += 1
            return self.wrapped.select(timeout)

        def __getattr__(self, name):
            return getattr(self.wrapped, name)

    left, right = pair
    original = loop._selector
    loop._selector = wrapper = Wrapper(original)
    loop.add_reader(left, loop.stop)
    right.send(b"x")
    loop.run_forever()
    assert wrapper.calls > 0
    loop.remove_reader(left)
    loop._selector = original
    before = wrapper.calls
    run_turn(loop)
    assert wrapper.calls == before


def test_what_select_raises_ends_the_run(loop):
    def select(timeout=None):
        raise KeyError("select")

    loop._selector.select = select
    with pytest.raises(KeyError):
        loop.run_forever()
    del loop._selector.select
    run_turn(loop)


def test_select_tells_what_fired(loop, pair):
    left, right = pair
    loop.add_reader(left, int)
    right.send(b"x")
    ((key, events),) = loop._selector.select(1)
    assert (key.fd, events) == (left.fileno(), selectors.EVENT_READ)
    loop.remove_reader(left)
    loop._ready.clear()


def test_what_is_watched(loop, pair):
    left, _ = pair
    selector = loop._selector
    assert selector is loop._selector
    assert left.fileno() not in selector.get_map()
    with pytest.raises(KeyError):
        selector.get_key(left)
    loop.add_reader(left, int)
    loop.add_writer(left, print)
    key = selector.get_map()[left.fileno()]
    assert key == selector.get_key(left.fileno())
    assert (key.fd, key.events) == (left.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE)
    reader, writer = key.data
    assert (reader._callback, writer._callback) == (int, print)
    loop.remove_reader(left)
    assert selector.get_key(left).events == selectors.EVENT_WRITE
    loop.remove_writer(left)
    assert left.fileno() not in selector.get_map()
    assert selector.fileno() >= 0


def test_a_closed_loop_has_none(loop):
    selector = loop._selector
    loop.close()
    assert loop._selector is None
    if selector is not None:
        with pytest.raises((RuntimeError, ValueError, AttributeError, TypeError)):
            selector.select(0)
