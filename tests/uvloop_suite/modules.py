"""Which modules of uvloop's tests are run."""

import os
from pathlib import Path

from tests.stdlib.runner import Outcome, run_module

from .sdist import fetch

# Not test_fs_event, test_libuv_api and test_cython (libuv's file watcher, the pointer to its loop, and
# a function of uvloop's own), nor test_sourcecode and test_testbase (uvloop's sources).
MODULES = (
    "test_aiohttp",
    "test_base",
    "test_context",
    "test_dealloc",
    "test_dns",
    "test_executors",
    "test_pipes",
    "test_process",
    "test_process_spawning",
    "test_regr1",
    "test_runner",
    "test_signals",
    "test_sockets",
    "test_tcp",
    "test_udp",
    "test_unix",
)

STAND_IN = Path(__file__).with_name("stand_in")


def run(module: str, loop: str, implementation: str | None = None, **settings: object) -> Outcome:
    """Run one module on a loop, which the tests take for `implementation`; the settings are of Order."""
    sources = str(fetch())
    path = os.pathsep.join([str(STAND_IN), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "CLOOP_UVLOOP_SUITE": loop,
        "CLOOP_UVLOOP_SUITE_AS": implementation or loop,
        "CLOOP_UVLOOP_SDIST": sources,
    }
    return run_module(module, loop, env=env, child="tests.uvloop_suite.child", **settings)
