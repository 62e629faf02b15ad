"""A test of children must leave none behind."""

import os
import time

import pytest

from tests.support import PATIENCE


def has_children() -> bool:
    """Whether there is a child, running or not reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_children():
    """Fail a test that leaves a child; one that was there before says nothing of this test."""
    others = has_children()
    yield
    if others:
        return
    # asyncio's threads may be a little late to reap.
    deadline = time.monotonic() + PATIENCE
    while has_children():
        assert time.monotonic() < deadline, "a child is left"
        time.sleep(0.001)
