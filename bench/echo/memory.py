"""What an idle connection costs the server's process, in bytes of resident memory.

    python -m bench.echo.memory
    python -m bench.echo.memory --loops cloop,uvloop --connections 10000
    python -m bench.echo.memory --tls --connections 1000

The server is the Protocol echo of `bench.echo.server`, so its figure holds the protocol object as well, which
is the same under each loop. Every connection echoes one message first. What the kernel keeps for a connection
is not resident in the process and not in the figure.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from ..machine import rss_bytes
from ..servers import Failed, in_turn
from ..table import number, render
from ..tool import add_common_options, chosen_loops, new_parser, write_json
from .client import client_context
from .setting import Setting

BEFORE = 200  # connections that come and go before the first look, so that what is made once is made
ACCEPT_S = 30


def connect_many(stack: ExitStack, port: int, count: int, tls: bool) -> list[socket.socket]:
    """Connections that have each got one echo."""
    found = []
    context = client_context() if tls else None
    for i in range(count):
        sock = stack.enter_context(socket.socket())
        sock.settimeout(ACCEPT_S)
        # From several addresses: there are not enough ports on one.
        sock.bind((f"127.0.0.{2 + i % 16}", 0))
        sock.connect(("127.0.0.1", port))
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock))
        sock.sendall(b"x" * 1024)
        # Over TLS it is one record, and there are no flags.
        if sock.recv(1024, 0 if tls else socket.MSG_WAITALL) != b"x" * 1024:
            raise Failed("the echo is not what was sent")
        found.append(sock)
    return found


def wait_for_fds(pid: int, most: int) -> None:
    """Until the server has closed its side of connections that are over."""
    end = time.monotonic() + ACCEPT_S
    while len(os.listdir(f"/proc/{pid}/fd")) > most:
        if time.monotonic() > end:
            raise Failed("the server did not close its connections")
        time.sleep(0.01)


def bytes_per_connection(setting: Setting, name: str, connections: int) -> float:
    """Of one server. Raises Failed."""

    def use(address: str, pid: int) -> float:
        try:
            return growth(int(address), pid)
        except OSError as error:
            raise Failed(f"the load: {error}") from error

    def growth(port: int, pid: int) -> float:
        fds = len(os.listdir(Path("/proc") / str(pid) / "fd"))
        with ExitStack() as stack:
            connect_many(stack, port, BEFORE, setting.tls)
        wait_for_fds(pid, fds + 2)
        before = rss_bytes(pid)
        with ExitStack() as stack:
            connect_many(stack, port, connections, setting.tls)
            return (rss_bytes(pid) - before) / connections

    return setting.with_server(name, use)


def parse_args() -> argparse.Namespace:
    parser = new_parser("bench.echo.memory", __doc__)
    add_common_options(parser, seconds=0, rounds=1)
    parser.add_argument("--connections", type=int, default=5000, help="idle ones (default: 5,000)")
    parser.add_argument("--tls", action="store_true", help="over TLS")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    loops = chosen_loops(args.loops)
    setting = Setting("protocol", 1024, 0, False, 0, 0, False, args.tls, False, None, None)
    found = in_turn(loops, args.rounds, lambda name: bytes_per_connection(setting, name, args.connections))
    rows = [[name, number(min(each) if each else None)] for name, each in found.items()]
    print(render(["server", "bytes per idle connection"], rows))
    write_json(args.json, loops, {"connections": args.connections, "tls": args.tls, "results": found})


if __name__ == "__main__":
    main()
