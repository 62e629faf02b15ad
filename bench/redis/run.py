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
import shutil
import sys
import tempfile
from dataclasses import asdict
from functools import partial

from ..clients import Rate, rate_table, run_client
from ..machine import two_cores
from ..servers import free_port, in_turn, listening, running
from ..tool import add_common_options, chosen_loops, new_parser, parse_names, write_json

PARSERS = ("python", "hiredis")


def measure(args: argparse.Namespace, port: int, parser: str, pipeline: int, loop: str) -> Rate:
    """One client, for a while."""
    command = [sys.executable, "-m", f"{__package__}.client", "--loop", loop, "--pipeline", str(pipeline)]
    command += [*(["--hiredis"] if parser == "hiredis" else []), "--seconds", str(args.seconds), str(port)]
    return run_client(command, args.cores[1], args.seconds)


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
                    print(f"{rate_table(title, 'commands', rates)}\n")
                    results[title] = {
                        loop: [asdict(rate) for rate in measured] for loop, measured in rates.items()
                    }
    write_json(args.json, loops, {"setting": {"seconds": args.seconds}, "results": results})


if __name__ == "__main__":
    main()
