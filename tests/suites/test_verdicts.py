"""How outcomes on two loops are compared, and what is collected from the report of a suite."""

import json

import pytest

from . import packages, verdicts
from .inside.cloop_suite_pattern import matches
from .runs import Run, collect
from .verdicts import Difference, Explanation, compare, differing


class Suite:
    """Tests with the outcomes that they have in one run after another, on each loop."""

    def __init__(self, **outcomes):
        self.outcomes = outcomes
        self.runs = {"asyncio": 0, "cloop": 0}
        self.asked = []

    def run(self, loop, tests=None):
        number = self.runs[loop]
        self.runs[loop] += 1
        if tests is not None:
            self.asked.append((loop, list(tests)))
        return {
            test: self.outcomes[test][loop][number]
            for test in (self.outcomes if tests is None else tests)
            if self.outcomes[test][loop][number] is not None
        }

    def compare(self, *explanations, whole=True):
        first = {loop: self.run(loop) for loop in verdicts.LOOPS}
        return compare(first, self.run, explanations, whole)


def always(asyncio, cloop=None):
    return {"asyncio": [asyncio] * 4, "cloop": [cloop or asyncio] * 4}


def test_what_differs():
    asyncio = {"a": "passed", "b": "failed", "c": "skipped", "d": "passed"}
    cloop = {"a": "passed", "b": "passed", "c": "passed", "e": "passed"}
    assert differing(asyncio, cloop) == ["b", "c", "d", "e"]


def test_nothing_is_run_again_where_all_end_alike():
    suite = Suite(a=always("passed"), b=always("failed"), c=always("skipped"))
    found = suite.compare()
    assert found.passed and not found.flaky and not found.explained
    assert suite.asked == []


def test_a_difference_is_run_again_alone_and_fails():
    suite = Suite(a=always("passed"), b=always("passed", "failed"))
    found = suite.compare()
    assert not found.passed
    assert found.unexplained == [Difference("b", ("passed",) * 4, ("failed",) * 4)]
    assert suite.asked == [("asyncio", ["b"]), ("cloop", ["b"])] * verdicts.TIMES_AGAIN


@pytest.mark.parametrize(
    ("asyncio", "cloop", "flaky"),
    [
        ("passed passed passed passed", "failed passed passed passed", True),
        ("failed passed passed passed", "passed passed passed passed", True),
        ("failed passed failed passed", "passed failed failed failed", True),
        # cloop fails what asyncio never does.
        ("passed passed passed passed", "failed passed passed failed", False),
        ("passed passed passed passed", "passed passed passed crashed", False),
        # It passes what asyncio never does.
        ("failed failed failed failed", "passed passed passed passed", False),
        ("failed failed failed failed", "passed failed failed failed", True),
    ],
)
def test_flaky_is_what_asyncio_has_given_too(asyncio, cloop, flaky):
    suite = Suite(a={"asyncio": asyncio.split(), "cloop": cloop.split()})
    found = verdicts.sort([Difference("a", tuple(asyncio.split()), tuple(cloop.split()))], [], ["a"])
    assert (len(found.flaky), len(found.unexplained)) == ((1, 0) if flaky else (0, 1))
    assert found.passed is flaky
    if asyncio.split()[0] != cloop.split()[0]:
        assert suite.compare() == found


def test_a_test_that_only_one_loop_has_is_a_difference():
    found = Suite(a=always(None, "passed"), b=always("passed")).compare()
    assert found.unexplained == [Difference("a", (verdicts.ABSENT,) * 4, ("passed",) * 4)]


def test_an_explained_difference_passes():
    entry = Explanation("package", "test_x.py::test_a[*]", "a reason")
    found = Suite(**{"test_x.py::test_a[1-x]": always("passed", "failed")}).compare(entry)
    assert found.passed
    assert [(each.test, why) for each, why in found.explained] == [("test_x.py::test_a[1-x]", entry)]
    assert not found.idle and not found.unmatched


def test_an_entry_that_matches_no_test_fails_unless_only_some_were_run():
    entry = Explanation("package", "no_such_test", "a reason")
    found = Suite(a=always("passed")).compare(entry)
    assert found.unmatched == [entry] and not found.passed
    found = Suite(a=always("passed")).compare(entry, whole=False)
    assert found.unmatched == [] and found.passed


def test_an_entry_whose_tests_end_alike_is_told():
    entry = Explanation("package", "a", "a reason")
    found = Suite(a=always("passed")).compare(entry)
    assert found.idle == [entry] and found.unmatched == [] and found.passed


def test_entries_are_of_a_package_and_of_versions(tmp_path):
    data = tmp_path / "explained.toml"
    data.write_text(
        '[[explained]]\npackage = "a"\ntest = "x"\nreason = "r"\n'
        '[[explained]]\npackage = "b"\ntest = "y"\nreason = "r"\n'
        '[[explained]]\npackage = "a"\ntest = "z"\nreason = "r"\npython = "<3.0"\n'
    )
    assert [entry.test for entry in verdicts.load("a", data)] == ["x"]


def test_patterns_know_only_the_star():
    assert matches("test_a[*-x]", "test_a[1-x]")
    assert not matches("test_a[*-x]", "test_a1-x")
    assert matches("*::test_?", "file.py::test_?") and not matches("*::test_?", "file.py::test_a")


def test_each_description_is_sound():
    known = packages.load()
    for package in known.values():
        assert package.tests or package.command, package.name
        assert not any("uvloop" in each for each in package.requires), package.name
        assert all(each.reason for each in package.left_out), package.name
    for entry in verdicts.tomllib.loads(verdicts.EXPLAINED.read_text()).get("explained", []):
        assert Explanation(**entry).package in known
        assert entry["reason"]


def write(path, *records, cut=""):
    path.write_text("".join(json.dumps(each) + "\n" for each in records) + cut)


def result(test, outcome="passed", **loops):
    return {"event": "result", "test": test, "outcome": outcome, "detail": "", "seconds": 0, "loops": loops}


def event(name, test="", **more):
    return {"event": name, "test": test, **more}


def test_a_whole_report_is_collected(tmp_path):
    left_out = event("left out", "d", pattern="d*")
    tests = event("found", tests=["a", "b", "c"])
    write(
        tmp_path / "r",
        tests,
        left_out,
        event("start", "a"),
        result("a", cloop=2),
        result("b", "skipped"),
        event("end"),
    )
    run = Run()
    assert not collect(run, tmp_path / "r", "the process ended with 0")
    # pytest ended without having come to c.
    assert run.outcomes == {"a": "passed", "b": "skipped", "c": "failed"}
    assert run.loops == {"cloop": 2} and run.patterns == {"d*"}


@pytest.mark.parametrize(
    ("last_words", "outcome"), [("hung: nothing happened", "hung"), ("the process ended with -11", "crashed")]
)
def test_a_crash_costs_the_test_that_ran(tmp_path, last_words, outcome):
    tests = event("found", tests=["a", "b", "c"])
    write(tmp_path / "r", tests, event("start", "a"), result("a"), event("start", "b"), cut='{"event": "res')
    run = Run()
    assert collect(run, tmp_path / "r", last_words)
    assert run.outcomes == {"a": "passed", "b": outcome}


def test_a_suite_without_tests_has_failed(tmp_path):
    write(tmp_path / "r", event("found", tests=[]), event("end"))
    run = Run()
    assert not collect(run, tmp_path / "r", "the process ended with 5")
    assert run.outcomes == {"(all)": "failed"}
