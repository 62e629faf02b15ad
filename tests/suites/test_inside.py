"""What is loaded into the process of a suite: it chooses the loop, counts loops, and writes all down."""

import json
import os
import subprocess
import sys

import pytest

from .places import INSIDE
from .runs import Run, collect

SAMPLE = """
import asyncio
import os
import unittest

import pytest

def test_makes_two_loops():
    asyncio.run(asyncio.sleep(0))
    asyncio.SelectorEventLoop().close()

def test_fails():
    raise ValueError("as it should")

@pytest.mark.skip(reason="not here")
def test_is_skipped():
    pass

@pytest.mark.xfail
def test_is_expected_to_fail():
    assert False

@pytest.fixture
def broken():
    yield
    raise ValueError("in the fixture")

def test_fails_afterwards(broken):
    pass

@pytest.mark.usefixtures()
def test_is_left_out():
    pass

def test_is_taken_out_by_pytest():
    pass

@pytest.mark.parametrize("number", [1, 2])
def test_with_brackets(number):
    pass
"""

UNITTESTS = """
import asyncio
import unittest

class Tests(unittest.IsolatedAsyncioTestCase):
    async def test_passes(self):
        pass

    def test_fails(self):
        for part in range(2):
            with self.subTest(part=part):
                self.assertEqual(part, 0)

    @unittest.skip("not here")
    def test_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_is_expected_to_fail(self):
        self.fail()

    def test_is_left_out(self):
        pass

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise ValueError

    def test_is_not_reached(self):
        pass

unittest.main()
"""


def run_sample(folder, loop, *command, **order):
    report = folder / "report"
    settings = {"loop": loop, "report": str(report), "only": None, "skip": [], "pattern": "*", "left_out": []}
    (folder / "order").write_text(json.dumps({**settings, **order}))
    path = os.pathsep.join([str(INSIDE), *(entry for entry in sys.path if entry)])
    environment = {**os.environ, "CLOOP_SUITE": str(folder / "order"), "PYTHONPATH": path}
    ended = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    run = Run()
    collect(run, report, f"ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    return run


def run_pytest(folder, loop, **order):
    (folder / "test_sample.py").write_text(SAMPLE)
    options = ["-p", "cloop_suite", "-p", "no:cacheprovider", "-q", "-k", "not taken_out"]
    return run_sample(folder, loop, "pytest", *options, "test_sample.py", **order)


@pytest.mark.parametrize("loop", ["asyncio", "cloop"])
def test_pytest(tmp_path, loop):
    run = run_pytest(tmp_path, loop, left_out=["*::test_is_left_out", "no_such_test"])
    outcomes = {test.removeprefix("test_sample.py::"): outcome for test, outcome in run.outcomes.items()}
    assert outcomes == {
        "test_makes_two_loops": "passed",
        "test_fails": "failed",
        "test_is_skipped": "skipped",
        "test_is_expected_to_fail": "xfailed",
        "test_fails_afterwards": "failed",
        "test_with_brackets[1]": "passed",
        "test_with_brackets[2]": "passed",
    }, run.results
    assert run.loops == {loop: 2}
    assert run.patterns == {"*::test_is_left_out"}
    assert "as it should" in run.results["test_sample.py::test_fails"].detail
    assert "in the fixture" in run.results["test_sample.py::test_fails_afterwards"].detail


def test_some_of_pytests_tests(tmp_path):
    only = [f"test_sample.py::{name}" for name in ("test_fails", "test_with_brackets[1]", "no_such_test")]
    run = run_pytest(tmp_path, "cloop", only=only)
    assert run.outcomes == {only[0]: "failed", only[1]: "passed"}


def test_not_those_that_were_run_before(tmp_path):
    run = run_pytest(
        tmp_path, "cloop", pattern="*with_brackets*", skip=["test_sample.py::test_with_brackets[1]"]
    )
    assert run.outcomes == {"test_sample.py::test_with_brackets[2]": "passed"}


@pytest.mark.parametrize("loop", ["asyncio", "cloop"])
def test_unittest(tmp_path, loop):
    (tmp_path / "sample.py").write_text(UNITTESTS)
    command = ["cloop_suite_unittest", "sample.py"]
    run = run_sample(tmp_path, loop, *command, left_out=["*.test_is_left_out"])
    outcomes = {test.removeprefix("__main__.Tests."): outcome for test, outcome in run.outcomes.items()}
    assert outcomes.pop("setUpClass (__main__.Broken)") == "failed", run.results
    assert outcomes == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_is_skipped": "skipped",
        "test_is_expected_to_fail": "xfailed",
    }
    assert list(run.loops) == [loop] and run.patterns == {"*.test_is_left_out"}
