"""Loaded into the process that runs a suite, by pytest (`-p cloop_suite`) or `cloop_suite_unittest`.

Copied into the suite's virtualenv, and so on its own: it imports nothing of the project but cloop.
CLOOP_SUITE names the file of the order, see `Settings`. Each record is one line of JSON, written before and
after a test, so that nothing is lost in a crash.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from cloop_suite_pattern import matches

LONGEST_DETAIL = 6000
RANK = ("passed", "skipped", "xfailed", "xpassed", "failed")


class Settings:
    """The order: the loop, the file of the report, which tests."""

    def __init__(self, order):
        self.loop = order["loop"]
        self.report = order["report"]
        # Names of tests; None for all.
        self.only = None if order["only"] is None else frozenset(order["only"])
        self.skip = frozenset(order["skip"])
        self.pattern = order["pattern"]
        self.left_out = order["left_out"]

    def wants(self, test):
        """Whether a test is to be run."""
        if test in self.skip or not matches(self.pattern, test):
            return False
        return test in self.only if self.only is not None else True

    def left_out_by(self, test):
        """The pattern that leaves a test out, or None."""
        return next((pattern for pattern in self.left_out if matches(pattern, test)), None)


class Report:
    """The records, and what is known of the test that runs."""

    def __init__(self, path):
        self.file = Path(path).open("a", encoding="utf-8")  # noqa: SIM115
        self.loops = Counter()
        self.made_before = Counter()
        self.outcome = "passed"
        self.details = []
        self.began = 0.0
        self.pid = os.getpid()

    def write(self, event, test="", **more):
        """Add a record; not in a child that was forked by a test."""
        if os.getpid() == self.pid:
            self.file.write(json.dumps({"event": event, "test": test, **more}) + "\n")
            self.file.flush()

    def start(self, test):
        """A test begins."""
        self.outcome, self.details = "passed", []
        self.made_before = self.loops.copy()
        self.began = time.monotonic()
        self.write("start", test)

    def add(self, outcome, detail=""):
        """What a phase of the test, or a part, ended with: the worst of them counts."""
        if RANK.index(outcome) > RANK.index(self.outcome):
            self.outcome = outcome
        if detail:
            self.details.append(detail)

    def stop(self, test):
        """The test is over."""
        self.write(
            "result",
            test,
            outcome=self.outcome,
            detail="\n".join(self.details)[-LONGEST_DETAIL:],
            seconds=round(time.monotonic() - self.began, 3),
            loops=dict(self.loops - self.made_before),
        )

    def end(self):
        """All are."""
        self.write("end", loops=dict(self.loops))


def count_loops(report):
    """Have each loop counted, by its kind, when it is made."""
    import cloop

    for kind, owner in (("cloop", cloop.Loop), ("asyncio", asyncio.base_events.BaseEventLoop)):
        owner.__init__ = counting(report, kind, owner.__init__)


def counting(report, kind, initialize):
    """`initialize`, counted as one loop of that kind."""

    def __init__(self, *args, **kwargs):
        report.loops[kind] += 1
        initialize(self, *args, **kwargs)

    return __init__


def choose(loop):
    """Make a loop the default, also for who names asyncio's class instead of asking for a new loop."""
    if loop == "cloop":
        import cloop
        from cloop.runner import make_default

        make_default()
        asyncio.SelectorEventLoop = cloop.Loop
        if sys.version_info >= (3, 13):
            asyncio.EventLoop = cloop.Loop


settings = Settings(json.loads(Path(os.environ["CLOOP_SUITE"]).read_text(encoding="utf-8")))
report = Report(settings.report)
count_loops(report)
choose(settings.loop)


# ---- What follows is for pytest, which calls by name.


def pytest_collection_modifyitems(config, items):
    """Keep what is wanted."""
    kept, deselected = [], []
    for item in items:
        pattern = settings.left_out_by(item.nodeid)
        if pattern is not None:
            report.write("left out", item.nodeid, pattern=pattern)
        (kept if pattern is None and settings.wants(item.nodeid) else deselected).append(item)
    items[:] = kept
    if deselected:
        config.hook.pytest_deselected(items=deselected)


def pytest_collection_finish(session):
    """Say what there is, once everybody has taken out what is not to be run."""
    report.write("found", tests=[item.nodeid for item in session.items])


def pytest_collectreport(report):
    """A module that can't be imported is a test that failed."""
    if report.failed:
        # The argument has to have this name.
        here = sys.modules[__name__].report
        here.start(report.nodeid)
        here.add("failed", report.longreprtext)
        here.stop(report.nodeid)


def pytest_runtest_logstart(nodeid):
    report.start(nodeid)


def pytest_runtest_logreport(report):
    here = sys.modules[__name__].report
    expected_to_fail = hasattr(report, "wasxfail")
    if report.skipped:
        here.add("xfailed" if expected_to_fail else "skipped", str(report.longrepr or ""))
    elif report.failed:
        here.add("failed", f"in {report.when}:\n{report.longreprtext}")
    elif expected_to_fail and report.when == "call":
        here.add("xpassed")


def pytest_runtest_logfinish(nodeid):
    report.stop(nodeid)


def pytest_unconfigure():
    report.end()
