"""Fixtures: a test that asks for `impl` or `loop` runs on asyncio's own loop and on cloop.

So a test that is wrong about asyncio fails. CLOOP_TEST_LOOPS=cloop (or asyncio) runs only one side.

Every test is checked for what it leaves behind: open descriptors, objects that a debug build of cloop
counts, errors that nobody expected. Warnings are errors (pyproject.toml), so an unclosed loop or
transport fails a test as well.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import socket
import sys

import pytest

from tests.support import (
    Implementation,
    collect_garbage,
    debug_counts,
    load_implementation,
    open_fds,
    unignore_signals,
)

LOOPS = tuple(os.environ.get("CLOOP_TEST_LOOPS", "asyncio,cloop").split(","))

unignore_signals()


# ---- Implementations and loops


@pytest.fixture(params=LOOPS)
def impl(request) -> Implementation:
    """asyncio or cloop. Fails, and does not skip, where cloop can't be imported."""
    return load_implementation(request.param)


class Reports(list):
    """The contexts that an exception handler was called with."""

    def take(self) -> list[dict[str, object]]:
        """All of them; what is taken was expected."""
        taken = list(self)
        self.clear()
        return taken

    def take_one(self) -> dict[str, object]:
        """The only one."""
        (only,) = self.take()
        return only


@pytest.fixture
def reports(no_leaks) -> Reports:
    """What reached the exception handler of the test's loops. The test must take what it expects."""
    return no_leaks


@pytest.fixture
def loop_factory(impl, reports):
    """Makes loops that report to `reports`; those still open after the test are closed."""
    loops = []

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = impl.new_event_loop()
        if sys.flags.dev_mode:
            # It switches debug mode on, which a test that is about it does itself.
            loop.set_debug(False)
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        loops.append(loop)
        return loop

    yield new_loop
    for loop in loops:
        loop.close()


@pytest.fixture
def loop(loop_factory):
    """One loop, not running."""
    return loop_factory()


@pytest.fixture
def run(loop):
    """Runs a coroutine on `loop`."""
    return loop.run_until_complete


# ---- Checks around every test


class ErrorLog(logging.Handler):
    """What asyncio's logger was told at level ERROR and above."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.messages = []

    def emit(self, record):
        self.messages.append(self.format(record))


@pytest.fixture
def error_log(no_leaks_log):
    """Messages that asyncio logged as errors. The test must clear what it expects."""
    return no_leaks_log.messages


@pytest.fixture(autouse=True)
def no_leaks_log():
    """Fail a test after which an error stands in asyncio's log."""
    log = ErrorLog()
    logger = logging.getLogger("asyncio")
    logger.addHandler(log)
    yield log
    logger.removeHandler(log)
    assert not log.messages, "asyncio logged errors that the test did not expect"


@pytest.fixture(autouse=True)
def no_leaks(request, no_leaks_log, caplog):
    """Fail a test that leaves descriptors, counted objects or unexpected reports behind."""
    reports = Reports()
    fds, counts = open_fds(), debug_counts()
    yield reports
    let_go(request.node, caplog)
    collect_garbage()
    set_aside_at_times()
    unexpected = reports.take()
    if failed(request.node):
        # A traceback keeps its frames alive: only the first failure matters.
        no_leaks_log.messages.clear()
        return
    assert not unexpected, f"unexpected calls of the exception handler: {unexpected}"
    leaked = {fd: target for fd, target in open_fds().items() if fd not in fds}
    assert not leaked, f"descriptors left open: {leaked}"
    left = debug_counts()
    assert left == counts, f"objects left over, by a debug build's count: {left}, before it was {counts}"


def let_go(item, caplog) -> None:
    """Drop what pytest itself still holds of a test: its arguments, and log records with their frames."""
    item.funcargs.clear()
    for phase in ("setup", "call"):
        caplog.get_records(phase).clear()


def set_aside_at_times() -> None:
    """Keep pytest's reports, which get more with every test, out of the collector's way."""
    global ended_tests
    ended_tests += 1
    if ended_tests % TESTS_PER_FREEZE == 0:
        gc.freeze()


ended_tests = 0
# What is frozen while a fixture of a wider scope has it is not collected later: not after each test.
TESTS_PER_FREEZE = 100


FAILED = pytest.StashKey[bool]()


def failed(item) -> bool:
    """Whether the test's body failed."""
    return item.stash.get(FAILED, False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when in ("setup", "call"):
        item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def quick_collections():
    """Keep what pytest and the imports made out of the collector's way: it runs after every test."""
    for name in ("ssl", "concurrent.futures.thread", *LOOPS):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Name look-ups open descriptors of their own the first time.
    socket.getaddrinfo("localhost", 80)
    collect_garbage()
    gc.freeze()
    yield
    gc.unfreeze()


# ---- Sockets


@pytest.fixture
def pair():
    """Two connected non-blocking sockets."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right
