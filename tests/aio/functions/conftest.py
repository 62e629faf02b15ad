"""Here `impl` has three values: asyncio, cloop with asyncio's functions, cloop with its own."""

import asyncio

import pytest

from tests.conftest import LOOPS
from tests.support import load_implementation

COMBINATIONS = [("asyncio", "asyncio"), ("cloop", "asyncio"), ("cloop", "cloop")]
CHOSEN = [pair for pair in COMBINATIONS if pair[0] in LOOPS]


@pytest.fixture(params=CHOSEN, ids=[f"{functions}-on-{loop}" for loop, functions in CHOSEN])
def combination(request):
    """The names of the loop and of the module with the functions."""
    return request.param


@pytest.fixture
def impl(combination):
    return load_implementation(combination[0])


@pytest.fixture
def functions(impl, combination):
    """Where to take gather, wait, wait_for, shield and as_completed from."""
    return asyncio if combination[1] == "asyncio" else impl
