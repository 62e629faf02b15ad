"""Methods that a subclass or an instance has in the place of the loop's: the engine calls them."""

import asyncio
import socket
import threading

import pytest

from tests.support import running_thread, wait_until


def complete_in_thread(loop):
    """A future that a thread completes after it was made. (Before, from 3.14 on, that needs no call.)"""
    made = threading.Event()
    future = loop.run_in_executor(None, made.wait)
    made.set()
    return future


# A method, and what is to go through it.
USES = {
    # By what is made meanwhile: cloop's tasks and futures look when they are made.
    "call_soon": lambda loop: loop.create_task(asyncio.sleep(0)),
    "call_at": lambda loop: asyncio.sleep(0.001),
    "call_later": lambda loop: asyncio.sleep(0.001),
    "call_soon_threadsafe": complete_in_thread,
    "create_task": lambda loop: asyncio.gather(asyncio.sleep(0)),
    "create_future": lambda loop: asyncio.sleep(0.001),
    "run_in_executor": lambda loop: asyncio.to_thread(int),
    "getaddrinfo": lambda loop: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("localhost", 0)),
    "time": lambda loop: asyncio.sleep(0.001),
}


@pytest.mark.parametrize("name", USES)
def test_of_an_instance(run, loop, name):
    original = getattr(loop, name)
    calls = []

    def noted(*args, **kwargs):
        calls.append(args)
        return original(*args, **kwargs)

    async def main():
        setattr(loop, name, noted)
        made = await USES[name](loop)
        assert calls
        delattr(loop, name)
        calls.clear()
        again = await USES[name](loop)
        assert not calls
        for endpoint in filter(None, (made, again)):
            if isinstance(endpoint, tuple):
                endpoint[0].close()
        await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize("name", USES)
def test_of_a_subclass(impl, name):
    calls = []

    def noted(self, *args, **kwargs):
        calls.append(args)
        return getattr(super(kind, self), name)(*args, **kwargs)

    kind = type("Own", (impl.loop_type,), {name: noted})

    async def main():
        calls.clear()
        made = await USES[name](asyncio.get_running_loop())
        if isinstance(made, tuple):
            made[0].close()
        assert calls

    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(main())


def test_call_later_passes_on_what_it_got(run, loop):
    """With the time that it has made of the delay."""
    original = loop.call_at
    calls, seen = [], []

    def call_at(*args, **kwargs):
        calls.append((args, kwargs))
        return original(*args, **kwargs)

    async def main():
        loop.call_at = call_at
        before = loop.time()
        handle = loop.call_later(0.001, seen.append, 1)
        (((when, *rest), kwargs),) = calls
        assert before + 0.001 <= when == handle.when()
        assert rest == [seen.append, 1]
        assert kwargs == {"context": None}
        await wait_until(lambda: seen == [1])

    run(main())


def test_a_callback_may_be_called_by_whoever_was_given_it(loop):
    """Outside of a turn, when the thread that ran the loop is gone."""
    given, lost = [], []

    class Noted(asyncio.Protocol):
        def connection_lost(self, error):
            lost.append(error)

    async def main(sock):
        transport, _ = await loop.create_connection(Noted, sock=sock)
        loop.call_soon = lambda callback, *args, context=None: given.append((callback, args))
        transport.abort()
        del loop.call_soon

    ours, theirs = socket.socketpair()
    with theirs:
        with running_thread(lambda: loop.run_until_complete(main(ours))):
            pass
        assert not lost
        for callback, args in given:
            callback(*args)
        assert lost == [None]
