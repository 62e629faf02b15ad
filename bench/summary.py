"""Is cloop worth it on this machine? cloop beside asyncio and the other loops that are installed, in turn.

    python -m cloop bench
    python -m cloop bench --only scheduling,tls --loops cloop,asyncio,uvloop --chart loops.svg

It measures scheduling (tasks, futures, timers, callbacks), echo servers written with Protocol, over TCP and
over TLS, and with streams. A figure is the median of the runs, behind it the spread: half of the distance
between the quartiles. The ratios are medians of the ratios of runs that followed one another, above 1 where
cloop is faster; what cloop loses is listed below the tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .cases import CASES
from .compare import Comparison, measure
from .echo.build import program
from .echo.run import measure as measure_echo
from .echo.setting import FLOOR, Setting, servers_of
from .loops import CLOOP, version_of
from .machine import cores, description, two_cores
from .progress import Progress
from .servers import all_running, in_turn
from .table import number, render
from .tool import add_common_options, chosen_loops, new_parser, parse_names, write_json

LOOPS = (CLOOP, "asyncio", "uvloop", "rloop", "blazio")
SCHEDULING = ("call_soon", "switch", "future", "create_task", "gather", "queue", "timers", "executor")
REPEATS = 4  # runs of a scheduling case in a round

# What is asked of a server: the section, the title, how it is written, bytes in a message, over TLS.
ECHOES = [
    ("echo", "Protocol, 1 KB", "protocol", 1024, False),
    ("echo", "Protocol, 100 KB", "protocol", 102400, False),
    ("streams", "streams, 1 KB", "streams", 1024, False),
    ("streams", "streams by line, 1 KB", "readline", 1024, False),
    ("tls", "Protocol over TLS, 1 KB", "protocol", 1024, True),
    ("tls", "Protocol over TLS, 100 KB", "protocol", 102400, True),
]
SECTIONS = ("scheduling", "echo", "streams", "tls")
CONNECTIONS = 10


@dataclass
class Row:
    """One question and what was measured, each loop's runs in the order of the turns."""

    section: str
    title: str
    unit: str
    more_is_better: bool
    runs: dict[str, list[float]]
    ratios: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ratios = {
            name: ratio for name in self.runs if name != CLOOP and (ratio := self.against(name)) is not None
        }

    def against(self, name: str) -> float | None:
        """How many times as fast as another loop cloop is; None where one was not measured."""
        pairs = [
            (own, other)
            for own, other in zip(self.runs.get(CLOOP, []), self.runs[name], strict=False)
            if own > 0 and other > 0
        ]
        if not pairs:
            return None
        return statistics.median(own / other if self.more_is_better else other / own for own, other in pairs)

    def best_peer(self) -> str | None:
        """The loop that is the fastest beside cloop; the C server is no loop."""
        peers = {name: ratio for name, ratio in self.ratios.items() if name != FLOOR}
        return min(peers, key=peers.__getitem__, default=None)

    def cell(self, name: str) -> str:
        """The median of a loop's runs, and their spread in per cent."""
        runs = self.runs.get(name, [])
        if not runs:
            return number(None)
        middle = statistics.median(runs)
        if len(runs) == 1:
            return number(middle)
        first, _, third = statistics.quantiles(runs, n=4, method="inclusive")
        return f"{number(middle)} ±{(third - first) / 2 / middle:.0%}"


# -- measuring ----------------------------------------------------------------------------------------------


def schedule(loops: list[str], args: argparse.Namespace, progress: Progress) -> list[Row]:
    """The rows of the scheduling cases."""
    cases = [CASES[key] for key in SCHEDULING]
    how = argparse.Namespace(
        rounds=args.rounds, repeats=REPEATS, core=cores()[0], time_limit=30, divisor=args.divisor
    )
    comparison = Comparison(loops, cases, measure(loops, cases, how, progress))
    rows = []
    for case in cases:
        cells = {loop: comparison.cells[case.key, loop] for loop in loops}
        runs = {loop: list(cell.runs_ns.values()) for loop, cell in cells.items()}
        if any(cell.failures for cell in cells.values()):
            # Only turns that all have made can be compared, all but those who never made one.
            made = [set(cell.runs_ns) for cell in cells.values() if cell.runs_ns]
            common = sorted(set.intersection(*made)) if made else []
            runs = {
                loop: [cell.runs_ns[turn] for turn in common if turn in cell.runs_ns]
                for loop, cell in cells.items()
            }
        rows.append(Row("scheduling", case.title, "ns per operation", False, runs))
    return rows


def echo(
    loops: list[str], question: tuple[str, str, str, int, bool], args: argparse.Namespace, progress: Progress
) -> Row:
    """The row of one way to write an echo server."""
    section, title, mode, size, tls = question
    setting = Setting(mode, size, CONNECTIONS, False, 0, 0, False, tls, False, *two_cores())
    with all_running(servers_of(loops, tls=tls), setting.server) as servers:

        def once(name: str) -> float:
            progress.step(f"{title}: {name}")
            return measure_echo(setting, servers[name], args.seconds).messages_per_s

        runs = in_turn(list(servers), args.rounds, once)
    return Row(section, title, "messages per second", True, runs)


# -- reporting ----------------------------------------------------------------------------------------------


def table(rows: list[Row], loops: list[str]) -> str:
    """A row a question: every loop's figure, then cloop's speed over asyncio's and over the best peer's."""
    names = [*loops, *([FLOOR] if any(FLOOR in row.runs for row in rows) else [])]
    lines = []
    for row in rows:
        best = row.best_peer()
        compared = [row.ratios.get("asyncio"), row.ratios.get(best) if best else None]
        lines.append([row.title, *map(row.cell, names), *(number(each, 2) for each in compared), best or "-"])
    better = "more" if rows[0].more_is_better else "less"
    headers = [f"{rows[0].unit} ({better} is better)", *names]
    return render([*headers, "x asyncio", "x best other", "which is"], lines)


def verdict(rows: list[Row]) -> str:
    """What cloop wins and what it loses, against the fastest of the others."""
    compared = [(row, best) for row in rows if (best := row.best_peer()) is not None]
    if not compared:
        return "Nothing to compare with."
    lost = [(row, best) for row, best in compared if row.ratios[best] < 1]
    lines = [f"cloop is the fastest in {len(compared) - len(lost)} of {len(compared)}."]
    lines += [f"  slower: {row.title}, {row.ratios[best]:.2f} times {best}" for row, best in lost]
    return "\n".join(lines)


def report(rows: list[Row], loops: list[str], args: argparse.Namespace) -> None:
    """Print the tables, the verdict, and what to keep in mind."""
    print(", ".join(f"{name} {value}" for name, value in description().items()))
    print("; ".join(f"{loop} {version_of(loop)}".strip() for loop in loops))
    for more_is_better in (False, True):
        alike = [row for row in rows if row.more_is_better is more_is_better]
        if alike:
            print(f"\n{table(alike, loops)}")
    print(f"\n{verdict(rows)}")
    if any(FLOOR in row.runs for row in rows):
        print(f"note: {FLOOR} is a bare server in C on epoll, the same work without a loop")
    asked = {row.section == "tls" for row in rows if row.more_is_better}
    slow = ["TLS" if tls else "TCP" for tls in sorted(asked) if not program("load", tls=tls)]
    if slow:
        over = " and ".join(slow)
        print(f"note: over {over} the load is Python's, which fast servers outrun: the rates may be its own")
    if args.quick:
        print("note: a quick run shows that everything works; its figures are not to be quoted")


def draw(rows: list[Row], loops: list[str], path: Path) -> None:
    """Draw the speeds as multiples of asyncio's, or of the first other loop's, into a PNG or SVG file."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    others = [loop for loop in loops if loop != CLOOP] or loops
    base = "asyncio" if "asyncio" in others else others[0]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.5 * len(rows)), layout="constrained")
    height = 0.8 / len(loops)
    for i, loop in enumerate(loops):
        speeds = []
        for row in rows:
            own, other = (statistics.median(row.runs[name] or [0]) for name in (loop, base))
            quotient = own / other if row.more_is_better else other / own
            speeds.append(quotient if own and other else 0)
        places = [place + (len(loops) / 2 - i - 1) * height for place in range(len(rows), 0, -1)]
        axes.barh(places, speeds, height, label=loop, align="edge")
    axes.set_yticks(range(len(rows), 0, -1), [row.title for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"speed, {base} = 1 (more is faster)")
    axes.legend()
    facts = [f"{name} {value}" for name, value in description().items()]
    facts += [f"{loop} {version_of(loop)}" for loop in loops if version_of(loop)]
    figure.supxlabel(", ".join(facts), fontsize="x-small", x=0.01, ha="left")
    figure.savefig(path)


def chart_path(text: str) -> Path:
    """The path of a chart, if one can be drawn here."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".svg"):
        raise argparse.ArgumentTypeError("a chart is a .png or an .svg file")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise argparse.ArgumentTypeError("a chart needs matplotlib: pip install matplotlib") from None
    return path


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = new_parser("cloop bench", __doc__)
    add_common_options(parser, seconds=0.25, rounds=5, loops=LOOPS)
    parser.add_argument("--only", help=f"comma-separated, of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--chart", type=chart_path, metavar="OUT", help="draw a chart, .png or .svg")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    args = parser.parse_args(arguments)
    args.divisor = 10 if args.quick else 1
    if args.quick:
        args.rounds, args.seconds = 1, 0.1
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    sections = parse_names(args.only, SECTIONS)
    loops = chosen_loops(args.loops, LOOPS)
    questions = [question for question in ECHOES if question[0] in sections]
    steps = args.rounds * len(SCHEDULING) if "scheduling" in sections else 0
    steps += args.rounds * sum(len(servers_of(loops, tls=tls)) for *_, tls in questions)
    parts: list[Callable[[Progress], list[Row]]] = []
    if "scheduling" in sections:
        parts.append(partial(schedule, loops, args))
    rows: list[Row] = []
    with Progress(steps) as progress:
        for part in parts:
            rows += part(progress)
        for question in questions:
            rows.append(echo(loops, question, args, progress))
    report(rows, loops, args)
    results: list[dict[str, Any]] = [asdict(row) for row in rows]
    write_json(args.json, loops, {"rounds": args.rounds, "seconds": args.seconds, "results": results})
    if args.chart:
        draw(rows, loops, args.chart)


if __name__ == "__main__":
    main(sys.argv[1:])
