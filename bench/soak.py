"""Keep one loop busy for long and see whether its process grows.

    python -m bench.soak --loop cloop --minutes 30

Connections come and go (some closed, some aborted, some left in the middle of an echo), tasks are cancelled
at random, timers are set, cancelled and fired, jobs go through the executor. Every second the resident memory
and the open file descriptors are sampled; straight lines are laid through the samples that come after a
warm-up. It exits with 1 when a line rises by more than its bound, when more descriptors are open at the end,
with everything at rest, than were at the start, or when anything reached the loop's exception handler.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from .loops import FACTORIES, factory_of
from .machine import description, open_fds, rss_bytes
from .tool import new_parser

SAMPLE_S = 1
REPORT_S = 10
REST_S = 1  # for the servers to see the last connections close
MIN_SAMPLES = 10  # fewer make no line
CLIENTS = 20  # connections at a time
WORKERS = 50  # tasks at a time that are liable to be cancelled
HOST = "127.0.0.1"


@dataclass
class Soak:
    """The state of one run: where the server listens, what was done, what went wrong."""

    random: random.Random
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    done: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    fds_left: int = 0  # open at the end, at rest, beyond those of the start
    ports: list[int] = field(default_factory=list)

    def complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop's exception handler: nothing here should ever reach it."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


# -- servers ------------------------------------------------------------------------------------------------


class Echo(asyncio.Protocol):
    """What has come goes back."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same with streams."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


# -- the strains --------------------------------------------------------------------------------------------


async def connect_once(soak: Soak) -> None:
    """One connection: a few echoes, and one of the ways to part."""
    reader, writer = await asyncio.open_connection(HOST, soak.random.choice(soak.ports))
    try:
        message = bytes(soak.random.randrange(1, 20_000))
        for _ in range(soak.random.randrange(5)):
            writer.write(message)
            await reader.readexactly(len(message))
        match soak.random.randrange(3):
            case 0:
                writer.transport.abort()
            case 1:
                writer.write(message)  # its echo finds nobody
            case _:
                writer.close()
                await writer.wait_closed()
    finally:
        writer.close()
    soak.done["connections"] += 1


async def cancel_at_random(soak: Soak) -> None:
    """A task in the middle of something, cancelled at a random moment or left to end."""

    async def nested() -> None:
        async with asyncio.timeout(1):
            await asyncio.gather(*[asyncio.sleep(soak.random.random() / 50) for _ in range(3)])

    async def connecting() -> None:
        with contextlib.suppress(ConnectionError):
            await connect_once(soak)

    victim = asyncio.create_task(soak.random.choice([nested, connecting])())
    await asyncio.sleep(soak.random.random() / 40)
    victim.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await victim
    soak.done["tasks cancelled" if victim.cancelled() else "tasks done"] += 1


async def use_timers(soak: Soak) -> None:
    """Timers: most are cancelled, near and far, some fire."""
    loop = asyncio.get_running_loop()
    fired = loop.create_future()
    timers = [loop.call_later(soak.random.random() * 100, lambda: None) for _ in range(100)]
    loop.call_later(soak.random.random() / 20, fired.set_result, None)
    await fired
    for timer in timers:
        timer.cancel()
    soak.done["timers"] += len(timers) + 1


async def use_executor(soak: Soak) -> None:
    """A job in a thread, and a call back into the loop from it."""
    loop = asyncio.get_running_loop()
    called = loop.create_future()

    def job() -> int:
        loop.call_soon_threadsafe(called.set_result, None)
        return 1

    soak.done["executor jobs"] += await loop.run_in_executor(None, job)
    await called
    await asyncio.sleep(soak.random.random() / 100)


async def repeat(soak: Soak, strain: Callable[[Soak], Awaitable[None]]) -> None:
    """Do one strain again and again until the time is up."""
    while not soak.stop.is_set():
        await strain(soak)


# -- watching -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The size of the process at one moment, seconds from the start."""

    at_s: float
    rss_kib: float
    fds: int
    blocks: int  # of memory, held by Python objects

    @classmethod
    def take(cls, start_s: float) -> Sample:
        at_s = time.monotonic() - start_s
        return cls(at_s, rss_bytes(os.getpid()) / 1024, open_fds(), sys.getallocatedblocks())

    def __str__(self) -> str:
        return f"{self.at_s:7.0f} s  rss {self.rss_kib:,.0f} KiB  fds {self.fds}  blocks {self.blocks:,}"


async def watch(soak: Soak, seconds: float) -> None:
    """A sample every SAMPLE_S until the time is up or the run is interrupted; a line every REPORT_S."""
    start_s = time.monotonic()
    samples = soak.samples
    samples.append(Sample.take(start_s))
    next_report_s = 0.0
    with contextlib.suppress(asyncio.CancelledError):
        while samples[-1].at_s < seconds:
            if samples[-1].at_s >= next_report_s:
                next_report_s += REPORT_S
                counts = ", ".join(f"{name} {count:,}" for name, count in sorted(soak.done.items()))
                print(f"{samples[-1]}  {counts}", flush=True)
            await asyncio.sleep(SAMPLE_S)
            samples.append(Sample.take(start_s))


def rise(samples: list[Sample], what: str) -> float:
    """How far the straight line through the samples rises over their time."""
    times = [sample.at_s for sample in samples]
    slope = statistics.linear_regression(times, [getattr(sample, what) for sample in samples]).slope
    return slope * (times[-1] - times[0])


async def soak_loop(soak: Soak, seconds: float) -> None:
    """Serve, strain and watch; then let everything come to rest."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(soak.complain)
    echo = await loop.create_server(Echo, HOST, 0)
    streams = await asyncio.start_server(echo_stream, HOST, 0)
    for server in (echo, streams):
        soak.ports += [sock.getsockname()[1] for sock in server.sockets]
    fds_at_start = open_fds()

    strains = [*[connect_once] * CLIENTS, *[cancel_at_random] * WORKERS, use_timers, use_timers, use_executor]
    tasks = [asyncio.create_task(repeat(soak, strain)) for strain in strains]
    await watch(soak, seconds)
    soak.stop.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    soak.complaints += [f"a strain ended with {error!r}" for error in results if error]
    await asyncio.sleep(REST_S)
    soak.fds_left = open_fds() - fds_at_start
    for server in (echo, streams):
        server.close()


# -- the verdict --------------------------------------------------------------------------------------------


def verdict(soak: Soak, args: argparse.Namespace) -> bool:
    """Print what grew and what went wrong; whether the run has passed."""
    warm_up_s = soak.samples[-1].at_s * args.warm_up
    counted = [sample for sample in soak.samples if sample.at_s >= warm_up_s]
    for complaint, count in Counter(soak.complaints).most_common(10):
        print(f"complaint, {count} times: {complaint}")
    if len(counted) < MIN_SAMPLES:
        print("too short for a verdict")
        return False
    print(f"descriptors open at rest beyond those of the start: {soak.fds_left}")
    passed = not soak.complaints and soak.fds_left <= 0
    span_s = counted[-1].at_s - counted[0].at_s
    for what, bound in (("rss_kib", args.rss_bound), ("fds", args.fd_bound), ("blocks", None)):
        grown = rise(counted, what)
        limit = "" if bound is None else f", bound {bound:g}"
        print(f"{what}: {grown:+,.1f} in {span_s:.0f} s after a warm-up of {warm_up_s:.0f} s{limit}")
        passed = passed and (bound is None or grown <= bound)
    print("passed" if passed else "FAILED")
    return passed


def main() -> int:
    parser = new_parser("bench.soak", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="cloop")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, help="of the random choices (default: another each time)")
    parser.add_argument("--warm-up", type=float, default=0.2, help="share of the time (default: 0.2)")
    parser.add_argument("--rss-bound", type=float, default=4096, help="KiB it may rise by (default: 4096)")
    parser.add_argument("--fd-bound", type=float, default=10, help="descriptors (default: 10)")
    args = parser.parse_args()
    seed = random.randrange(2**32) if args.seed is None else args.seed
    facts = {**description(), "loop": args.loop, "seed": seed}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        soak = Soak(random.Random(seed))
        runner.run(soak_loop(soak, args.minutes * 60))
    return 0 if verdict(soak, args) else 1


if __name__ == "__main__":
    raise SystemExit(main())
