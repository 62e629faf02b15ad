"""Commands per second of redis-py, which uses asyncio's streams, under each loop in turn, with a real Redis.

    python -m bench.redis.run
    python -m bench.redis.run --pipelines 1 --parsers python --loops cloop,uvloop

The server has one core, each client is a process of its own on the other. A pipeline of one is a command that
is sent when the one before was answered. redis-py parses the answers in Python, by lines and blocks, or by
hiredis, which is fed with what read() returns. The table gives the medians of the rounds; the ratios are
medians of the ratios within each round.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import partial

from ..loops import CLOOP
from ..machine import two_cores
from ..servers import against_peers, free_port, in_turn, listening, output_of, paired, running
from ..table import number, render
from ..tool import add_common_options, chosen_loops, new_parser, parse_names, write_json

PARSERS = ("python", "hiredis")
UVLOOP = "uvloop"
GRACE_S = 15  # beyond its own time, until a client is taken to hang


@dataclass(frozen=True)
class Rate:
    """What one client did; the CPU time is the client's, for one command."""

    commands_per_s: float
    cpu_us: float
    busy: float


def measure(args: argparse.Namespace, port: int, parser: str, pipeline: int, loop: str) -> Rate:
    """One client, for a while."""
    command = [sys.executable, "-m", f"{__package__}.client", "--loop", loop, "--pipeline", str(pipeline)]
    command += [*(["--hiredis"] if parser == "hiredis" else []), "--seconds", str(args.seconds), str(port)]
    said = output_of(command, args.cores[1], args.seconds + GRACE_S, "the client")
    return Rate(**json.loads(said))


def rate_table(title: str, measured: dict[str, list[Rate]]) -> str:
    """A row a loop: its rate, over uvloop's and the best peer's, the CPU time, and how busy it was."""
    rates = {name: [rate.commands_per_s for rate in of_one] for name, of_one in measured.items()}
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
    return render([title, "commands/s", "/ uvloop", "/ best peer", "cpu us", "busy"], rows)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.redis.run", __doc__)
    add_common_options(parser, seconds=0.5, rounds=9)
    parser.add_argument("--pipelines", default="1,100", help="commands sent at once (default: 1,100)")
    parser.add_argument("--parsers", help=f"comma-separated, of {', '.join(PARSERS)} (default: both)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    program = shutil.which("redis-server")
    if not program or importlib.util.find_spec("redis") is None:
        raise SystemExit("redis-server and redis-py are needed")
    parsers = parse_names(args.parsers, PARSERS)
    if importlib.util.find_spec("hiredis") is None:
        parsers = [parser for parser in parsers if parser != "hiredis"]
        print("left out: hiredis is not installed", file=sys.stderr)
    loops = chosen_loops(args.loops)
    args.cores = two_cores()
    port = free_port()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        server = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server += ["--loglevel", "warning"]
        with running(server, args.cores[0]) as process:
            listening(process, port)
            for pipeline in map(int, args.pipelines.split(",")):
                for parser in parsers:
                    title = f"pipeline {pipeline}, {parser}"
                    rates = in_turn(loops, args.rounds, partial(measure, args, port, parser, pipeline))
                    print(f"{rate_table(title, rates)}\n")
                    results[title] = {
                        loop: [asdict(rate) for rate in measured] for loop, measured in rates.items()
                    }
    write_json(args.json, loops, {"setting": {"seconds": args.seconds}, "results": results})


if __name__ == "__main__":
    main()
