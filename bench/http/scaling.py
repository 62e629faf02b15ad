"""Requests per second of one process and of several, on cloop, with wrk as the load.

    python -m bench.http.scaling
    python -m bench.http.scaling --processes 1,2,4 --rounds-of-hash 0

Nothing is pinned, and wrk runs on the same cores: what it uses, the servers cannot have. So each request is
made to cost the server some hashing, as a real one costs something, and wrk's share is small. With
--rounds-of-hash 0 the load is half of the work, and two cores hold little more than one process and wrk.
All servers run the whole time and are measured in turn; the ratio is the median of the ratios within the
rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ..loops import CLOOP
from ..servers import Failed, all_running, free_port, in_turn, listening, paired, running
from ..table import number, render
from ..tool import add_common_options, new_parser, parse_names, write_json
from .run import WARM_UP_S, count_errors, found, wrk

APP = f"{__package__}.scaling_app:app"


def many_processes(port: int, processes: int, rounds: int) -> list[str]:
    options = ["--port", str(port), "--processes", str(processes), "--rounds", str(rounds)]
    return [sys.executable, "examples/many_processes.py", *options]


def uvicorn(port: int, processes: int, rounds: int) -> list[str]:
    options = ["--port", str(port), "--workers", str(processes), "--loop", "cloop:new_event_loop"]
    quiet = ["--http", "httptools", "--lifespan", "off", "--no-access-log", "--log-level", "error"]
    return [sys.executable, "-m", "uvicorn", APP, *options, *quiet]


def gunicorn(port: int, processes: int, rounds: int) -> list[str]:
    options = ["-b", f"127.0.0.1:{port}", "-w", str(processes), "-k", "cloop.gunicorn.ASGIWorker"]
    return [sys.executable, "-m", "gunicorn", *options, "--log-level", "error", APP]


SERVERS = {"reuse_port": many_processes, "uvicorn": uvicorn, "gunicorn": gunicorn}
MODULES = {"reuse_port": [], "uvicorn": ["uvicorn", "httptools"], "gunicorn": ["gunicorn"]}


@contextmanager
def server_of(args: argparse.Namespace, server: str, processes: str) -> Iterator[int]:
    """A server of so many processes, warmed up, while the block lasts: its port."""
    port = free_port()
    with running(SERVERS[server](port, int(processes), args.rounds_of_hash), None) as process:
        listening(process, port)
        wrk(args, port, WARM_UP_S)
        yield port


def measure(args: argparse.Namespace, ports: dict[str, int], processes: str) -> float:
    """Requests per second, once."""
    text = wrk(args, ports[processes], args.seconds)
    errors = count_errors(text)
    if errors:
        raise Failed(f"{errors} errors")
    return float(found(r"Requests/sec:\s+([\d.]+)", text)[1])


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.http.scaling", __doc__)
    add_common_options(parser, seconds=2, rounds=5)
    parser.add_argument("--servers", help=f"comma-separated, of {', '.join(SERVERS)} (default: all)")
    parser.add_argument("--processes", default="1,2", help="comma-separated, the first is the base")
    parser.add_argument("--connections", type=int, default=64, help="wrk keeps open (default: 64)")
    parser.add_argument("--rounds-of-hash", type=int, default=1000, help="a request (default: 1000)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed")
    # As the other measurements of HTTP have them: nothing is pinned, and nothing is over TLS.
    args.cores, args.tls = (None, None), False
    os.environ["ROUNDS"] = str(args.rounds_of_hash)
    counts = args.processes.split(",")
    results, rows = {}, []
    for server in parse_names(args.servers, list(SERVERS)):
        missing = [module for module in MODULES[server] if importlib.util.find_spec(module) is None]
        if missing:
            print(f"left out: {server}: {', '.join(missing)} not installed", file=sys.stderr)
            continue
        with all_running(counts, partial(server_of, args, server)) as ports:
            rates = in_turn(list(ports), args.rounds, partial(measure, args, ports))
        results[server] = rates
        for count, measured in rates.items():
            median = statistics.median(measured) if measured else None
            rows.append([server, count, number(median), number(paired(rates, count, counts[0]), 2)])
    print(render(["server", "processes", "requests/s", f"/ {counts[0]} process"], rows))
    setting = {name: getattr(args, name) for name in ("connections", "seconds", "rounds_of_hash")}
    write_json(args.json, [CLOOP], {"setting": setting, "results": results})


if __name__ == "__main__":
    main()
