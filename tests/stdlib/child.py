"""Run one module of asyncio's tests in this process, and write what happens to a report file.

Started by `runner`, one process a module, as `python -m tests.stdlib.child '<JSON of Order>'`. Each
record is one line of JSON, written before and after a test, so that nothing is lost in a crash.
"""

import faulthandler
import gc
import importlib
import json
import sys
import types
import unittest
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TextIO

from tests.support import unignore_signals

from . import exclusions
from .modules import qualified
from .swap import install, load_kit
from .variants import add_variants


@dataclass(frozen=True)
class Order:
    """What the child is to do."""

    module: str
    kit: str
    report: str
    pattern: str = "*"
    child: str = "tests.stdlib.child"
    skip: tuple[str, ...] = ()
    with_excluded: bool = False
    test_seconds: float = 60


Load = Callable[[Order], types.ModuleType]


class Report:
    """The records of a run."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, event: str, test: str, detail: str = "") -> None:
        """Add a record."""
        self.file.write(json.dumps({"event": event, "test": test, "detail": detail}) + "\n")
        self.file.flush()


class RecordingResult(unittest.TestResult):
    """Writes each outcome; ends the process, with every thread's stack, when one test hangs."""

    def __init__(self, report: Report, test_seconds: float) -> None:
        super().__init__()
        self.report = report
        self.test_seconds = test_seconds
        self.problems: list[str] = []
        self.skipped_because: str | None = None

    def startTest(self, test):
        super().startTest(test)
        self.problems = []
        self.skipped_because = None
        self.report.write("start", short_id(test))
        if type(test).__module__.endswith(".test_subprocess"):
            # A child that an earlier test left would warn in this one, which may count its warnings.
            gc.collect()
        faulthandler.dump_traceback_later(self.test_seconds, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        if self.problems:
            self.report.write("failed", short_id(test), "\n".join(self.problems))
        elif self.skipped_because is not None:
            self.report.write("skipped", short_id(test), self.skipped_because)
        else:
            self.report.write("passed", short_id(test))
        super().stopTest(test)

    def addError(self, test, err):
        super().addError(test, err)
        if isinstance(test, unittest.TestCase):
            self.problems.append(self.errors[-1][1])
        else:
            # setUpModule, tearDownModule and their like, which are no tests.
            self.report.write("failed", test.id(), self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.problems.append(self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            text = "".join(self._exc_info_to_string(err, test))
            self.problems.append(f"{subtest}\n{text}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skipped_because = reason

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problems.append("unexpected success")


def short_id(test: unittest.TestCase) -> str:
    """module.class.method, without the packages."""
    return ".".join(test.id().split(".")[-3:])


def flatten(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    """The tests of a suite, in order."""
    tests = []
    for each in suite:
        tests += flatten(each) if isinstance(each, unittest.TestSuite) else [each]
    return tests


def without_excluded(
    tests: list[unittest.TestCase], order: Order, report: Report, data: Path
) -> list[unittest.TestCase]:
    """Take out the excluded tests and report them, and each entry that has no test any more."""
    entries = exclusions.load(order.module, data)
    for entry in entries:
        if order.pattern == "*" and not any(entry.matches(short_id(test)) for test in tests):
            report.write("failed", f"exclusion {entry.test}", f"This entry of {data.name} matches no test.")
    kept = []
    for test in tests:
        entry = next((each for each in entries if each.matches(short_id(test))), None)
        if entry is None:
            kept.append(test)
        else:
            report.write("excluded", short_id(test), entry.reason)
    return kept


def load_module(order: Order) -> types.ModuleType:
    """The module of asyncio's tests, once the kit is in asyncio's place."""
    kit = load_kit(order.kit)
    install(kit, order.module)
    module = importlib.import_module(qualified(order.module))
    add_variants(order.module, module, kit)
    return module


def load_tests(order: Order, report: Report, load: Load, data: Path) -> list[unittest.TestCase]:
    """The tests to run."""
    tests = flatten(unittest.defaultTestLoader.loadTestsFromModule(load(order)))
    tests = [test for test in tests if fnmatchcase(short_id(test), order.pattern)]
    if order.kit != "asyncio" and not order.with_excluded:
        tests = without_excluded(tests, order, report, data)
    done = frozenset(order.skip)
    return [test for test in tests if short_id(test) not in done]


def main(order: Order, load: Load = load_module, data: Path = exclusions.DATA) -> None:
    """Run the tests of an order: those of `load(order)` but those that the file `data` excludes."""
    warnings.simplefilter("default")
    unignore_signals()
    with Path(order.report).open("a") as file:
        report = Report(file)
        tests = load_tests(order, report, load, data)
        for test in tests:
            report.write("found", short_id(test))
        # Many tests collect garbage; what the imports made need not be gone through each time.
        gc.freeze()
        unittest.TestSuite(tests).run(RecordingResult(report, order.test_seconds))
        report.write("end", order.module)


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
