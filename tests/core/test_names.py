"""What the loop's coroutines are called: in reprs, and in the warnings that people filter by their text."""

import asyncio
import gc
import inspect
import warnings

import pytest

MODEL = asyncio.SelectorEventLoop
COROUTINES = sorted(name for name in dir(MODEL) if inspect.iscoroutinefunction(getattr(MODEL, name)))


@pytest.mark.parametrize("name", COROUTINES)
def test_a_coroutine_method_has_the_name_that_asyncio_gives_it(impl, name):
    method = getattr(impl.loop_type, name, None)
    if method is None:
        assert name.startswith("_")
        pytest.skip("a private method of asyncio's that cloop does not have")
    assert inspect.iscoroutinefunction(method)
    assert method.__qualname__ == getattr(MODEL, name).__qualname__


def test_the_public_ones_are_all_there(impl):
    assert all(hasattr(impl.loop_type, name) for name in COROUTINES if not name.startswith("_"))


def test_the_warning_about_one_that_was_never_awaited(loop):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.shutdown_asyncgens()
        gc.collect()
    messages = [str(warning.message) for warning in caught]
    assert "coroutine 'BaseEventLoop.shutdown_asyncgens' was never awaited" in messages


def test_the_repr_of_one(loop):
    coroutine = loop.sock_recv(None, 1)
    assert repr(coroutine).startswith("<coroutine object BaseSelectorEventLoop.sock_recv at ")
    coroutine.close()


def test_tools_find_the_source(impl):
    """By the code object, whatever the name is."""
    source = inspect.getsource(impl.loop_type.create_connection)
    assert source.lstrip().startswith("async def create_connection(")
