"""Loops that are closed, dropped or forgotten."""

import asyncio
import gc
import os
import socket
import threading
import warnings
import weakref

import pytest

from tests.support import collect_garbage, open_fds, run_turn


class Payload:
    """Something to hold a weak reference to."""


def test_an_unclosed_loop_warns_and_frees_its_descriptors(impl):
    before = set(open_fds())
    loop = impl.new_event_loop()
    run_turn(loop)
    assert set(open_fds()) - before
    with pytest.warns(ResourceWarning, match="unclosed event loop") as caught:
        del loop
        collect_garbage()
    assert len(caught) == 1
    assert set(open_fds()) <= before


def test_a_loop_that_never_ran_warns_as_well(impl):
    before = set(open_fds())
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        impl.new_event_loop()
        collect_garbage()
    assert set(open_fds()) <= before


def test_a_closed_loop_does_not_warn(impl):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop = impl.new_event_loop()
        loop.close()
        del loop
        collect_garbage()


def prepare_call_soon(loop):
    loop.call_soon(print, loop)


def prepare_call_later(loop):
    loop.call_later(1000, print, loop)


def prepare_call_soon_threadsafe(loop):
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(print, loop))
    thread.start()
    thread.join()


def prepare_future(loop):
    future = loop.create_future()
    future.add_done_callback(lambda future: print(loop))
    future.set_result(loop)


def prepare_exception_handler(loop):
    loop.set_exception_handler(lambda other, context: print(loop))


def prepare_task_factory(loop):
    loop.set_task_factory(lambda other, coro, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))


def prepare_attribute(loop):
    loop.myself = loop


PREPARATIONS = [
    prepare_call_soon,
    prepare_call_later,
    prepare_call_soon_threadsafe,
    prepare_future,
    prepare_exception_handler,
    prepare_task_factory,
    prepare_attribute,
]


@pytest.mark.filterwarnings("ignore:unclosed event loop")
@pytest.mark.parametrize("prepare", PREPARATIONS)
def test_a_dropped_loop_is_collected_with_what_it_holds(impl, prepare):
    loop = impl.new_event_loop()
    payload = Payload()
    references = [weakref.ref(loop), weakref.ref(payload)]
    loop.call_soon(print, payload)
    loop.call_later(1000, print, payload)
    prepare(loop)
    del loop, payload
    collect_garbage()
    assert [reference() for reference in references] == [None, None]


def stop_with_callbacks(loop):
    loop.call_soon(id, loop)
    loop.stop()


@pytest.mark.filterwarnings("ignore:unclosed event loop")
@pytest.mark.parametrize("first, then", [(1, 1), (1, 1500), (1500, 1)])
@pytest.mark.parametrize("fill", [prepare_call_later, stop_with_callbacks], ids=lambda each: each.__name__)
def test_a_loop_that_was_stopped_is_collected_with_what_it_had_pending(impl, fill, first, then):
    """What a loop's callbacks have made, in one run or another."""
    loop = impl.new_event_loop()
    reference = weakref.ref(loop)
    for number in (first, then):
        for _ in range(number):
            loop.call_soon(fill, loop)
        loop.call_soon(loop.stop)
        loop.run_forever()
    del loop
    collect_garbage()
    assert reference() is None


@pytest.mark.filterwarnings("ignore:unclosed event loop")
def test_a_dropped_loop_with_a_reader_is_collected(impl, pair):
    loop = impl.new_event_loop()
    loop.add_reader(pair[0], print, loop)
    loop.add_writer(pair[1], print, loop)
    reference = weakref.ref(loop)
    del loop
    collect_garbage()
    assert reference() is None


@pytest.mark.parametrize("prepare", PREPARATIONS)
def test_closing_frees_what_waited(loop, prepare, pair):
    payload = Payload()
    reference = weakref.ref(payload)
    loop.call_soon(print, payload)
    loop.call_later(1000, print, payload)
    loop.add_reader(pair[0], print, payload)
    prepare(loop)
    loop.remove_reader(pair[0])
    del payload
    loop.close()
    collect_garbage()
    assert reference() is None


def test_closing_forgets_readers(loop, pair):
    payload = Payload()
    reference = weakref.ref(payload)
    loop.add_reader(pair[0], print, payload)
    loop.add_writer(pair[0], print, payload)
    del payload
    loop.close()
    collect_garbage()
    assert reference() is None


def test_many_loops_come_and_go(impl):
    before = set(open_fds())
    for _ in range(200):
        loop = impl.new_event_loop()
        run_turn(loop)
        loop.close()
    assert set(open_fds()) <= before


def test_tasks_are_freed_without_the_collector(loop):
    """A finished task or future is in no cycle, so that its objects go at once."""

    async def child(payload):
        await asyncio.sleep(0)
        return 1

    async def main():
        payload = Payload()
        reference = weakref.ref(payload)
        await loop.create_task(child(payload))
        del payload
        future = loop.create_future()
        loop.call_soon(future.set_result, Payload())
        second = weakref.ref(await future)
        del future
        await asyncio.sleep(0)
        return reference, second

    gc.disable()
    try:
        references = loop.run_until_complete(main())
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()


def test_descriptors_are_not_inherited(impl):
    """A child process must not get the loop's own descriptors."""
    before = set(open_fds())
    loop = impl.new_event_loop()
    run_turn(loop)
    opened = [int(fd) for fd in set(open_fds()) - before]
    assert opened and not any(os.get_inheritable(fd) for fd in opened)
    loop.close()


def test_pending_task_is_reported_when_dropped(loop, reports):
    async def wait():
        await loop.create_future()

    task = loop.create_task(wait())
    run_turn(loop)
    assert not task.done()
    del task
    collect_garbage()
    assert reports.take_one()["message"] == "Task was destroyed but it is pending!"


def test_sockets_of_the_user_stay_open(loop, pair):
    left, right = pair
    loop.add_reader(left, int)
    loop.close()
    right.send(b"x")
    assert left.recv(10) == b"x"
    assert isinstance(left, socket.socket)
