"""asyncio's own tests pass with cloop's loop, Future and Task; and the runner that shows it is sound."""

import pytest

from .exclusions import Exclusion, in_bound
from .modules import installed, runs
from .runner import run_module


@pytest.mark.skipif(not installed(), reason="this interpreter came without test.test_asyncio")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("module", "kit"), runs("cloop", installed()))
def test_module(module, kit):
    outcome = run_module(module, kit)
    assert not outcome.failed, "\n".join(f"{test}\n{detail}" for test, detail in outcome.failed.items())
    assert outcome.passed


def test_the_swap():
    outcome = run_module("tests.stdlib.sample_of_swap", "cloop")
    assert (len(outcome.passed), outcome.failed) == (6, {})
    outcome = run_module("tests.stdlib.sample_of_swap", "asyncio")
    assert (len(outcome.failed), outcome.passed) == (6, {})


def test_runner_loses_nothing():
    outcome = run_module("tests.stdlib.sample_of_trouble", "asyncio", test_seconds=1)
    found = {kind: {test.rpartition(".")[2] for test in tests} for kind, tests in vars(outcome).items()}
    assert found["passed"] == {"test_a_passes", "test_h_passes"}
    assert found["skipped"] == {"test_c_is_skipped"}
    troubled = {"b_fails", "d_fails_in_subtests", "e_crashes", "f_hangs", "g_exits"}
    assert found["failed"] == {f"test_{name}" for name in troubled}
    details = {test.rpartition(".")[2]: detail for test, detail in outcome.failed.items()}
    assert "as it should" in details["test_b_fails"]
    assert details["test_d_fails_in_subtests"].count("AssertionError") == 2
    assert "ended with -6" in details["test_e_crashes"]
    assert "test_f_hangs" in details["test_f_hangs"]


def test_module_that_cannot_be_imported_fails():
    outcome = run_module("tests.stdlib.no_such_module", "asyncio")
    assert "ModuleNotFoundError" in outcome.failed["tests.stdlib.no_such_module"]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [(">=3.12", True), ("<3.12", False), (">=3.12.1", True), ("<3.12.2", True), (">=3.13", False)],
)
def test_exclusion_bounds(bound, expected):
    assert in_bound((3, 12, 1), bound) is expected


def test_exclusion_ranges_and_patterns():
    entry = Exclusion("test_tasks.*.test_x", "a reason", ">=3.12, <3.14")
    assert entry.applies((3, 13, 5)) and not entry.applies((3, 14, 0)) and not entry.applies((3, 11, 7))
    assert entry.matches("test_tasks.Some_Tests.test_x") and not entry.matches("test_tasks.Some_Tests.test_y")
