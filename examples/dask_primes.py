"""Primes below a limit, counted by Dask workers: a plain Dask program.

    python -m cloop examples/dask_primes.py            scheduler, workers and client talk over TCP
    python -m cloop examples/dask_primes.py --tls      over TLS, with certificates made for this run

The workers are processes that Dask starts. `python -m cloop` makes cloop the loop in them too: it moves the
messages there, and the sums run in the workers' threads.
"""

import argparse
import asyncio
from collections import Counter

from distributed import Client, LocalCluster, Security, Worker

PIECE = 20_000


def count_primes(start: int, stop: int) -> int:
    """How many of the numbers from start to below stop are prime."""
    root = int(stop**0.5) + 1
    small = [n for n in range(2, root) if all(n % d for d in range(2, int(n**0.5) + 1))]
    return sum(all(n % d for d in small if d * d <= n) for n in range(max(start, 2), stop))


def worker_loop(dask_worker: Worker) -> str:
    """The loop of the worker that this runs in."""
    return type(dask_worker.loop.asyncio_loop).__module__


def scheduler_loop(dask_scheduler: object) -> str:
    """The loop of the scheduler."""
    return type(dask_scheduler.loop.asyncio_loop).__module__  # type: ignore[attr-defined]


async def main(limit: int, workers: int, tls: bool) -> None:
    """Start workers, count, and say what ran where."""
    options: dict[str, object] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    if tls:
        options |= {"security": Security.temporary(), "protocol": "tls"}
    async with LocalCluster(asynchronous=True, **options) as cluster:
        async with Client(cluster, asynchronous=True) as client:
            starts = range(0, limit, PIECE)
            stops = [min(start + PIECE, limit) for start in starts]
            counts = await client.gather(client.map(count_primes, starts, stops))
            print("primes   ", sum(counts))
            print("address  ", cluster.scheduler_address.partition(":")[0])
            print("client   ", type(asyncio.get_running_loop()).__module__)
            print("scheduler", await client.run_on_scheduler(scheduler_loop))
            loops = Counter((await client.run(worker_loop)).values())
            print("workers  ", *(f"{count} on {loop}" for loop, count in loops.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=200_000, help="below it (default: 200,000)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--tls", action="store_true", help="talk over TLS")
    options = parser.parse_args()
    asyncio.run(main(options.limit, options.workers, options.tls))
