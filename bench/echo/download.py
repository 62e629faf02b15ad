"""How fast a client under each loop downloads from a bare C server, in turn, on two cores.

    python -m bench.echo.download --tls
    python -m bench.echo.download --tls --mode buffered --megabytes 1024 --rounds 3

The server has one core and sends every connection so many bytes from its memory; each client is a process of
its own on the other core, and counts the bytes. The time begins when the connection is there, and over TLS
after its handshake. The table gives the medians of the rounds; the ratios are medians of the ratios within
each round. Where a client is `busy` for less than the time, the server was the limit, and its CPU time tells
more than the rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from functools import partial

from ..loops import CLOOP
from ..machine import two_cores
from ..servers import against_peers, in_turn, output_of, running, told
from ..table import number, render
from ..tool import add_common_options, chosen_loops, new_parser, write_json
from .build import program
from .client import MODES
from .setting import GRACE_S, PEM

MB = 1_000_000
SLOWEST = 20  # MB a second; what is slower hangs


@dataclass(frozen=True)
class Rate:
    """One download by one client; the costs are the client's."""

    mb_per_s: float
    cpu_us_per_mb: float
    faults_per_mb: float
    busy: float


# The columns of the table behind the ratios, and their decimals.
COLUMNS = {"faults_per_mb": 1, "busy": 2}


def measure(args: argparse.Namespace, port: int, loop: str) -> Rate:
    """One download."""
    command = [sys.executable, "-m", f"{__package__}.client", "--loop", loop, "--mode", args.mode]
    command += [*(["--tls"] if args.tls else []), "--bytes", str(args.megabytes * MB), str(port)]
    limit_s = args.megabytes / SLOWEST + GRACE_S
    costs = json.loads(output_of(command, args.cores[1], limit_s, "the download"))
    return Rate(
        mb_per_s=args.megabytes / costs["seconds"],
        cpu_us_per_mb=costs["cpu_us"] / args.megabytes,
        faults_per_mb=costs["faults"] / args.megabytes,
        busy=costs["cpu_us"] / 1e6 / costs["seconds"],
    )


def rate_table(measured: dict[str, list[Rate]]) -> str:
    """A row a loop: its rate and its CPU time, each over the best peer's, and the other costs."""
    rates = {name: [rate.mb_per_s for rate in of_one] for name, of_one in measured.items()}
    costs = {name: [rate.cpu_us_per_mb for rate in of_one] for name, of_one in measured.items()}
    peers = [name for name in rates if name != CLOOP]
    rows = []
    for name, of_one in measured.items():
        row = [name]
        for values, best, digits in ((rates, min, 0), (costs, max, 1)):
            median = statistics.median(values[name]) if of_one else None
            row += [number(median, digits), number(against_peers(values, name, peers, best), 2)]
        for column, digits in COLUMNS.items():
            cells = [getattr(rate, column) for rate in of_one]
            row.append(number(statistics.median(cells) if cells else None, digits))
        rows.append(row)
    titles = [column.replace("_", " ") for column in COLUMNS]
    return render(["client", "MB/s", "/ best peer", "cpu us per MB", "/ best peer", *titles], rows)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.echo.download", __doc__)
    add_common_options(parser, rounds=9)
    parser.add_argument("--mode", choices=MODES, default="protocol", help="how the client is written")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--megabytes", type=int, default=256, help="in a download (default: 256)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    loops = chosen_loops(args.loops)
    args.cores = two_cores()
    server = program("server", tls=args.tls)
    if not server:
        raise SystemExit("the server in C is needed")
    command = [*server, "-b", str(args.megabytes * MB), "0", *([str(PEM)] if args.tls else [])]
    with running(command, args.cores[0]) as process:
        rates = in_turn(loops, args.rounds, partial(measure, args, told(process)["port"]))
    print(f"{args.mode}, {args.megabytes} MB, {'tls' if args.tls else 'tcp'}")
    print(rate_table(rates))
    setting = {"mode": args.mode, "tls": args.tls, "megabytes": args.megabytes}
    results = {loop: [asdict(rate) for rate in measured] for loop, measured in rates.items()}
    write_json(args.json, loops, {"setting": setting, "results": results})


if __name__ == "__main__":
    main()
