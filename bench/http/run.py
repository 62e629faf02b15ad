"""Hello-world requests per second of uvicorn, aiohttp and FastAPI under each loop, with wrk as the load.

    python -m bench.http.run
    python -m bench.http.run --servers uvicorn --loops cloop,uvloop --seconds 60 --rounds 1
    python -m bench.http.run --tls
    python -m bench.http.run --servers fastapi --connections 32

uvicorn serves a bare ASGI application; "fastapi" is uvicorn with an endpoint of FastAPI that is a plain
function: it runs in a worker thread, and a column tells how many threads have run it.

The servers share one core and wrk has another. All servers run the whole time, and a round puts load on each
of them in turn; the table gives the medians of the rounds, the ratio as the median of the ratios within each
round, and the errors of all of them together.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
import shutil
import ssl
import statistics
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from ..echo.setting import PEM
from ..loops import CLOOP, FACTORIES
from ..machine import rss_bytes, two_cores, usage_of
from ..servers import (
    Failed,
    against_peers,
    all_running,
    free_port,
    in_turn,
    listening,
    output_of,
    running,
)
from ..table import number, render
from ..tool import add_common_options, chosen_loops, new_parser, parse_names, write_json

WARM_UP_S = 1
GRACE_S = 15  # beyond its own time, until wrk is taken to hang
US = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def uvicorn_command(loop: str, port: int, tls: bool, app: str = "uvicorn_app") -> list[str]:
    options = ["--loop", FACTORIES[loop], "--http", "httptools", "--lifespan", "off", "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "error"]
    secure = ["--ssl-certfile", str(PEM)] if tls else []
    return [sys.executable, "-m", "uvicorn", f"{__package__}.{app}:app", *options, *quiet, *secure]


def aiohttp_command(loop: str, port: int, tls: bool) -> list[str]:
    secure = ["--tls", str(PEM)] if tls else []
    return [sys.executable, "-m", f"{__package__}.aiohttp_app", "--loop", loop, "--port", str(port), *secure]


def fastapi_command(loop: str, port: int, tls: bool) -> list[str]:
    return uvicorn_command(loop, port, tls, "fastapi_app")


SERVERS = {"uvicorn": uvicorn_command, "aiohttp": aiohttp_command, "fastapi": fastapi_command}
MODULES = {
    "uvicorn": ["uvicorn", "httptools"],
    "aiohttp": ["aiohttp"],
    "fastapi": ["fastapi", "uvicorn", "httptools"],
}


@dataclass(frozen=True)
class Rate:
    """What wrk saw, the server's CPU time per request and its parts, and its memory's growth meanwhile."""

    requests_per_s: float
    p50_us: float
    p99_us: float
    errors: int
    cpu_us: float
    user_us: float
    system_us: float
    rss_growth_kib: float
    threads: int | None  # that have run the endpoint, from the server's start on


# The columns of the table that show a median as it is, and their decimals.
COLUMNS = {"user_us": 1, "system_us": 1, "p50_us": 0, "p99_us": 0, "rss_growth_kib": 0}
THREADS = {"threads": 0}


# -- wrk ----------------------------------------------------------------------------------------------------


def found(pattern: str, text: str) -> re.Match[str]:
    """The match of what wrk always prints."""
    match = re.search(pattern, text)
    if match is None:
        raise Failed("wrk has not printed what was expected")
    return match


def percentile_us(percent: int, text: str) -> float:
    """The latency in wrk's line for a percentile."""
    match = found(rf"\b{percent}%\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(match[1]) * US[match[2]]


def count_errors(text: str) -> int:
    """All that wrk counts as gone wrong; it prints these lines only when there is something to tell."""
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return sum(int(count) for match in (sockets, statuses) if match for count in match.groups())


def wrk(args: argparse.Namespace, port: int, seconds: float) -> str:
    """Run wrk for whole seconds, which is all it knows, and return what it printed."""
    options = ["-t1", f"-c{args.connections}", f"-d{math.ceil(seconds)}s", "--latency"]
    command = ["wrk", *options, f"{'https' if args.tls else 'http'}://127.0.0.1:{port}/"]
    return output_of(command, args.cores[1], seconds + GRACE_S, "wrk")


# -- measuring and reporting --------------------------------------------------------------------------------


@contextmanager
def server_of(args: argparse.Namespace, server: str, loop: str) -> Iterator[tuple[int, int]]:
    """A server under a loop, warmed up, while the block lasts: its port and its pid."""
    port = free_port()
    with running(SERVERS[server](loop, port, args.tls), args.cores[0]) as process:
        listening(process, port)
        wrk(args, port, WARM_UP_S)
        yield port, process.pid


def threads_of(args: argparse.Namespace, port: int) -> int:
    """How many threads the server says it has used."""
    scheme = "https" if args.tls else "http"
    trusting = ssl._create_unverified_context() if args.tls else None
    with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/threads", context=trusting) as answer:
        return int(answer.read())


def measure(args: argparse.Namespace, server: str, servers: dict[str, tuple[int, int]], loop: str) -> Rate:
    """One measurement of the server under one loop."""
    port, pid = servers[loop]
    before, rss_before = usage_of(pid), rss_bytes(pid)
    text = wrk(args, port, args.seconds)
    used, rss_growth = usage_of(pid) - before, rss_bytes(pid) - rss_before
    requests = max(int(found(r"(\d+) requests in", text)[1]), 1)
    return Rate(
        requests_per_s=float(found(r"Requests/sec:\s+([\d.]+)", text)[1]),
        p50_us=percentile_us(50, text),
        p99_us=percentile_us(99, text),
        errors=count_errors(text),
        cpu_us=used.cpu_us / requests,
        user_us=used.user_us / requests,
        system_us=used.system_us / requests,
        rss_growth_kib=rss_growth / 1024,
        threads=threads_of(args, port) if server == "fastapi" else None,
    )


def rate_table(server: str, rates: dict[str, list[Rate]]) -> str:
    """A row a loop: its rate and its CPU time a request, each over the best peer's, the medians of the other
    figures, all the errors."""
    by_loop = {loop: [rate.requests_per_s for rate in measured] for loop, measured in rates.items()}
    costs = {loop: [rate.cpu_us for rate in measured] for loop, measured in rates.items()}
    peers = [loop for loop in rates if loop != CLOOP]
    columns = COLUMNS | (THREADS if server.startswith("fastapi") else {})
    rows = []
    for loop, measured in rates.items():
        row = [loop, number(statistics.median(by_loop[loop]) if measured else None)]
        row.append(number(against_peers(by_loop, loop, peers), 2))
        row.append(number(statistics.median(costs[loop]) if measured else None, 1))
        row.append(number(against_peers(costs, loop, peers, best=max), 2))
        for part, digits in columns.items():
            values = [getattr(rate, part) for rate in measured]
            row.append(number(statistics.median(values) if values else None, digits))
        row.append(number(sum(rate.errors for rate in measured) if measured else None))
        rows.append(row)
    titles = [column.replace("_", " ") for column in columns]
    return render([server, "requests/s", "/ best peer", "cpu us", "/ best peer", *titles, "errors"], rows)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.http.run", __doc__)
    add_common_options(parser, seconds=1, rounds=9)
    parser.add_argument("--servers", help=f"comma-separated, of {', '.join(SERVERS)} (default: all)")
    parser.add_argument("--connections", type=int, default=64, help="wrk keeps open (default: 64)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed")
    loops = chosen_loops(args.loops)
    args.cores = two_cores()
    results = {}
    for server in parse_names(args.servers, list(SERVERS)):
        missing = [module for module in MODULES[server] if importlib.util.find_spec(module) is None]
        if missing:
            print(f"left out: {server}: {', '.join(missing)} not installed", file=sys.stderr)
            continue
        with all_running(loops, partial(server_of, args, server)) as servers:
            rates = in_turn(list(servers), args.rounds, partial(measure, args, server, servers))
        title = f"{server}, tls" if args.tls else server
        print(f"{rate_table(title, rates)}\n")
        results[server] = {loop: [asdict(rate) for rate in measured] for loop, measured in rates.items()}
    setting = {"connections": args.connections, "seconds": args.seconds, "tls": args.tls}
    write_json(args.json, loops, {"setting": setting, "results": results})


if __name__ == "__main__":
    main()
