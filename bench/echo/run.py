"""Echo rates of the loops and of a bare C server, in turn, on two cores.

    python -m bench.echo.run
    python -m bench.echo.run --mode streams --size 102400 --loops cloop,uvloop
    python -m bench.echo.run --mode protocol --syscalls
    python -m bench.echo.run --mode udp

The servers share one core and the load generator has another. All servers run the whole time; a round
puts load on each of them in turn, for a fraction of a second. The table gives the medians of the rounds;
the ratios are medians of the ratios within each round, so that a machine whose speed changes from second to
second does not decide them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..loops import CLOOP
from ..machine import two_cores, usage_of
from ..servers import against_peers, all_running, in_turn, paired
from ..table import number, render
from ..tool import add_common_options, chosen_loops, new_parser, write_json
from .server import MODES
from .setting import FLOOR, GRACE_S, Setting, servers_of
from .syscalls import PerMessage, count_per_message, syscall_table

WARM_UP_S = 0.05


@dataclass(frozen=True)
class Rate:
    """One measurement of one server; the costs are the server's, per message."""

    messages_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    user_us: float
    system_us: float
    page_faults: float
    busy: float  # the part of the time in which the server's core worked for it

    @classmethod
    def median(cls, rates: list[Rate]) -> Rate:
        """The median of each figure by itself; of those counted in coarse ticks, the mean."""
        return cls(
            *[
                (statistics.fmean if each.name in TICKED else statistics.median)(
                    getattr(rate, each.name) for rate in rates
                )
                for each in fields(cls)
            ]
        )


# CPU time is counted in ticks of 10 ms, which are a good part of one measurement.
TICKED = ("user_us", "system_us")

# The columns of the table that show a figure as it is, and their decimals.
COLUMNS = {"p50_us": 1, "p99_us": 1, "user_us": 2, "system_us": 2, "page_faults": 3, "busy": 2}


def measure(setting: Setting, server: tuple[str, int], seconds: float) -> Rate:
    """One measurement of one server, given by its address and pid."""
    address, pid = server
    before = usage_of(pid)
    limit_s = seconds + WARM_UP_S + GRACE_S
    load = setting.load(address, "-d", str(seconds), "-w", str(WARM_UP_S), time_limit_s=limit_s)
    used, messages = usage_of(pid) - before, max(load["total"], 1)
    return Rate(
        messages_per_s=load["messages_per_s"],
        p50_us=load["p50_us"],
        p99_us=load["p99_us"],
        cpu_us=used.cpu_us / messages,
        user_us=used.user_us / messages,
        system_us=used.system_us / messages,
        page_faults=used.faults / messages,
        busy=used.cpu_us / 1e6 / (load["seconds"] + WARM_UP_S),
    )


def rate_table(measured: dict[str, list[Rate]]) -> str:
    """A row a server: its rate and its CPU time a message, each over the floor's and over the best peer's,
    latencies, and what else a message costs."""
    rates = {name: [rate.messages_per_s for rate in of_one] for name, of_one in measured.items()}
    costs = {name: [rate.cpu_us for rate in of_one] for name, of_one in measured.items()}
    peers = [name for name in rates if name not in (FLOOR, CLOOP)]
    rows = []
    for name, of_one in measured.items():
        median = Rate.median(of_one) if of_one else None
        row = [name, number(median.messages_per_s if median else None)]
        row += [number(paired(rates, name, FLOOR), 2), number(against_peers(rates, name, peers), 2)]
        row += [number(median.cpu_us if median else None, 2), number(paired(costs, name, FLOOR), 2)]
        row += [number(against_peers(costs, name, peers, best=max), 2)]
        row += [number(getattr(median, column, None), digits) for column, digits in COLUMNS.items()]
        rows.append(row)
    titles = [column.replace("_", " ") for column in COLUMNS]
    ratios = ["/ C floor", "/ best peer"]
    return render(["server", "messages/s", *ratios, "cpu us", *ratios, *titles], rows)


def report_rates(setting: Setting, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print the rates; return them for the file."""
    with all_running(names, setting.server) as servers:
        rates = in_turn(
            list(servers), args.rounds, lambda name: measure(setting, servers[name], args.seconds)
        )
    print(rate_table(rates))
    return {name: [asdict(rate) for rate in measured] for name, measured in rates.items()}


def report_syscalls(setting: Setting, names: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Count and print the system calls; return them for the file."""
    if not shutil.which("strace"):
        raise SystemExit("--syscalls needs strace")
    counts = in_turn(names, 1, lambda name: count_per_message(setting, name, args.messages))
    calls: dict[str, PerMessage] = {name: counted[0] for name, counted in counts.items() if counted}
    print(syscall_table(calls))
    return dict(calls)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.echo.run", __doc__)
    add_common_options(parser, seconds=0.25, rounds=15)
    parser.add_argument("--mode", choices=MODES, default="protocol", help="how the server is written")
    parser.add_argument("--size", type=int, default=1024, help="bytes in a message (default: 1024)")
    parser.add_argument("--connections", type=int, default=10, help="a message on each (default: 10)")
    parser.add_argument("--idle", type=int, default=0, help="connections that send nothing (default: 0)")
    parser.add_argument(
        "--floods", type=int, default=0, help="connections that send without end, beside those"
    )
    parser.add_argument("--reconnect", action="store_true", help="a connection for each message")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    parser.add_argument("--resume", action="store_true", help="with --tls --reconnect: resume TLS sessions")
    parser.add_argument("--unix", action="store_true", help="over a unix socket instead of TCP")
    parser.add_argument("--syscalls", action="store_true", help="count system calls a message, under strace")
    parser.add_argument("--messages", type=int, default=10_000, help="with --syscalls (default: 10,000)")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    loops = chosen_loops(args.loops)
    server_core, load_core = two_cores()
    setting = Setting(
        args.mode,
        args.size,
        args.connections,
        args.unix,
        args.idle,
        args.floods,
        args.reconnect,
        args.tls,
        args.resume,
        server_core,
        load_core,
    )
    if args.unix and args.mode == "udp":
        raise SystemExit("--mode udp has no unix sockets")
    if args.tls and (args.mode in ("udp", "sock") or args.unix):
        raise SystemExit("--tls goes with TCP and transports")
    if args.tls and args.floods:
        # Over TLS the C programs go on with a connection until it would block, and a flood never does.
        raise SystemExit("--floods goes without --tls")
    where = "tls" if args.tls else "unix" if args.unix else "udp" if args.mode == "udp" else "tcp"
    more = f", {args.idle} idle" if args.idle else ""
    more += f", {args.floods} floods" if args.floods else ""
    more += ", each for one message" if args.reconnect else ""
    print(f"{args.mode}, {args.size} bytes, {args.connections} connections{more}, {where}")
    report = report_syscalls if args.syscalls else report_rates
    results = report(setting, servers_of(loops, tls=args.tls), args)
    write_json(args.json, loops, {"setting": asdict(setting), "results": results})


if __name__ == "__main__":
    main()
