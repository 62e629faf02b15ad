"""Start a child process for each test module, and collect what it reported.

A child that dies, or is ended because a test hung, costs that one test: it counts as failed, with the
child's last words, and another child goes on with the tests after it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .child import Order

ROOT = Path(__file__).resolve().parents[2]
MODULE_SECONDS = 600
MOST_CRASHES = 20
LAST_WORDS = 6000


def add_options(parser: argparse.ArgumentParser, loops: Iterable[str]) -> None:
    """The options that the command lines of both suites have."""
    parser.add_argument("modules", nargs="*", metavar="module", help="such as test_tasks; default: all")
    parser.add_argument("--loop", choices=list(loops), default="cloop", help="asyncio swaps nothing")
    parser.add_argument("-k", dest="pattern", default="*", help="only tests like this module.class.method")
    parser.add_argument("-j", dest="jobs", type=int, default=1, help="so many modules at a time")
    parser.add_argument("--with-excluded", action="store_true", help="run what exclusions.toml leaves out")


@dataclass
class Outcome:
    """The tests of one run by what became of them, each with its detail."""

    passed: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)

    def add(self, other: "Outcome", prefix: str) -> None:
        """Take over the tests of another one."""
        for kind in asdict(other):
            mine, theirs = getattr(self, kind), getattr(other, kind)
            mine.update({f"{prefix} {test}": detail for test, detail in theirs.items()})

    def summary(self) -> str:
        """One line with the four counts."""
        return ", ".join(f"{len(tests)} {kind}" for kind, tests in vars(self).items())


def run_module(module: str, kit: str, env: dict[str, str] | None = None, **settings: object) -> Outcome:
    """Run one module of tests with a kit, in an environment; the settings are fields of Order."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as directory:
        for attempt in range(MOST_CRASHES):
            done = (*outcome.passed, *outcome.failed, *outcome.skipped)
            report = str(Path(directory, f"report{attempt}"))
            order = Order(module, kit, report, skip=done, **settings)
            last_words = run_child(order, env)
            if not collect(outcome, order, last_words):
                return outcome
    outcome.failed[f"{module} (the rest)"] = f"not run: {MOST_CRASHES} processes crashed or hung"
    return outcome


def run_modules(
    runs: Iterable[tuple[str, str]],
    processes: int,
    run: Callable[..., Outcome] = run_module,
    **settings: object,
) -> Outcome:
    """Run several (module, kit) pairs, so many at a time, and print what becomes of each."""
    total = Outcome()
    with ThreadPoolExecutor(processes) as pool:
        started = [(module, kit, pool.submit(run, module, kit, **settings)) for module, kit in runs]
        for module, kit, future in started:
            outcome = future.result()
            show(f"[{kit}] {module}", outcome)
            total.add(outcome, kit)
    print(total.summary(), flush=True)
    return total


def show(title: str, outcome: Outcome) -> None:
    """Print the failures of one module, then its counts."""
    for test, detail in outcome.failed.items():
        print(f"{'=' * 90}\nFAILED {title} {test}\n{detail}", flush=True)
    print(f"{title}: {outcome.summary()}", flush=True)


def run_child(order: Order, env: dict[str, str] | None) -> str:
    """Let a child carry out an order; returns how it ended and the end of its output."""
    command = [sys.executable, "-m", order.child, json.dumps(asdict(order))]
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=MODULE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        return f"the module took over {MODULE_SECONDS} s\n{(expired.stdout or b'').decode(errors='replace')}"
    how = f"the process ended with {ended.returncode}"
    return f"{how}\n{ended.stdout.decode(errors='replace')[-LAST_WORDS:]}"


def collect(outcome: Outcome, order: Order, last_words: str) -> bool:
    """Add a child's report to the outcome. True if another child has tests left to run."""
    waiting: dict[str, None] = {}
    running = None
    for record in records(order.report):
        event, test = record["event"], record["test"]
        if event == "found":
            waiting[test] = None
        elif event == "start":
            running = test
        elif event == "end":
            add_unrun(outcome, waiting)
            return False
        else:
            getattr(outcome, event)[test] = record["detail"]
            waiting.pop(test, None)
            running = None
    # No record of the end: the process died in a test, or before or after all of them.
    outcome.failed[running or order.module] = last_words
    waiting.pop(running or "", None)
    return running is not None and bool(waiting)


def add_unrun(outcome: Outcome, waiting: dict[str, None]) -> None:
    """Tests that unittest passed over, as after an error in setUpModule, are failures."""
    for test in waiting:
        outcome.failed.setdefault(test, "was not run")


def records(path: str) -> Iterator[dict[str, str]]:
    """The records of a report; the last may be cut short by a crash."""
    try:
        lines = Path(path).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    for line in lines:
        if line.endswith("\n"):
            yield json.loads(line)
