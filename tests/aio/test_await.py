"""How the outcome of a future comes to who awaits it: by hand, by the interpreter, from C."""

import asyncio
import gc
import itertools
import traceback
import weakref

import pytest

from tests.support import PY312, PY314, collect_garbage


class Value:
    """Something that a weak reference may watch."""


def results():
    """Values that StopIteration, which carries them, treats specially, and others."""
    return [
        7,
        None,
        "value",
        (1, 2),
        (),
        ((1,),),
        StopIteration(3),
        KeyError("value"),
        KeyError,
        StopIteration,
    ]


def test_each_result_comes_as_it_is(loop, run):
    async def main():
        for value in results():
            future = loop.create_future()
            loop.call_soon(future.set_result, value)
            assert await future is value
            assert await future is value

    run(main())


@pytest.mark.parametrize("steps", [next, lambda iterator: iterator.send(None)], ids=["next", "send"])
def test_what_it_is_carried_by(future, steps):
    value = [1]
    future.set_result(value)
    kept = []
    for _ in range(3):
        with pytest.raises(StopIteration) as caught:
            steps(future.__await__())
        kept.append(caught.value)
        assert caught.value.value is value and caught.value.args == (value,)
    assert len(set(map(id, kept))) == 3 and all(each.value is value for each in kept)


def test_what_carried_one_result_carries_no_trace_of_it_to_the_next(loop, run):
    """Whoever changes the exception that he has caught changes it for himself."""

    async def main(value):
        future = loop.create_future()
        future.set_result(value)
        iterator = future.__await__()
        try:
            try:
                raise KeyError
            except KeyError as error:
                next(iterator)
                return error
        except StopIteration as stop:
            stop.note = value
            stop.add_note("a note") if PY312 else None
            return stop

    first, second = run(main(1)), run(main(2))
    assert first is not second
    assert (first.value, first.note) == (1, 1) and (second.value, second.note) == (2, 2)
    del first
    assert not hasattr(run(main(3)).__context__, "note")


def test_a_result_lives_no_longer_than_who_has_it(loop, run):
    async def main():
        future = loop.create_future()
        loop.call_soon(lambda to_end: to_end.set_result(Value()), future)
        watched = weakref.ref(await future)
        del future
        return watched

    watched = run(main())
    collect_garbage()
    assert watched() is None


def test_the_end_of_a_result_awaits_too(loop, run):
    """Code that runs where a result goes awaits other futures by hand."""
    seen = []

    class Last:
        def __del__(self):
            future = loop.create_future()
            future.set_result(("another", self.number))
            for value in future.__await__():
                raise AssertionError(value)
            try:
                next(future.__await__())
            except StopIteration as stop:
                seen.append(stop.value)

    async def main():
        for number in range(5):
            future = loop.create_future()
            value = Last()
            value.number = number
            future.set_result(value)
            del value
            await future
            del future
            gc.collect()

    run(main())
    assert seen == [("another", number) for number in range(5)]


def test_an_exception_comes_without_frames_of_the_loops(loop, run):
    """A traceback shows where it was awaited, and nothing that is not the program's."""

    async def fail():
        future = loop.create_future()
        loop.call_soon(future.set_exception, KeyError("it"))
        await future

    async def main():
        try:
            await fail()
        except KeyError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    assert run(main()) == ["main", "fail"]


def test_an_exception_that_is_there_already(loop, run):
    async def main():
        future = loop.create_future()
        future.set_exception(KeyError("it"))
        try:
            raise ValueError("before")
        except ValueError as before:
            try:
                await future
            except KeyError as error:
                assert error.__context__ is before
                return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    assert run(main()) == ["main"]


def thrown(iterator, *arguments):
    """What throw() raises."""
    with pytest.raises(BaseException) as caught:
        iterator.throw(*arguments)
    return caught.value


def test_throw(future):
    error = KeyError("it")
    assert thrown(future.__await__(), error) is error
    assert isinstance(thrown(future.__await__(), KeyError), KeyError)


@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
def test_throw_in_the_old_way(future):
    error = KeyError("it")
    assert thrown(future.__await__(), KeyError, error) is error
    assert thrown(future.__await__(), KeyError, "it").args == ("it",)
    assert thrown(future.__await__(), KeyError, (1, 2)).args == (1, 2)
    assert thrown(future.__await__(), KeyError, None, None).args == ()
    assert thrown(future.__await__(), error, None, None) is error


@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature:DeprecationWarning")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "throw expected at least 1 argument, got 0"),
        ((KeyError, None, None, None), "throw expected at most 3 arguments, got 4"),
        ((1,), "exceptions must be classes deriving BaseException or instances of such a class"),
        ((KeyError(), 1), "instance exception may not have a separate value"),
        ((KeyError, None, 1), "throw() third argument must be a traceback"),
    ],
)
def test_throw_with_what_it_does_not_take(future, arguments, message):
    error = thrown(future.__await__(), *arguments)
    assert type(error) is TypeError and str(error) == message


def test_throw_takes_no_keywords(future):
    with pytest.raises(TypeError, match="keyword"):
        future.__await__().throw(typ=KeyError())


def test_from_c(loop, run, future):
    """What drives it with PyIter_Send() or tp_iternext: asyncio's own task, functions of C, generators."""

    def generator():
        return (yield from future)

    async def main():
        loop.call_later(0, future.set_result, (1, 2))
        task = asyncio.Task(asyncio.wait_for(asyncio.shield(future), 10), loop=loop)
        assert await task == (1, 2)
        assert list(future) == list(itertools.chain(future)) == []
        with pytest.raises(StopIteration) as caught:
            generator().send(None)
        assert caught.value.value == (1, 2)

    run(main())


def test_after_its_end(future):
    """From 3.14 on it tells the outcome again."""
    iterator = future.__await__()
    future.set_result(1)
    found = []
    for _ in range(2):
        with pytest.raises(StopIteration) as caught:
            next(iterator)
        found.append(caught.value.value)
    assert found == [1, 1 if PY314 else None]
