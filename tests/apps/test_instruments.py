"""Tools that look into asyncio, by what their user sees: spans, stacks, names of tasks, messages.

They replace parts of asyncio for good, so each is used by a program of its own (tests/apps/instruments).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .servers import is_installed

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "OTEL_PYTHON_ASYNCIO_COROUTINE_NAMES_TO_TRACE": "child",
    "OTEL_PYTHON_ASYNCIO_FUTURE_TRACE_ENABLED": "true",
    "OTEL_PYTHON_ASYNCIO_TO_THREAD_FUNCTION_NAMES_TO_TRACE": "block",
    "NEW_RELIC_LICENSE_KEY": "x" * 40,
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_APP_NAME": "test",
    "NEW_RELIC_LOG": os.devnull,
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:1",
    "PYTHONWARNINGS": "ignore",
}

SENTRY = """
[0, 1, ValueError('the error of 2')]
['child 0', 'child 1', 'child 2']
ValueError the error of 2 asyncio ['child']
[('function', 'child'), ('function', 'child'), ('function', 'child'), ('function', 'child')]
"""

OPENTELEMETRY = """
asyncio coro-child below root
asyncio coro-child below root
asyncio coro-child below root
asyncio coro-child below root
asyncio coro-child below root
asyncio future below root
asyncio to_thread-block below root
root below None
"""

NEWRELIC = """
[['first', 'first', 'first', 'first'], ['second', 'second', 'second', 'second']]
0
"""

DDTRACE = """
called below root
called below root
child 0 below child 1
child 0 below child 1
child 0 below root
child 1 below root
child 1 below root
root below None
"""

VIZTRACER = """
alone: leaf 2
alone: work 2
branch 0: branch 2
branch 0: leaf 2
branch 0: work 2
branch 1: branch 2
branch 1: leaf 2
branch 1: work 2
"""

AIOMONITOR = """
Task-1 PENDING main() -
the waiting one PENDING outer() aiomonitor.py
['main', '_coro_wrapper', 'outer', 'waiting', 'wait']
True
"""

PLAYWRIGHT = """
200 word
APIRequestContext.get: connect ECONNREFUSED 127.0.0.1:1
200 word
connect ECONNREFUSED 127.0.0.1:1
"""


def output_of(name: str, loop: str, module: str) -> str:
    """What a program prints, which must end well; skips the test where its tool is not installed."""
    if not is_installed(module):
        pytest.skip(f"not installed: {module}")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", f"tests.apps.instruments.{name}", loop],
        cwd=ROOT,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "module", "output"),
    [
        ("sentry", "sentry_sdk", SENTRY),
        ("opentelemetry", "opentelemetry.instrumentation.asyncio", OPENTELEMETRY),
        ("newrelic", "newrelic", NEWRELIC),
        ("ddtrace", "ddtrace", DDTRACE),
        ("viztracer", "viztracer", VIZTRACER),
        ("aiomonitor", "aiomonitor", AIOMONITOR),
        ("playwright", "playwright", PLAYWRIGHT),
    ],
)
def test_shows(impl, name, module, output):
    assert output_of(name, impl.name, module) == output.strip()


def test_nest_asyncio_says_that_it_cannot(impl):
    first, *others = output_of("nest_asyncio2", impl.name, "nest_asyncio2").splitlines()
    assert first == ("Can't patch loop of type <class 'cloop.loop.Loop'>" if impl.is_cloop else "5")
    assert others == ["[5, 5] 5", "5 1", "0 3"]
