"""What the measuring commands have in common: their options, the loops they find, the file they write."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .loops import FACTORIES, version_of, why_missing
from .machine import description


def new_parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """A parser for ``python -m module`` that shows the module's own description as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_common_options(
    parser: argparse.ArgumentParser, *, rounds: int, seconds: float | None = None, loops: Sequence[str] = ()
) -> None:
    """--loops, --rounds, --json and, where a measurement lasts a time that can be chosen, --seconds."""
    known = ", ".join(loops or FACTORIES)
    parser.add_argument("--loops", help=f"comma-separated, of {known} (default: the installed)")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"of each loop (default: {rounds})")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write everything to this file")
    if seconds is not None:
        about = f"of each measurement (default: {seconds:g})"
        parser.add_argument("--seconds", type=float, default=seconds, help=about)


def parse_names(text: str | None, known: Sequence[str]) -> list[str]:
    """Split a comma-separated option into names, all of them known; every known one when `text` is None."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    return names


def chosen_loops(text: str | None, known: Sequence[str] = tuple(FACTORIES)) -> list[str]:
    """The loops of a --loops option that can be made here; says why of those that cannot."""
    reasons = {name: why_missing(name) for name in parse_names(text, known)}
    for reason in filter(None, reasons.values()):
        print(f"left out: {reason}", file=sys.stderr)
    found = [name for name, reason in reasons.items() if reason is None]
    if not found:
        raise SystemExit("no loop to measure")
    return found


def write_json(path: Path | None, loops: list[str], results: dict[str, Any]) -> None:
    """Write the results, with what is needed to judge them, to `path` if there is one."""
    if path is not None:
        versions = {loop: version_of(loop) for loop in loops}
        facts = {"machine": description(), "versions": versions, **results}
        path.write_text(json.dumps(facts, indent=1) + "\n")
