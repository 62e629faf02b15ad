"""Plain-text tables, and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ABSENT = "-"  # not measured: not installed, failed, or out of time


def number(value: float | None, digits: int = 0) -> str:
    """A cell of `digits` decimals with thousands grouped, ABSENT for None."""
    return ABSENT if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None, reference: float | None) -> float | None:
    """value / reference, None where either is missing or the reference is not positive."""
    if value is None or reference is None or reference <= 0:
        return None
    return value / reference


def render(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is flush left and whose others are flush right."""
    lines = [list(headers), *[list(row) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join([first, *rest]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(lines[0]), rule, *map(line, lines[1:])])
