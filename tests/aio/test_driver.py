"""What a task may await, and what it is told when it awaits something else."""

import asyncio
import collections.abc
import re
import types

import pytest

from tests.support import settle


@types.coroutine
def yielding(value):
    return (yield value)


async def yields(value):
    return await yielding(value)


def test_yielding_none_gives_way(loop, run):
    seen = []

    async def main():
        loop.call_soon(seen.append, "turn")
        assert await yielding(None) is None
        return seen

    assert run(main()) == ["turn"]


@pytest.mark.parametrize("garbage", [1, "text", object(), (), True, KeyError("yielded")], ids=repr)
def test_yielding_garbage(loop, run, garbage):
    task = loop.create_task(yields(garbage), name="named")
    with pytest.raises(RuntimeError) as caught:
        run(task)
    assert str(caught.value) == f"Task got bad yield: {garbage!r}"


def test_yielding_a_generator(loop, run):
    def generator():
        yield

    each = generator()
    task = loop.create_task(yields(each))
    with pytest.raises(RuntimeError) as caught:
        run(task)
    text = str(caught.value)
    assert text.startswith("yield was used instead of yield from for generator in task <Task pending name=")
    assert text.endswith(f"with {each!r}")


def test_yielding_a_future_without_await(loop, run, future):
    task = loop.create_task(yields(future))
    with pytest.raises(RuntimeError) as caught:
        run(task)
    text = str(caught.value)
    assert text.startswith("yield was used instead of yield from in task <Task pending name=")
    assert text.endswith(f"with {future!r}")


def test_the_coroutine_can_catch_it_and_go_on(loop, run):
    async def main():
        with pytest.raises(RuntimeError, match="Task got bad yield: 1"):
            await yielding(1)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="Task got bad yield: 2"):
            await yielding(2)
        return "went on"

    assert run(main()) == "went on"


def test_awaiting_itself(loop, run):
    async def main():
        await task

    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task pending name="):
        run(task)


def test_a_future_of_another_loop(loop_factory):
    loop, other = loop_factory(), loop_factory()
    foreign = other.create_future()

    async def main():
        await foreign

    task = loop.create_task(main())
    with pytest.raises(RuntimeError) as caught:
        loop.run_until_complete(task)
    text = str(caught.value)
    assert re.match(r"Task <Task pending name='Task-\d+' coro=<.*main\(\) running at ", text)
    assert text.endswith(f"got Future {foreign!r} attached to a different loop")


def test_a_task_of_another_loop(loop_factory):
    loop, other = loop_factory(), loop_factory()
    foreign = other.create_task(asyncio.sleep(0))

    async def main():
        await foreign

    with pytest.raises(RuntimeError, match="attached to a different loop"):
        loop.run_until_complete(main())
    other.run_until_complete(foreign)


def test_generator_based_coroutines(loop, run):
    @types.coroutine
    def old_style(future):
        first = yield from future
        second = yield from asyncio.sleep(0, "slept").__await__()
        return first, second

    async def main():
        future = loop.create_future()
        loop.call_soon(future.set_result, "set")
        return await old_style(future)

    assert run(main()) == ("set", "slept")


def test_a_generator_as_the_tasks_own_coroutine(loop, run):
    """types.coroutine makes a generator that asyncio takes for a coroutine only when it is a Coroutine."""

    @types.coroutine
    def old_style():
        yield
        return "done"

    each = old_style()
    if not asyncio.iscoroutine(each):
        with pytest.raises(TypeError, match="a coroutine was expected"):
            loop.create_task(each)
        each.close()
    else:
        assert run(loop.create_task(each)) == "done"


class Coroutine(collections.abc.Coroutine):
    """A coroutine written as a class, as Cython's and others' are."""

    def __init__(self, future):
        self.future = future
        self.seen = []
        self.waiting = None

    def send(self, value):
        self.seen.append(("send", value))
        if self.waiting is None:
            self.waiting = self.future.__await__()
        try:
            return self.waiting.send(None)
        except StopIteration as stop:
            raise StopIteration(("returned", stop.value)) from None

    def throw(self, *error):
        self.seen.append(("throw", error))
        raise error[0]

    def close(self):
        self.seen.append(("close",))

    def __await__(self):
        return self


def test_a_coroutine_that_is_a_class(loop, run, future):
    coroutine = Coroutine(future)
    loop.call_soon(loop.call_soon, future.set_result, 1)
    task = loop.create_task(coroutine)
    assert run(task) == ("returned", 1)
    assert coroutine.seen == [("send", None), ("send", None)]


def test_throwing_into_a_coroutine_that_is_a_class(loop, run, future):
    coroutine = Coroutine(future)
    task = loop.create_task(coroutine)
    run(settle())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(task)
    assert coroutine.seen[0] == ("send", None)
    assert coroutine.seen[1][0] == "throw"


class Awaitable:
    def __init__(self, iterator):
        self.iterator = iterator

    def __await__(self):
        return self.iterator


def test_objects_with_await(loop, run, future):
    loop.call_soon(future.set_result, "future")

    async def main():
        return [
            await Awaitable(iter([])),
            await Awaitable(iter([None, None])),
            await Awaitable(future.__await__()),
            await Awaitable(asyncio.sleep(0, "sleep").__await__()),
        ]

    assert run(main()) == [None, None, "future", "sleep"]


def test_an_awaitable_as_a_task(loop, run):
    async def main():
        return await asyncio.ensure_future(Awaitable(asyncio.sleep(0, "slept").__await__()))

    assert run(main()) == "slept"


class ForeignFuture:
    """The least that asyncio takes for a future."""

    _asyncio_future_blocking = None

    def __init__(self, loop):
        self._loop = loop
        self._asyncio_future_blocking = False
        self.callbacks = []
        self.value = None

    def get_loop(self):
        return self._loop

    def add_done_callback(self, callback, *, context=None):
        self.callbacks.append((callback, context))

    def result(self):
        return self.value

    def cancel(self, msg=None):
        return False

    def set(self, value):
        self.value = value
        for callback, context in self.callbacks:
            self._loop.call_soon(callback, self, context=context)

    def __await__(self):
        self._asyncio_future_blocking = True
        yield self
        return self.value


def test_futures_of_others(loop, run):
    foreign = ForeignFuture(loop)

    async def main():
        loop.call_soon(foreign.set, "value")
        return await foreign

    assert asyncio.isfuture(foreign)
    assert run(main()) == "value"
    ((callback, context),) = foreign.callbacks
    assert callable(callback) and context is not None


def test_futures_of_others_fail(loop, run):
    class Failing(ForeignFuture):
        def result(self):
            raise KeyError("foreign")

    foreign = Failing(loop)

    async def main():
        loop.call_soon(foreign.set, None)
        await foreign

    async def catches():
        try:
            await main()
        except KeyError:
            return "caught"

    assert run(catches()) == "caught"


def test_a_coroutine_awaited_twice(run):
    async def main():
        coroutine = asyncio.sleep(0)
        await coroutine
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coroutine

    run(main())


def test_a_coroutine_driven_by_two_tasks(loop, run):
    async def main():
        coroutine = asyncio.sleep(0.001)
        tasks = [loop.create_task(coroutine) for _ in range(2)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = run(main())
    assert first is None
    assert isinstance(second, RuntimeError)


def test_async_context_managers_and_comprehensions(run):
    class Manager:
        async def __aenter__(self):
            await asyncio.sleep(0)
            return [number async for number in self.numbers()]

        async def __aexit__(self, *error):
            await asyncio.sleep(0)
            return True

        async def numbers(self):
            for number in range(3):
                await asyncio.sleep(0)
                yield number

    async def main():
        async with Manager() as numbers:
            seen.extend(numbers)
            raise KeyError("swallowed")
        return "after"

    seen = []
    assert run(main()) == "after"
    assert seen == [0, 1, 2]


def test_yielding_oneself(run):
    """As awaiting oneself: the same text, though nothing was awaited."""

    async def main():
        with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: "):
            await yielding(asyncio.current_task())

    run(main())
