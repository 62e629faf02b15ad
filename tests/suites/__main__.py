"""The command line: see the package's docstring."""

import argparse
import sys
from pathlib import Path

from . import packages, verdicts
from .packages import Package
from .places import Places, default_folder
from .runs import Run, run_suite
from .verdicts import LOOPS, Comparison, Difference

# In a run on a loop, so much of the loops made must be of that kind.
SHARE = 0.9


def main() -> int:
    """Run the suites asked for; the exit code."""
    known = packages.load()
    options = parse(known)
    places = Places(options.work, options.wheel)
    rows, failed = [], []
    for name in options.names or known:
        row, passed = run_package(known[name], places, options)
        rows.append(row)
        if not passed:
            failed.append(name)
    print("\n" + "\n".join(rows))
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nnothing differs that is not explained")
    return 1 if failed else 0


def parse(known: dict[str, Package]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description="Libraries' suites on cloop.")
    parser.add_argument("names", nargs="*", metavar="package", help=f"default: all of {', '.join(known)}")
    parser.add_argument("--loop", choices=("both", *LOOPS), default="both", help="both compares the two")
    parser.add_argument("-k", dest="pattern", default="*", help="only tests like this; * stands for anything")
    parser.add_argument(
        "--work", type=Path, default=default_folder(), help="the folder for downloads and more"
    )
    parser.add_argument("--wheel", type=Path, help="a wheel of cloop, instead of one of this checkout")
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"no such package: {', '.join(sorted(unknown))}")
    return options


def run_package(package: Package, places: Places, options: argparse.Namespace) -> tuple[str, bool]:
    """Run one suite and print what is to be known; returns a line of the table and whether all is well."""
    say(f"==== {package.name} {package.version}")
    places.prepare(package)
    loops = LOOPS if options.loop == "both" else (options.loop,)
    whole = options.pattern == "*"
    runs, faults = {}, []
    for loop in loops:
        runs[loop] = run_suite(package, loop, places, pattern=options.pattern)
        say(f"{loop}: {runs[loop].summary()}")
        faults += faults_of(runs[loop], loop, package, whole)
        runs[loop].save(places.results(package, loop))
    if len(loops) == 1:
        faults += show_failures(runs[loops[0]])
        shown = ""
    else:
        comparison = verdicts.compare(
            {loop: run.outcomes for loop, run in runs.items()},
            lambda loop, tests: run_suite(package, loop, places, only=tests).outcomes,
            verdicts.load(package.name),
            whole,
        )
        show_common(runs)
        show(comparison, runs)
        faults += [] if comparison.passed else ["differences"]
        shown = f"; unexplained {len(comparison.unexplained)}, explained {len(comparison.explained)}"
    for fault in faults:
        say(f"FAULT {package.name}: {fault}")
    table = "; ".join(f"{loop} {run.summary()}" for loop, run in runs.items())
    return f"{package.name} {package.version}: {table}{shown}", not faults


def show_common(runs: dict[str, Run]) -> None:
    """Print what fails on both loops: the suite's own trouble, or this machine's."""
    for test, result in runs["asyncio"].results.items():
        other = runs["cloop"].results.get(test)
        if result.outcome in verdicts.FAILURES and other is not None and other.outcome == result.outcome:
            say(f"{result.outcome} on both: {test}")


def faults_of(run: Run, loop: str, package: Package, whole: bool) -> list[str]:
    """What is wrong with a run, whatever its tests say: it was not on that loop, an entry is of no use."""
    faults = []
    if run.loops[loop] < SHARE * run.loops.total() or (whole and not run.loops[loop]):
        faults.append(f"the run on {loop} made loops of other kinds: {dict(run.loops)}")
    if "passed" not in run.outcomes.values():
        faults.append(f"no test passed on {loop}")
    if whole:
        unmatched = [each.test for each in package.left_out if each.test not in run.patterns]
        faults += [f"the entry of left_out {test} matches no test" for test in unmatched]
    return faults


def show_failures(run: Run) -> list[str]:
    """Print what failed, where there is nothing to compare with; returns the faults."""
    failed = {test: result for test, result in run.results.items() if result.outcome in verdicts.FAILURES}
    for test, result in failed.items():
        say(f"{'=' * 90}\n{result.outcome.upper()} {test}\n{result.detail}")
    return [f"{len(failed)} tests failed"] if failed else []


def show(comparison: Comparison, runs: dict[str, Run]) -> None:
    """Print what a comparison found."""
    for each in comparison.flaky:
        say(f"flaky: {line(each)}")
    for each, entry in comparison.explained:
        say(f"explained: {line(each)}\n    {entry.reason}")
    for entry in comparison.idle:
        say(f"an entry of explained.toml whose tests end alike: {entry.test}")
    for entry in comparison.unmatched:
        say(f"AN ENTRY of explained.toml matches no test: {entry.test}")
    for each in comparison.unexplained:
        say(f"{'=' * 90}\nDIFFERENT {line(each)}")
        for loop in LOOPS:
            result = runs[loop].results.get(each.test)
            if result is not None and result.detail:
                say(f"---- on {loop}:\n{result.detail}")


def line(difference: Difference) -> str:
    """A test and its outcomes."""
    return f"{difference.test}: asyncio {', '.join(difference.asyncio)}; cloop {', '.join(difference.cloop)}"


def say(text: str) -> None:
    """Print at once: a suite takes minutes."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
