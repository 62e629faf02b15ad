"""Load for an echo server where no C compiler is: what load.c does, by Python's own selectors and sockets.

    python -m bench.echo.load [-c connections] [-s size] [-d seconds] [-w warm-up seconds] [-t] PORT

Each connection has one message under way at a time. It prints the same line of JSON as load.c. It has no
event loop, so that it favours none, and is slower than load.c: for small messages it may limit the rate.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..tool import new_parser

RECEIVE = 256 * 1024
BLOCKED = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def make_message(size: int) -> bytes:
    """`size` bytes that end in a newline and hold no other."""
    pattern = bytes(ord("a") + i for i in range(23))
    return (pattern * (size // len(pattern) + 1))[: size - 1] + b"\n"


class Connection:
    """One client, with the message that it has under way."""

    def __init__(self, sock: socket.socket, message: bytes, selector: selectors.BaseSelector) -> None:
        self.sock = sock
        self.message = message
        self.selector = selector
        self.sent = self.received = 0
        self.checked = self.waits_for_room = False
        self.started_ns = 0
        selector.register(sock, selectors.EVENT_READ, self)

    def start(self) -> None:
        """Send the message, as much of it as there is room for."""
        self.sent = self.received = 0
        self.started_ns = time.monotonic_ns()
        self.send()

    def send(self) -> None:
        """Go on sending; the connection is watched for room only while it has none."""
        with contextlib.suppress(*BLOCKED):
            while self.sent < len(self.message):
                rest = memoryview(self.message)[self.sent :] if self.sent else self.message
                self.sent += self.sock.send(rest)
        waits = self.sent < len(self.message)
        if waits != self.waits_for_room:
            self.waits_for_room = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self.selector.modify(self.sock, events, self)

    def receive(self) -> bool:
        """Take in what has come; whether the echo is complete."""
        try:
            while self.received < len(self.message):
                data = self.sock.recv(RECEIVE)
                if not data:
                    raise SystemExit("load: the server closed a connection")
                if not self.checked and data != self.message[self.received : self.received + len(data)]:
                    raise SystemExit("load: the echo is not what was sent")
                self.received += len(data)
        except BLOCKED:
            return False
        self.checked = True
        return True


def connect(port: int, tls: bool) -> socket.socket:
    """A connection to the server, which does not block from now on."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock = context.wrap_socket(sock)
    sock.setblocking(False)
    return sock


@contextmanager
def all_connected(
    count: int, size: int, port: int, tls: bool
) -> Iterator[tuple[selectors.BaseSelector, list[Connection]]]:
    """So many connections, and the selector that watches them."""
    message = make_message(size)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        connections = []
        for _ in range(count):
            sock = stack.enter_context(connect(port, tls))
            connections.append(Connection(sock, message, selector))
        yield selector, connections


def run(
    selector: selectors.BaseSelector, connections: list[Connection], start_ns: int, end_ns: int
) -> tuple[int, list[int]]:
    """Keep the messages going: how many were echoed in all, and the latencies in ns of those measured."""
    total = 0
    latencies: list[int] = []
    for connection in connections:
        connection.start()
    while time.monotonic_ns() < end_ns:
        for key, events in selector.select(1):
            connection = key.data
            if events & selectors.EVENT_WRITE:
                connection.send()
            if not events & selectors.EVENT_READ or not connection.receive():
                continue
            now_ns = time.monotonic_ns()
            total += 1
            if start_ns <= now_ns < end_ns:
                latencies.append(now_ns - connection.started_ns)
            connection.start()
    return total, latencies


def main() -> None:
    parser = new_parser("bench.echo.load", __doc__)
    parser.add_argument("-c", dest="connections", type=int, default=10)
    parser.add_argument("-s", dest="size", type=int, default=1024, help="of a message, in bytes")
    parser.add_argument("-d", dest="seconds", type=float, default=3)
    parser.add_argument("-w", dest="warm_up", type=float, default=0.3, help="seconds before it counts")
    parser.add_argument("--tls", action="store_true", help="over TLS, trusting anybody")
    parser.add_argument("port", type=int, help="of 127.0.0.1")
    args = parser.parse_args()
    with all_connected(args.connections, args.size, args.port, args.tls) as (selector, connections):
        start_ns = time.monotonic_ns() + int(args.warm_up * 1e9)
        total, latencies = run(selector, connections, start_ns, start_ns + int(args.seconds * 1e9))
    if not latencies:
        sys.exit("load: no message was echoed")
    elapsed = (time.monotonic_ns() - start_ns) / 1e9
    cuts = (
        statistics.quantiles(latencies, n=100, method="inclusive") if len(latencies) > 1 else latencies * 99
    )
    print(
        json.dumps(
            {
                "total": total,
                "measured": len(latencies),
                "seconds": elapsed,
                "messages_per_s": len(latencies) / elapsed,
                "p50_us": cuts[49] / 1e3,
                "p99_us": cuts[98] / 1e3,
                "max_us": max(latencies) / 1e3,
                "lost": 0,
            }
        )
    )


if __name__ == "__main__":
    main()
