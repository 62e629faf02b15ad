"""Run a suite on one loop, and collect what became of each test.

The process of the suite is watched by its report: when nothing is written for longer than a test may take, it
is ended, with every thread's stack, and that test counts as hung. After a crash, too, another process goes on
with the tests that are left.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .packages import Package
from .places import Places
from .services import as_user, give, serving

MOST_CRASHES = 20
LOOK_SECONDS = 0.5
LAST_WORDS = 6000


@dataclass(frozen=True)
class Result:
    """What became of one test."""

    outcome: str
    detail: str = ""
    seconds: float = 0
    loops: tuple[tuple[str, int], ...] = ()


@dataclass
class Run:
    """One run of a suite on one loop."""

    results: dict[str, Result] = field(default_factory=dict)
    # How many loops were made, by kind.
    loops: Counter[str] = field(default_factory=Counter)
    # Patterns of `left_out` that there were tests for.
    patterns: set[str] = field(default_factory=set)

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcomes alone."""
        return {test: result.outcome for test, result in self.results.items()}

    def save(self, path: Path) -> None:
        """Write all down, for whoever wants to look closer."""
        path.write_text(json.dumps({test: asdict(result) for test, result in self.results.items()}, indent=1))

    def summary(self) -> str:
        """One line with the counts."""
        counts = Counter(self.outcomes.values())
        parts = [f"{counts[outcome]} {outcome}" for outcome in sorted(counts)]
        loops = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.loops.items()))
        return f"{len(self.results)} tests: {', '.join(parts) or 'none'}; loops made: {loops or 'none'}"


def run_suite(
    package: Package, loop: str, places: Places, only: Sequence[str] | None = None, pattern: str = "*"
) -> Run:
    """Run a package's suite, or the tests `only`, on a loop, as often as it crashes."""
    run = Run()
    for _ in range(MOST_CRASHES):
        order = {
            "loop": loop,
            "only": only,
            "skip": list(run.results),
            "pattern": pattern,
            "left_out": [each.test for each in package.left_out],
        }
        with tempfile.TemporaryDirectory() as directory:
            attempt = Attempt(package, places, Path(directory), order)
            last_words = attempt.carry_out()
            if not collect(run, attempt.report, last_words, whole=only is None):
                return run
    run.results["(the rest)"] = Result("failed", f"not run: {MOST_CRASHES} processes crashed or hung")
    return run


class Attempt:
    """One process of a suite."""

    def __init__(self, package: Package, places: Places, folder: Path, order: dict[str, object]) -> None:
        self.package = package
        self.sources = places.sources(package)
        self.python = places.interpreter(package)
        self.folder = folder
        self.report = folder / "report"
        self.order = {**order, "report": str(self.report)}
        # In a file: the names of many tests are too long for the environment.
        self.order_file = folder / "order"
        self.order_file.write_text(json.dumps(self.order))
        self.home = folder / "home"
        self.home.mkdir()

    def carry_out(self) -> str:
        """Run the process; returns how it ended and the end of its output."""
        output = self.folder / "output"
        self.report.touch()
        give(self.folder, self.package.user)
        give(self.sources, self.package.user)
        with serving(self.package.service, self.folder) as names, output.open("wb") as file:
            process = subprocess.Popen(
                self.command(names),
                cwd=self.sources / self.package.folder,
                env=self.environment(names),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                how = self.watch(process)
            finally:
                # The suite, if this was interrupted, and whatever its tests left running.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return f"{how}\n{output.read_text(errors='replace')[-LAST_WORDS:]}"

    def command(self, names: dict[str, str]) -> list[str]:
        """The command line."""
        tests = list(self.package.tests)
        if self.package.by_pytest:
            if self.order["only"] is not None:
                tests = sorted({test.partition("::")[0] for test in self.order["only"]})
            program = ["-m", "pytest", "-p", "cloop_suite", "-p", "no:cacheprovider", "-q"]
            # What a suite adds on its own is for its developers: coverage, many processes.
            program += [
                "-o",
                "addopts=",
                "--continue-on-collection-errors",
                *(option.format(**names) for option in self.package.options),
            ]
        else:
            program = ["-m", "cloop_suite_unittest", *self.package.command]
            if self.order["only"] is not None and self.package.by_name:
                tests = list(self.order["only"])
        line = [str(self.python), *program, *tests]
        return [*as_user(self.package.user), *line]

    def environment(self, names: dict[str, str]) -> dict[str, str]:
        """The environment: this process's, with the virtualenv first and a home of its own."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            **{name: value.format(**names) for name, value in self.package.environment},
            "CLOOP_SUITE": str(self.order_file),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.python.parent.parent),
            "HOME": str(self.home),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def watch(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the process, and end it when a test hangs; returns how it ended."""
        while process.poll() is None:
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                silent = time.time() - self.report.stat().st_mtime
                if silent > self.package.test_seconds:
                    # Which prints the stacks, by faulthandler.
                    process.send_signal(signal.SIGABRT)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
                    process.kill()
                    process.wait()
                    return f"hung: nothing happened for {silent:.0f} s"
        return f"the process ended with {process.returncode}"


def collect(run: Run, report: Path, last_words: str, whole: bool = True) -> bool:
    """Add a report to a run. True if there are tests left for another process."""
    waiting: dict[str, None] = {}
    running = None
    for record in records(report):
        event, test = record["event"], record["test"]
        if event == "found":
            waiting.update(dict.fromkeys(record["tests"]))
        elif event == "left out":
            run.patterns.add(record["pattern"])
        elif event == "start":
            running = test
        elif event == "result":
            loops = tuple(record["loops"].items())
            run.results[test] = Result(record["outcome"], record["detail"], record["seconds"], loops)
            run.loops.update(record["loops"])
            waiting.pop(test, None)
            running = None
        elif event == "end":
            for each in waiting:
                run.results[each] = Result("failed", f"was not run; {last_words}")
            if not run.results and whole:
                run.results["(all)"] = Result("failed", f"there was no test; {last_words}")
            return False
    # No record of the end: the process died in a test, or before or after all of them.
    outcome = "hung" if last_words.startswith("hung") else "crashed"
    run.results[running or "(outside of tests)"] = Result(outcome, last_words)
    return running is not None


def records(path: Path) -> Iterator[dict[str, object]]:
    """The records of a report; the last may be cut short by a crash."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
