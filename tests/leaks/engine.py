"""Handles, timers, descriptors, threads, signals, and loops themselves."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import threading

from tests.support import Implementation

from .scenarios import scenario


@scenario
async def handles(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    ran = []
    kept = [loop.call_soon(ran.append, object()) for _ in range(10)]
    loop.call_soon(ran.append, object()).cancel()
    loop.call_soon(functools.partial(ran.append), object())
    await asyncio.sleep(0)
    assert len(ran) == 11 and len(kept) == 10


@scenario
async def timers(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    ran = []
    for i in range(20):
        loop.call_later(i / 10000, ran.append, object())
        loop.call_later(1000, ran.append, object()).cancel()
    loop.call_at(loop.time() + 1000, ran.append, object())
    await asyncio.sleep(0.003)
    assert len(ran) == 20


@scenario
async def failing_callbacks(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.call_soon(int, "x")
    loop.call_later(0, int, "y")
    while len(reports) < 2:
        await asyncio.sleep(0)


@scenario
async def debug_mode(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.call_soon(len, ())
    loop.call_later(0, len, ())
    future = loop.create_future()
    task = loop.create_task(asyncio.sleep(0))
    assert repr(future) and repr(task)
    await task
    with contextlib.suppress(ValueError):
        raise ValueError
        raise ValueError


@scenario
async def descriptors(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        read, written = loop.create_future(), loop.create_future()
        loop.add_reader(left, lambda: read.done() or read.set_result(left.recv(10)))
        loop.add_writer(right, lambda: written.done() or written.set_result(right.send(b"x")))
        await asyncio.wait_for(asyncio.gather(read, written), 10)
        loop.add_reader(left, print, object())
        assert loop.remove_reader(left) and loop.remove_writer(right)
        assert not loop.remove_writer(left)


@scenario
async def threads(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    called = loop.create_future()
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(called.set_result, object()))
    thread.start()
    await called
    thread.join()
    assert await loop.run_in_executor(None, sum, (1, 2)) == 3
    assert await asyncio.to_thread(sum, (1, 2)) == 3
    with contextlib.suppress(ValueError):
        await asyncio.to_thread(int, "x")


@scenario
async def from_another_thread(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    found = loop.create_future()

    def ask() -> None:
        asked = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, object()), loop)
        result = asked.result(10)
        loop.call_soon_threadsafe(found.set_result, result)

    thread = threading.Thread(target=ask)
    thread.start()
    await found
    thread.join()


@scenario
async def signals(impl: Implementation) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(3):
        came = loop.create_future()
        loop.add_signal_handler(signal.SIGUSR1, came.set_result, object())
        os.kill(os.getpid(), signal.SIGUSR1)
        await came
    assert loop.remove_signal_handler(signal.SIGUSR1)
    loop.add_signal_handler(signal.SIGUSR2, print, object())


@scenario
def pending_at_close(impl: Implementation) -> None:
    loop = impl.new_event_loop()
    loop.call_soon(print, loop, object())
    loop.call_later(1000, print, loop, object())
    loop.create_future().add_done_callback(print)
    loop.close()


@scenario
def never_run(impl: Implementation) -> None:
    loop = impl.new_event_loop()
    loop.call_soon_threadsafe(print, loop)
    loop.close()


@scenario
def interrupted(impl: Implementation) -> None:
    loop = impl.new_event_loop()

    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    loop.call_soon(len, ())
    with contextlib.suppress(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@scenario
async def generators(impl: Implementation) -> None:
    async def numbers():
        for i in range(10):
            yield i
            await asyncio.sleep(0)

    async for i in numbers():
        if i == 3:
            break
    unfinished = numbers()
    assert await anext(unfinished) == 0
