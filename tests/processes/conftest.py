"""A test of children must leave none behind."""

import os
import time

import pytest

from tests.support import EARLY_311, PATIENCE, collect_garbage


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


def is_of_stdin(report: dict[str, object]) -> bool:
    """Whether it is the exception of a pipe, in a future that nobody has asked."""
    lost = isinstance(report.get("exception"), (BrokenPipeError, ConnectionResetError))
    return lost and report["message"] == "Future exception was never retrieved"


@pytest.fixture(autouse=EARLY_311)
def stdin_that_closed(reports):
    """Take what early Pythons 3.11 report of a child that ended before it had read all.

    They do where nobody waits for its stdin to close.
    """
    yield
    collect_garbage()
    reports[:] = [report for report in reports if not is_of_stdin(report)]
