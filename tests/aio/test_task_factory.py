"""set_task_factory: what a factory is given."""

import asyncio
import contextvars

import pytest

from tests.support import settle


async def answer():
    return 42


class Recorder:
    """A task factory that notes how it was called."""

    def __init__(self, task_type):
        self.task_type = task_type
        self.calls = []

    def __call__(self, loop, coro, **kwargs):
        self.calls.append(kwargs)
        return self.task_type(coro, loop=loop, **kwargs)


def calls_of(loop, task_type, **kwargs):
    """The keywords that the loop's factory got for a create_task with these."""
    recorder = Recorder(task_type)
    loop.set_task_factory(recorder)

    async def main():
        task = loop.create_task(answer(), **kwargs)
        assert task.get_name() == kwargs.get("name", task.get_name())
        return await task

    task = task_type(main(), loop=loop)
    assert loop.run_until_complete(task) == 42
    loop.set_task_factory(None)
    return recorder.calls


@pytest.mark.parametrize("names", [(), ("name",), ("context",), ("name", "context")], ids=str)
def test_it_gets_what_the_user_gave(loop, impl, names):
    """No more, and in each version as asyncio's loop passes it: that loop is the model."""
    values = {"name": "a name", "context": contextvars.Context()}
    kwargs = {name: values[name] for name in names}
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        model = calls_of(runner.get_loop(), asyncio.Task, **kwargs)
    assert calls_of(loop, impl.Task, **kwargs) == model


def test_a_factory_that_takes_two_arguments(loop, impl, run):
    """The oldest kind."""
    loop.set_task_factory(lambda loop, coro: impl.Task(coro, loop=loop))

    async def main():
        return await asyncio.create_task(answer())

    assert run(main()) == 42


def test_get_and_set(loop):
    def factory(loop, coro):
        pass

    assert loop.get_task_factory() is None
    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    with pytest.raises(TypeError, match="task factory must be a callable or None"):
        loop.set_task_factory("factory")


def test_run_until_complete_uses_it(loop, impl):
    recorder = Recorder(impl.Task)
    loop.set_task_factory(recorder)
    assert loop.run_until_complete(answer()) == 42
    assert len(recorder.calls) == 1


def test_the_task_is_what_the_factory_returns(loop, run):
    class Foreign(asyncio.tasks._PyTask):
        pass

    loop.set_task_factory(lambda loop, coro, **kwargs: Foreign(coro, loop=loop, **kwargs))

    async def main():
        task = asyncio.create_task(answer())
        assert type(task) is Foreign
        gathered = await asyncio.gather(answer(), task)
        await settle()
        return gathered

    assert run(main()) == [42, 42]


def test_a_factory_that_raises(loop):
    def factory(loop, coro, **kwargs):
        coro.close()
        raise KeyError("no task")

    loop.set_task_factory(factory)
    with pytest.raises(KeyError, match="no task"):
        loop.create_task(answer())
    with pytest.raises(KeyError, match="no task"):
        loop.run_until_complete(answer())
