"""Pages per second that an aiohttp client gets from nginx under each loop, in turn.

    python -m bench.http.clients --tls

nginx has one core, each client is a process of its own on the other. The table gives the medians of the
rounds; the ratios are medians of the ratios within each round. Needs nginx.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..clients import Rate, rate_table, run_client
from ..echo.setting import PEM
from ..machine import two_cores
from ..servers import free_port, in_turn, listening, running
from ..tool import add_common_options, chosen_loops, new_parser, write_json

# Connections stay open, as the client would have it.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        default_type text/plain;
        location / {{ return 200 "Hello, world!"; }}
    }}
}}
"""


def measure(args: argparse.Namespace, url: str, loop: str) -> Rate:
    """One client, for a while."""
    command = [sys.executable, "-m", f"{__package__}.aiohttp_client", "--loop", loop, url]
    command += ["--connections", str(args.connections), "--seconds", str(args.seconds)]
    return run_client(command, args.cores[1], args.seconds)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.http.clients", __doc__)
    add_common_options(parser, seconds=1.0, rounds=7)
    parser.add_argument("--connections", type=int, default=16, help="that stay open (default: 16)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not program:
        raise SystemExit("nginx is needed")
    loops = chosen_loops(args.loops)
    args.cores = two_cores()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        tls = " ssl" if args.tls else ""
        configuration = CONFIGURATION.format(folder=folder, port=port, tls=tls, pem=PEM)
        path = Path(folder, "nginx.conf")
        path.write_text(configuration)
        with running([program, "-c", str(path), "-p", folder, "-e", "stderr"], args.cores[0]) as process:
            listening(process, port)
            url = f"http{'s' if args.tls else ''}://127.0.0.1:{port}/"
            rates = in_turn(loops, args.rounds, partial(measure, args, url))
    print(rate_table("aiohttp client", "pages", rates))
    results = {loop: [asdict(rate) for rate in measured] for loop, measured in rates.items()}
    setting = {"seconds": args.seconds, "connections": args.connections, "tls": args.tls}
    write_json(args.json, loops, {"setting": setting, "results": results})


if __name__ == "__main__":
    main()
