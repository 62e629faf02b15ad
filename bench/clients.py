"""Clients under measurement: each loop's is a process of its own, beside one server for all of them."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass

from .loops import CLOOP
from .servers import against_peers, output_of, paired
from .table import number, render

UVLOOP = "uvloop"
GRACE_S = 15  # beyond its own time, until a client is taken to hang


@dataclass(frozen=True)
class Rate:
    """What one client had answered a second, and the CPU time of its own that each took."""

    per_s: float
    cpu_us: float
    busy: float


def run_client(command: list[str], core: int, seconds: float) -> Rate:
    """Run a client, which prints the fields of a Rate as JSON. Raises Failed."""
    return Rate(**json.loads(output_of(command, core, seconds + GRACE_S, "the client")))


def rate_of(count: int, elapsed: float, cpu: float) -> str:
    """What a client prints that had `count` things answered within so many seconds."""
    return json.dumps({"per_s": count / elapsed, "cpu_us": cpu * 1e6 / count, "busy": cpu / elapsed})


def rate_table(title: str, unit: str, measured: dict[str, list[Rate]]) -> str:
    """A row a loop: its rate, over uvloop's and the best peer's, the CPU time, and how busy it was."""
    rates = {name: [rate.per_s for rate in of_one] for name, of_one in measured.items()}
    peers = [name for name in rates if name != CLOOP]
    rows = []
    for name, of_one in measured.items():
        row = [name, number(statistics.median(rates[name]) if of_one else None)]
        row.append(number(paired(rates, name, UVLOOP), 2))
        row.append(number(against_peers(rates, name, peers), 2))
        for part, digits in (("cpu_us", 2), ("busy", 2)):
            values = [getattr(rate, part) for rate in of_one]
            row.append(number(statistics.median(values) if values else None, digits))
        rows.append(row)
    return render([title, f"{unit}/s", "/ uvloop", "/ best peer", "cpu us", "busy"], rows)
