"""Compare what became of tests on two loops: the same, flaky, explained, or different."""

import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stdlib.exclusions import in_bound

from .inside.cloop_suite_pattern import matches

EXPLAINED = Path(__file__).with_name("explained.toml")
LOOPS = ("asyncio", "cloop")
ABSENT = "absent"
FAILURES = ("failed", "crashed", "hung")
TIMES_AGAIN = 3

# What became of tests, by their names.
Outcomes = Mapping[str, str]


@dataclass(frozen=True)
class Explanation:
    """One entry of explained.toml: tests that end otherwise on cloop, and why that is right."""

    package: str
    test: str
    reason: str
    python: str = ""

    def applies(self, package: str, version: tuple[int, ...] = sys.version_info[:3]) -> bool:
        """Whether it is for that package on that version of Python."""
        bounds = [bound.strip() for bound in self.python.split(",") if bound.strip()]
        return package == self.package and all(in_bound(version, bound) for bound in bounds)


def load(package: str, data: Path = EXPLAINED) -> list[Explanation]:
    """The entries for a package on the running version."""
    entries = [Explanation(**entry) for entry in tomllib.loads(data.read_text()).get("explained", [])]
    return [each for each in entries if each.applies(package)]


@dataclass(frozen=True)
class Difference:
    """A test with all its outcomes on asyncio and on cloop, in the order of the runs."""

    test: str
    asyncio: tuple[str, ...]
    cloop: tuple[str, ...]

    @property
    def flaky(self) -> bool:
        """Whether cloop, when the test was run again, gave only what asyncio gave at some time.

        What differed in the first run is then not the loop's. A test that cloop fails now and then and
        asyncio never is a difference.
        """
        return len(self.cloop) > 1 and set(self.cloop[1:]) <= set(self.asyncio)


@dataclass
class Comparison:
    """The tests that ended otherwise in the first run, sorted; and the entries that are of no use."""

    flaky: list[Difference]
    explained: list[tuple[Difference, Explanation]]
    unexplained: list[Difference]
    # Entries that are like no test at all, and those whose tests end alike.
    unmatched: list[Explanation]
    idle: list[Explanation]

    @property
    def passed(self) -> bool:
        """Whether nothing is unexplained, and each entry is of a test."""
        return not self.unexplained and not self.unmatched


def differing(asyncio: Outcomes, cloop: Outcomes) -> list[str]:
    """The tests that ended otherwise, or were only on one of the loops."""
    tests = [*asyncio, *(test for test in cloop if test not in asyncio)]
    return [test for test in tests if asyncio.get(test, ABSENT) != cloop.get(test, ABSENT)]


def compare(
    first: Mapping[str, Outcomes],
    run_again: Callable[[str, Sequence[str]], Outcomes],
    explanations: Iterable[Explanation],
    whole: bool = True,
) -> Comparison:
    """Judge the outcomes of the first run, by loop.

    `run_again(loop, tests)` is called several times a loop, with the tests that differ, if any.
    Unless the suite was run as a `whole`, no entry is told to be of no use.
    """
    tests = differing(first["asyncio"], first["cloop"])
    runs: dict[str, list[Outcomes]] = {loop: [first[loop]] for loop in LOOPS}
    for _ in range(TIMES_AGAIN if tests else 0):
        for loop in LOOPS:
            runs[loop].append(run_again(loop, tests))
    found = [
        Difference(test, *(tuple(each.get(test, ABSENT) for each in runs[loop]) for loop in LOOPS))
        for test in tests
    ]
    return sort(found, list(explanations), [*first["asyncio"], *first["cloop"]] if whole else None)


def sort(
    found: Iterable[Difference], explanations: Sequence[Explanation], tests: Sequence[str] | None
) -> Comparison:
    """Sort the differences, and the entries by whether they serve; `tests` are all there are, if known."""
    flaky: list[Difference] = []
    explained: list[tuple[Difference, Explanation]] = []
    unexplained: list[Difference] = []
    for each in found:
        entry = next((entry for entry in explanations if matches(entry.test, each.test)), None)
        if entry is not None:
            explained.append((each, entry))
        else:
            (flaky if each.flaky else unexplained).append(each)
    serving = {entry for _, entry in explained}
    idle = [] if tests is None else [entry for entry in explanations if entry not in serving]
    unmatched = [entry for entry in idle if not any(matches(entry.test, test) for test in tests or ())]
    return Comparison(
        flaky, explained, unexplained, unmatched, [each for each in idle if each not in unmatched]
    )
