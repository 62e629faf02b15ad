"""Nothing grows, on asyncio's loop or on cloop's, with either engine of TLS; and what grows is seen."""

import os
import subprocess
import sys

import pytest

from tests.conftest import LOOPS
from tests.support import ROOT

from .growth import TIMES, growth


def leaks(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `python -m tests.leaks` finds, in a process where nothing else goes on."""
    return subprocess.run(
        [sys.executable, "-m", "tests.leaks", *args],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.parametrize("name", LOOPS)
def test_nothing_grows(name):
    found = leaks("--loop", name)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif("CLOOP_TLS_ENGINE" in os.environ, reason="one was asked for")
@pytest.mark.skipif("cloop" not in LOOPS, reason="not cloop's half")
def test_nothing_grows_with_the_other_engine_of_tls():
    found = leaks("tls", CLOOP_TLS_ENGINE="object")
    assert found.returncode == 0, found.stdout + found.stderr


def test_what_grows_is_seen():
    kept = []
    found = growth(lambda: kept.append([]))
    assert found["objects"] == TIMES
    # Without pymalloc, the interpreter counts no blocks.
    assert found.get("blocks", TIMES) >= TIMES or not sys.getallocatedblocks()
    assert "descriptors" not in found


def test_descriptors_that_stay_open_are_seen():
    kept = []
    try:
        assert growth(lambda: kept.append(os.dup(0)))["descriptors"] == TIMES
    finally:
        for fd in kept:
            os.close(fd)


@pytest.mark.skipif(not hasattr(sys, "gettotalrefcount"), reason="the interpreter counts no references")
def test_references_that_are_kept_are_seen():
    kept, shared = [], object()
    assert growth(lambda: kept.append(shared))["references"] == TIMES


def test_what_is_let_go_does_not_grow():
    assert growth(lambda: [[]]) == {}
