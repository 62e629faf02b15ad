"""Charts of what was measured, as SVG: reads the files that the measuring commands wrote with --json.

    python -m bench.charts bench/results docs/performance

A file is known by what is in it, whatever its name. One chart is drawn for each kind of measurement, of all
files of that kind: scheduling.svg, echo.svg, http.svg, scaling.svg. What was not measured is not drawn.
Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

from .echo.setting import FLOOR
from .loops import CLOOP, FACTORIES

Results = dict[str, Any]

# One colour a loop on all charts, which tell them apart in print and for the colour-blind by the marks too.
COLOURS = dict(
    zip(FACTORIES, ("#00796b", "#616161", "#e65100", "#6a1b9a", "#1565c0", "#c62828"), strict=False)
)
MARKS = dict(zip(FACTORIES, "osD^vPXd*", strict=True))
ROW_INCHES = 0.42
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    # So that the same figures make the same file.
    "svg.hashsalt": "cloop",
}


def look_of(loop: str) -> dict[str, str]:
    """The colour and the mark of a loop."""
    return {"color": COLOURS.get(loop, "#9e9e9e"), "marker": MARKS.get(loop, "*")}


def loops_of(files: Iterable[Results]) -> list[str]:
    """The loops that any of the files has, in the usual order."""
    found = {loop for file in files for loop in file["versions"]}
    return [loop for loop in FACTORIES if loop in found]


def caption(files: list[Results]) -> str:
    """The machine and the versions, in one line."""
    machine = files[0]["machine"]
    versions = {name: number for file in files for name, number in file["versions"].items() if number}
    loops = [f"{name} {number}" for name, number in versions.items()]
    return ", ".join([f"CPython {machine['python']}", machine["system"], machine["machine"], *loops])


def save(figure: Any, files: list[Results], path: Path) -> None:
    figure.supxlabel(caption(files), fontsize=6, color="#616161", x=0.01, horizontalalignment="left")
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    pyplot.close(figure)


# -- one row a case, one dot a loop -------------------------------------------------------------------------


def dots(rows: dict[str, dict[str, float]], loops: list[str], label: str, *, log: bool) -> Any:
    """A chart with a row for each case, the first on top, and in it a dot for each loop."""
    height = 1.2 + ROW_INCHES * len(rows)
    figure, axes = pyplot.subplots(figsize=(8, height), layout="constrained")
    for loop in loops:
        points = [(row[loop], y) for y, row in enumerate(rows.values()) if loop in row]
        if points:
            axes.scatter(*zip(*points, strict=True), s=34, label=loop, zorder=3, **look_of(loop))
    axes.set_yticks(range(len(rows)), labels=list(rows))
    axes.invert_yaxis()
    axes.axvline(1, color="#9e9e9e", linewidth=1)
    axes.grid(axis="y", color="#eeeeee")
    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    figure.legend(loc="outside upper right", ncols=len(loops), frameon=False)
    return figure


def over(times: dict[str, float], reference: dict[str, float]) -> float:
    """The median of the ratios of what was measured in the same turn."""
    return statistics.median(time / reference[turn] for turn, time in times.items() if turn in reference)


def draw_scheduling(files: list[Results], path: Path) -> None:
    """Times over cloop's, of the ratios turn by turn."""
    rows = {}
    for file in files:
        for case in file["cases"].values():
            runs = {loop: cell["runs_ns"] for loop, cell in case["loops"].items() if cell["runs_ns"]}
            if CLOOP in runs and len(runs) > 1:
                rows[case["title"]] = {loop: over(times, runs[CLOOP]) for loop, times in runs.items()}
    save(dots(rows, loops_of(files), "time, over cloop's", log=True), files, path)


def title_of(setting: dict[str, Any]) -> str:
    """What an echo measurement was of, in a few words."""
    size = setting["size"]
    amount = f"{size // 1024} KB" if size >= 1024 else f"{size} B"
    kind = [setting["mode"]] + [name for name in ("tls", "unix", "reconnect") if setting.get(name)]
    connections = f"{setting['connections']} connection" + "s" * (setting["connections"] != 1)
    return f"{', '.join(kind)}: {amount}, {connections}"


def draw_echo(files: list[Results], path: Path) -> None:
    """Rates over the C server's, of the ratios within the rounds."""
    rows = {}
    for file in files:
        rates = {
            name: [rate["messages_per_s"] for rate in measured] for name, measured in file["results"].items()
        }
        floor = rates.pop(FLOOR, [])
        rows[title_of(file["setting"])] = {
            loop: statistics.median(a / b for a, b in zip(measured, floor, strict=False))
            for loop, measured in rates.items()
            if measured and floor
        }
    save(dots(rows, loops_of(files), "messages a second, over the C server's", log=False), files, path)


# -- bars ---------------------------------------------------------------------------------------------------


def bars(groups: dict[str, dict[str, list[float]]], colours: dict[str, str], label: str) -> Any:
    """A group of bars for each server: medians, and lines from the lowest to the highest measurement."""
    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    names = list(colours)
    width = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        for group, measured in enumerate(groups.values()):
            if not measured.get(name):
                continue
            values = measured[name]
            median = statistics.median(values)
            axes.bar(
                group + number * width,
                median,
                width * 0.9,
                color=colours[name],
                yerr=[[median - min(values)], [max(values) - median]],
                error_kw={"linewidth": 0.8, "ecolor": "#212121"},
                label=name if not group else None,
            )
    middle = width * (len(names) - 1) / 2
    axes.set_xticks([group + middle for group in range(len(groups))], labels=list(groups))
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    figure.legend(loc="outside upper right", ncols=len(names), frameon=False)
    return figure


def draw_http(files: list[Results], path: Path) -> None:
    """Requests a second of each server under each loop."""
    groups = {
        server: {loop: [rate["requests_per_s"] for rate in measured] for loop, measured in loops.items()}
        for file in files
        for server, loops in file["results"].items()
    }
    colours = {loop: look_of(loop)["color"] for loop in loops_of(files)}
    save(bars(groups, colours, "requests a second"), files, path)


def draw_scaling(files: list[Results], path: Path) -> None:
    """Requests a second of one process and of several."""
    groups = {server: rates for file in files for server, rates in file["results"].items()}
    counts = sorted({int(count) for rates in groups.values() for count in rates})
    shades = ["#80cbc4", "#00796b", "#004d40", "#00251a"]
    names = {str(count): f"{count} process" + "es" * (count != 1) for count in counts}
    named = {server: {names[count]: rates[count] for count in rates} for server, rates in groups.items()}
    colours = {names[str(count)]: shades[min(place, 3)] for place, count in enumerate(counts)}
    save(bars(named, colours, "requests a second"), files, path)


# -- files --------------------------------------------------------------------------------------------------


def kind_of(file: Results) -> str | None:
    """Which measurement wrote a file; None for one that has a chart of its own."""
    if "cases" in file:
        return "scheduling"
    if not isinstance(file.get("results"), dict):
        return None
    setting = file.get("setting", {})
    if "mode" in setting:
        return "echo"
    return "scaling" if "rounds_of_hash" in setting else "http"


DRAW: dict[str, Callable[[list[Results], Path], None]] = {
    "scheduling": draw_scheduling,
    "echo": draw_echo,
    "http": draw_http,
    "scaling": draw_scaling,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.charts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", type=Path, help="a folder of JSON files")
    parser.add_argument("charts", type=Path, help="the folder to write SVG files into")
    args = parser.parse_args()
    kinds: dict[str, list[Results]] = {}
    for path in sorted(args.results.glob("*.json")):
        file = json.loads(path.read_text())
        if kind := kind_of(file):
            kinds.setdefault(kind, []).append(file)
    if not kinds:
        raise SystemExit(f"nothing to draw in {args.results}")
    args.charts.mkdir(parents=True, exist_ok=True)
    matplotlib.use("svg")
    with matplotlib.rc_context(STYLE):
        for kind, files in kinds.items():
            DRAW[kind](files, args.charts / f"{kind}.svg")
            print(args.charts / f"{kind}.svg")


if __name__ == "__main__":
    main()
