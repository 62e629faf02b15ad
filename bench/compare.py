"""Compare the loops on the scheduling cases, in turn, and print the table of ratios.

    python -m bench.compare
    python -m bench.compare --loops cloop,uvloop --cases call_soon,switch --quick

Each round measures every case on every loop, each in a child process of its own on the same core. The
children of a case take turns, one short run after the other, and the order moves on by one from turn to
turn. So whatever else the machine does in the meantime falls on all of them. The first table gives the best
of all runs; in the second, the ratio is the median of the ratios of runs that followed one another.
"""

from __future__ import annotations

import argparse
import json
import select
import statistics
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from .cases import CASES, Case, Figures
from .loops import CLOOP, SCHEDULERS, version_of
from .machine import cores, description
from .progress import Progress
from .servers import ROOT
from .table import ABSENT, number, ratio, render
from .tool import add_common_options, chosen_loops, new_parser, parse_names, write_json

QUICK_DIVISOR = 10
FAILURES_ALLOWED = 1  # some peers hang now and then: once may be chance, twice is not worth the wait


@dataclass
class Cell:
    """What is known of one case on one loop."""

    runs_ns: dict[int, float] = field(default_factory=dict)  # by the turn, counted through all rounds
    figures: Figures = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, turn: int, ns: float, figures: Figures) -> None:
        self.runs_ns[turn] = ns
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0) + value


Statistic = Callable[[Collection[float]], float]
STATISTICS: dict[str, Statistic] = {"best": min, "median": statistics.median}
Cells = dict[tuple[str, str], Cell]  # by case key and loop name


@dataclass(frozen=True)
class Comparison:
    """All that was measured, and the questions the tables put to it."""

    loops: list[str]
    cases: list[Case]
    cells: Cells

    def value(self, key: str, loop: str, statistic: Statistic) -> float | None:
        """Nanoseconds per operation, None where there is no measurement."""
        cell = self.cells.get((key, loop))
        return statistic(cell.runs_ns.values()) if cell and cell.runs_ns else None

    def best_peer(self, key: str, statistic: Statistic) -> float | None:
        """The time of the fastest loop other than cloop."""
        values = [self.value(key, loop, statistic) for loop in self.loops if loop != CLOOP]
        return min((value for value in values if value is not None), default=None)

    def to_best_peer(self, case: Case, statistic: Statistic) -> float | None:
        """cloop's time over the best peer's; a case for cloop only is held against its base.

        That of the best runs, or with the median the worst of the medians of the ratios turn by turn.
        """
        rival = case.base if case.only and case.base else case.key
        if statistic is min:
            return ratio(self.value(case.key, CLOOP, statistic), self.best_peer(rival, statistic))
        ratios = [self.paired(case.key, rival, peer) for peer in self.loops if peer != CLOOP]
        return max((each for each in ratios if each is not None), default=None)

    def paired(self, key: str, rival: str, peer: str) -> float | None:
        """The median of cloop's time over a peer's in the same turn."""
        own, other = self.cells.get((key, CLOOP)), self.cells.get((rival, peer))
        if own is None or other is None:
            return None
        ratios = [ns / other.runs_ns[turn] for turn, ns in own.runs_ns.items() if turn in other.runs_ns]
        return statistics.median(ratios) if ratios else None

    def meets_target(self, case: Case, statistic: Statistic) -> bool | None:
        """Whether cloop reaches the case's target, None where there is none or no measurement.

        A case's own figures count what must not happen, such as waking early.
        """
        reached = self.to_best_peer(case, statistic)
        if reached is None or case.target is None:
            return None
        return reached <= case.target and not any(self.cells[case.key, CLOOP].figures.values())

    def missed(self, statistic: Statistic) -> list[Case]:
        """The cases in which cloop was measured and does not reach its target."""
        return [case for case in self.cases if self.meets_target(case, statistic) is False]


# -- measuring ----------------------------------------------------------------------------------------------


class Failed(Exception):
    """A worker has not done what it was asked for; the message says why."""


class Worker:
    """A child process that measures one case on one loop, a run at a time."""

    def __init__(self, process: subprocess.Popen[str], time_limit: float) -> None:
        self.process = process
        self.time_limit = time_limit

    def answer(self) -> tuple[float, Figures]:
        """The nanoseconds per operation and the figures of the run under way."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], self.time_limit)
        if not readable:
            raise Failed(f"not done in {self.time_limit:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"exit code {self.process.wait(self.time_limit)}")
        said = json.loads(line)
        return said["ns"], said["figures"]

    def run(self) -> tuple[float, Figures]:
        """Measure once."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"exit code {self.process.wait(self.time_limit)}") from None
        return self.answer()


@contextmanager
def worker(loop: str, case: Case, args: argparse.Namespace) -> Iterator[Worker]:
    """A worker that is warmed up, while the block lasts. Raises Failed."""
    command = [sys.executable, "-m", f"{__package__}.worker", loop, case.key]
    command += ["--operations", str(max(case.n // args.divisor, 100))]
    if args.core is not None:
        command += ["--core", str(args.core)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        measuring = Worker(process, args.time_limit)
        measuring.answer()
        yield measuring
    finally:
        with process:
            process.kill()


def take_turns(workers: dict[str, Worker], cells: dict[str, Cell], first: int, turns: int) -> None:
    """So many turns of the workers, numbered from `first`; one that fails is out."""
    order = list(workers)
    for turn in range(first, first + turns):
        for loop in list(order):
            try:
                cells[loop].add(turn, *workers[loop].run())
            except Failed as failure:
                cells[loop].failures.append(str(failure))
                order.remove(loop)
        order = order[1:] + order[:1]


def measure(loops: list[str], cases: list[Case], args: argparse.Namespace, progress: Progress) -> Cells:
    """Every round of every case of every loop. A loop that fails twice in a case is let off.

    `args` holds rounds, repeats (runs in a round), core, time_limit (seconds for a run) and divisor (of the
    cases' numbers of operations). Each case of each round is a step of the progress.
    """
    cells = {(case.key, loop): Cell() for case in cases for loop in loops if case.only in (None, loop)}
    for turn in range(args.rounds):
        for case in cases:
            progress.show(f"round {turn + 1}/{args.rounds}  {case.title}")
            own = {loop: cells[case.key, loop] for loop in loops if (case.key, loop) in cells}
            with ExitStack() as stack:
                workers = {}
                for loop, cell in own.items():
                    if len(cell.failures) > FAILURES_ALLOWED:
                        continue
                    try:
                        workers[loop] = stack.enter_context(worker(loop, case, args))
                    except Failed as failure:
                        cell.failures.append(str(failure))
                take_turns(workers, own, turn * args.repeats, args.repeats)
            progress.step(case.title)
    return cells


# -- reporting ----------------------------------------------------------------------------------------------


def ratio_table(comparison: Comparison, statistic: Statistic) -> str:
    """A row a case: a column a loop in ns per operation, cloop over the best peer, what that should be."""
    rows = []
    for case in comparison.cases:
        values = [number(comparison.value(case.key, loop, statistic)) for loop in comparison.loops]
        reached = comparison.to_best_peer(case, statistic)
        target = ABSENT if case.target is None else f"<= {case.target:.2f}"
        verdict = {True: "yes", False: "NO", None: ABSENT}[comparison.meets_target(case, statistic)]
        rows.append([case.title, *values, number(reached, 2), target, verdict])
    return render(["ns per operation", *comparison.loops, "cloop / best peer", "target", "met"], rows)


def growth_table(comparison: Comparison, statistic: Statistic) -> str | None:
    """How many times its base a crowded case costs, per loop; None when no such pair was measured."""
    rows = []
    for case in comparison.cases:
        if case.only or not case.base:
            continue
        factors = [
            ratio(comparison.value(case.key, loop, statistic), comparison.value(case.base, loop, statistic))
            for loop in comparison.loops
        ]
        rows.append([case.title, *[number(factor, 2) for factor in factors]])
    return render(["cost / the same without the crowd", *comparison.loops], rows) if rows else None


def remarks(comparison: Comparison) -> list[str]:
    """What the cells cannot show: failures, and figures that should be zero and are not."""
    lines = []
    for (key, loop), cell in comparison.cells.items():
        lines += [f"{loop}, {CASES[key].title}: {failure}" for failure in cell.failures]
        lines += [
            f"{loop}, {CASES[key].title}: {name} {value:g} times"
            for name, value in cell.figures.items()
            if value
        ]
    return lines


def case_as_json(comparison: Comparison, case: Case) -> dict[str, Any]:
    """Everything measured of one case, for a file."""
    ratios = {name: comparison.to_best_peer(case, statistic) for name, statistic in STATISTICS.items()}
    cells = {loop: comparison.cells.get((case.key, loop)) for loop in comparison.loops}
    loops = {loop: asdict(cell) for loop, cell in cells.items() if cell}
    return {"title": case.title, "target": case.target, "to_best_peer": ratios, "loops": loops}


def report(comparison: Comparison, args: argparse.Namespace) -> None:
    """Print the tables and the remarks."""
    facts = ", ".join(f"{name} {value}" for name, value in description().items())
    print(facts)
    print("; ".join(f"{loop} {version_of(loop)}".strip() for loop in comparison.loops))
    for name, statistic in STATISTICS.items():
        if name == "median" and args.rounds * args.repeats == 1:
            continue  # the same table again
        print(f"\n{name} of the runs\n{ratio_table(comparison, statistic)}")
    growth = growth_table(comparison, statistics.median)
    if growth:
        print(f"\nmedian of the runs\n{growth}")
    for line in remarks(comparison):
        print(f"note: {line}")
    if args.quick:
        print("note: a quick run shows that everything works; its figures are not to be quoted")


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.compare", __doc__)
    add_common_options(parser, rounds=3, loops=SCHEDULERS)
    parser.add_argument("--cases", help=f"comma-separated, of {', '.join(CASES)} (default: all)")
    parser.add_argument("--repeats", type=int, default=8, help="runs in a round (default: 8)")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--core", type=int, default=cores()[0], help="to measure on (default: the last one)")
    parser.add_argument("--no-pin", dest="core", action="store_const", const=None, help="on any core")
    parser.add_argument("--time-limit", type=float, default=30, metavar="S", help="per run (default: 30)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    args = parser.parse_args()
    args.divisor = QUICK_DIVISOR if args.quick else 1
    if args.quick:
        args.rounds = args.repeats = 1
    return args


def main() -> int:
    args = parse_args()
    loops = chosen_loops(args.loops, SCHEDULERS)
    cases = [CASES[key] for key in parse_names(args.cases, list(CASES))]
    with Progress(args.rounds * len(cases)) as progress:
        comparison = Comparison(loops, cases, measure(loops, cases, args, progress))
    report(comparison, args)
    results = {case.key: case_as_json(comparison, case) for case in cases}
    write_json(args.json, loops, {"rounds": args.rounds, "repeats": args.repeats, "cases": results})
    return 1 if args.check and comparison.missed(statistics.median) else 0


if __name__ == "__main__":
    raise SystemExit(main())
