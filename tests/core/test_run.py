"""cloop.run: asyncio.run, on cloop; what asyncio.run refuses is refused in the same words."""

import asyncio
import gc
import inspect
import types

import pytest

import cloop
from tests.support import PY312, PY314

RUNS = {"asyncio": asyncio.run, "cloop": cloop.run}


@pytest.fixture
def run_main(impl):
    """asyncio.run or cloop.run."""
    return RUNS[impl.name]


async def result_of_main():
    await asyncio.sleep(0)
    return "result"


async def debug_mode():
    return asyncio.get_running_loop().get_debug()


@types.coroutine
def generator_based():
    yield from asyncio.sleep(0).__await__()
    return "result"


class Awaitable:
    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return "result"


def outcome(call, *args, **kwargs):
    """What a call returns, or the type and the text of what it raises."""
    try:
        return call(*args, **kwargs)
    except Exception as exc:
        return type(exc), str(exc)


def test_result_and_error(run_main):
    async def fail():
        raise LookupError("raised")

    assert run_main(result_of_main()) == "result"
    with pytest.raises(LookupError, match="raised"):
        run_main(fail())


@pytest.mark.parametrize("debug", [True, False])
def test_debug_mode(run_main, debug):
    assert run_main(debug_mode(), debug=debug) is debug


@pytest.mark.parametrize("main", [None, 1, "main", result_of_main, asyncio.sleep, object], ids=str)
def test_what_is_not_awaitable(main):
    refused = outcome(asyncio.run, main)
    assert issubclass(refused[0], TypeError if PY314 else ValueError)
    assert outcome(cloop.run, main) == refused


def test_what_is_awaitable():
    """On every version, as of 3.14 by asyncio.run and ever since by uvloop.run."""
    assert cloop.run(Awaitable()) == "result"
    assert cloop.run(generator_based()) == "result"
    if PY314:
        assert asyncio.run(Awaitable()) == "result"


def test_a_future_of_another_loop():
    """It is awaitable, but not there."""

    async def main():
        return asyncio.get_running_loop().create_future()

    error = RuntimeError if PY314 else (RuntimeError, ValueError)
    with pytest.raises(error):
        asyncio.run(asyncio.run(main()))
    with pytest.raises(RuntimeError):
        cloop.run(cloop.run(main()))


def test_arguments_have_the_same_names():
    ours = inspect.signature(cloop.run).parameters
    theirs = inspect.signature(asyncio.run).parameters
    # There it came with 3.12.
    assert [*ours] == (["main", "debug", "loop_factory"] if PY312 else [*theirs, "loop_factory"])
    assert all(ours[name].kind is theirs[name].kind for name in theirs)
    assert [ours[name].default for name in ("debug", "loop_factory")] == [None, None]


def test_a_loop_factory():
    made = []

    class Loop(cloop.Loop):
        def __init__(self):
            super().__init__()
            made.append(self)

    async def main():
        assert asyncio.get_running_loop() is made[0]
        return "result"

    assert cloop.run(main(), loop_factory=Loop) == "result"
    assert [type(loop) for loop in made] == [Loop]
    assert made[0].is_closed()


def test_no_loop_factory_is_cloops():
    async def main():
        return type(asyncio.get_running_loop())

    assert cloop.run(main(), loop_factory=None) is cloop.Loop


def test_a_loop_factory_of_another_loop():
    """As uvloop.run: who calls cloop.run wants a loop of cloop's."""
    loops = []

    def factory():
        loops.append(asyncio.SelectorEventLoop())
        return loops[0]

    main = result_of_main()
    with pytest.raises(TypeError, match=r"cloop.run\(\) uses a loop that is none of cloop's: <_UnixSelector"):
        cloop.run(main, loop_factory=factory)
    assert loops[0].is_closed()
    main.close()


def test_within_a_running_loop(impl, run_main):
    async def main():
        inner = result_of_main()
        with pytest.raises(RuntimeError) as refused:
            run_main(inner)
        inner.close()
        assert str(refused.value) == f"{impl.name}.run() cannot be called from a running event loop"

    run_main(main())
    gc.collect()
