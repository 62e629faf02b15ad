"""Compare the loops on child processes: how many a second, for how long a start halts the loop, pipes.

    python -m bench.children
    python -m bench.children --loops cloop,asyncio --rounds 3

Each loop has a process of its own, which lives through all rounds. They take turns, a case at a time, and
the order moves on by one from round to round. Nothing is pinned: parent and children share the machine's
cores. The ratio is the median of cloop's over the best other's in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .loops import CLOOP, SCHEDULERS, factory_of, version_of
from .machine import description
from .servers import ROOT
from .table import number, render
from .tool import add_common_options, chosen_loops, new_parser, write_json

PROGRAM = "true"
MANY = 200
TRANSFER_BYTES = 100 << 20
CHUNK_BYTES = 1 << 20


async def one_by_one(n: int) -> float:
    """Children a second, each started when the one before has been waited for."""
    start = time.perf_counter()
    for _ in range(n):
        process = await asyncio.create_subprocess_exec(PROGRAM)
        await process.wait()
    return n / (time.perf_counter() - start)


async def with_pipes(n: int) -> float:
    """Children a second with three pipes, each ended by communicate()."""
    start = time.perf_counter()
    for _ in range(n):
        process = await asyncio.create_subprocess_exec(PROGRAM, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        await process.communicate()
    return n / (time.perf_counter() - start)


async def start_and_wait() -> None:
    process = await asyncio.create_subprocess_exec(PROGRAM)
    await process.wait()


async def all_at_once(n: int) -> float:
    """Children a second, all asked for in one turn of the loop."""
    start = time.perf_counter()
    await asyncio.gather(*[start_and_wait() for _ in range(n)])
    return n / (time.perf_counter() - start)


async def longest_turn(n: int) -> float:
    """Milliseconds of the loop's longest turn while children start that are asked for in one turn."""
    longest = 0.0
    over = False

    async def watch() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not over:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest = max(longest, now - last)
            last = now

    watcher = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    await all_at_once(n)
    over = True
    await watcher
    return longest * 1000


async def through_cat(n: int, **options: Any) -> float:
    """MB a second that are written to cat and read from it at the same time."""
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, **options)
    assert process.stdin is not None and process.stdout is not None
    chunk = bytes(CHUNK_BYTES)

    async def feed(writer: asyncio.StreamWriter) -> None:
        for _ in range(n // CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    start = time.perf_counter()
    feeding = asyncio.ensure_future(feed(process.stdin))
    left = n
    while data := await process.stdout.read(CHUNK_BYTES):
        left -= len(data)
    taken = time.perf_counter() - start
    await feeding
    await process.wait()
    if left:
        raise RuntimeError(f"{left} bytes are missing")
    return n / 1e6 / taken


async def through_large_pipes(n: int) -> float:
    """The same, with pipes of 1 MiB."""
    return await through_cat(n, pipesize=1 << 20)


@dataclass(frozen=True)
class Case:
    """What is measured, how much of it in a run, and whether more of it is better."""

    title: str
    body: Callable[[int], Awaitable[float]]
    n: int
    more_is_better: bool = True
    digits: int = 0


CASES = {
    "sequence": Case("one after the other, children/s", one_by_one, 60),
    "pipes": Case("with three pipes and communicate(), children/s", with_pipes, 60),
    "burst": Case("200 at once, children/s", all_at_once, MANY),
    "turn": Case("longest turn while 200 start, ms", longest_turn, MANY, more_is_better=False, digits=1),
    "cat": Case("100 MiB through cat, MB/s", through_cat, TRANSFER_BYTES),
    "large": Case("100 MiB through cat, pipesize=1 MiB, MB/s", through_large_pipes, TRANSFER_BYTES),
}

Rounds = dict[str, list[dict[str, float]]]  # by case: a dict of loop to figure each round


# -- measuring ----------------------------------------------------------------------------------------------


def serve(loop_name: str) -> None:
    """In a child: measure the cases that are named on stdin, each answered by a line of JSON."""
    loop = factory_of(loop_name)()
    asyncio.set_event_loop(loop)
    for line in sys.stdin:
        case = CASES[line.strip()]
        try:
            figure = loop.run_until_complete(case.body(case.n))
        except (NotImplementedError, ValueError):  # it has no such option, or no children at all
            figure = None
        print(json.dumps(figure), flush=True)
    loop.close()


def ask(process: subprocess.Popen[str], case: str) -> float | None:
    """One run of a case; None where the loop can't do it, or its process has ended."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(case + "\n")
        process.stdin.flush()
        figure: float | None = json.loads(process.stdout.readline())
    except (OSError, ValueError):
        return None
    return figure


@contextmanager
def serving(loop: str) -> Iterator[subprocess.Popen[str]]:
    """A process that measures on a loop, while the block lasts."""
    command = [sys.executable, "-m", f"{__package__}.children", "--serve", loop]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        with suppress(BrokenPipeError):
            process.communicate()


def measure(loops: list[str], rounds: int) -> Rounds:
    """All rounds, after one to warm up."""
    figures: Rounds = {key: [] for key in CASES}
    with ExitStack() as stack:
        processes = {loop: stack.enter_context(serving(loop)) for loop in loops}
        order = list(loops)
        for loop in order:
            ask(processes[loop], "sequence")
        for _ in range(rounds):
            for key in CASES:
                answers = {loop: ask(processes[loop], key) for loop in order}
                figures[key].append({loop: value for loop, value in answers.items() if value is not None})
            order = order[1:] + order[:1]
    return figures


# -- reporting ----------------------------------------------------------------------------------------------


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """By loop."""
    loops = {loop for each in rounds for loop in each}
    return {loop: statistics.median(each[loop] for each in rounds if loop in each) for loop in loops}


def to_best_other(case: Case, rounds: list[dict[str, float]]) -> tuple[float, str] | None:
    """cloop's figure over the best other's, as the median of the ratios in each round, and who that is."""
    others = [loop for loop in medians(rounds) if loop != CLOOP]
    ratios = {
        other: statistics.median(each[CLOOP] / each[other] for each in rounds if {CLOOP, other} <= set(each))
        for other in others
        if any({CLOOP, other} <= set(each) for each in rounds)
    }
    if not ratios:
        return None
    best = (min if case.more_is_better else max)(ratios, key=lambda other: ratios[other])
    return ratios[best], best


def report(loops: list[str], figures: Rounds) -> None:
    """Print the table."""
    print(", ".join(f"{name} {value}" for name, value in description().items()))
    print("; ".join(f"{loop} {version_of(loop)}".strip() for loop in loops))
    rows = []
    for key, case in CASES.items():
        found = medians(figures[key])
        best = to_best_other(case, figures[key])
        verdict = "-" if best is None else f"{best[0]:.2f} {best[1]}"
        rows.append([case.title, *[number(found.get(loop), case.digits) for loop in loops], verdict])
    print(render(["median of the rounds", *loops, "cloop / best other"], rows))


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.children", __doc__)
    add_common_options(parser, rounds=9, loops=SCHEDULERS)
    parser.add_argument("--serve", choices=SCHEDULERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.serve:
        serve(args.serve)
        return
    loops = chosen_loops(args.loops, SCHEDULERS)
    figures = measure(loops, args.rounds)
    report(loops, figures)
    write_json(args.json, loops, {"rounds": args.rounds, "cases": figures})


if __name__ == "__main__":
    main()
