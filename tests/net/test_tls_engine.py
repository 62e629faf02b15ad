"""The two engines of TLS: which is chosen, and that the other does as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

TESTS = sorted(set(Path(__file__).parent.glob("test_tls*.py")) - {Path(__file__)})


def described(**environment: str) -> str:
    """What `python -m cloop --info` says of TLS."""
    found = subprocess.run(
        [sys.executable, "-m", "cloop", "--info"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("tls ")]
    return line


def test_what_is_told():
    assert described(CLOOP_TLS_ENGINE="object").endswith("by the ssl module (CLOOP_TLS_ENGINE)")
    assert "OpenSSL" in described()


def test_a_direct_engine_where_it_is_asked_for():
    try:
        assert described(CLOOP_TLS_ENGINE="openssl").endswith(", called directly")
    except subprocess.CalledProcessError as error:
        # An interpreter with OpenSSL inside, or without a GIL: then it is refused.
        assert "CLOOP_TLS_ENGINE=openssl" in error.stderr


@pytest.mark.skipif("CLOOP_TLS_ENGINE" in os.environ, reason="one was asked for")
def test_the_other_engine():
    """All tests of TLS once more, with the bytes moved by the ssl module."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *map(str, TESTS)],
        env={**os.environ, "CLOOP_TLS_ENGINE": "object", "CLOOP_TEST_LOOPS": "cloop"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stdout
