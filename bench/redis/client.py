"""A client of Redis under one loop, which sets and gets values by pipelines of redis-py, one after the other.

    python -m bench.redis.client --loop uvloop --pipeline 100 6379

Prints one line of JSON: how many commands were answered a second, and what one cost this process.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from redis import asyncio as redis

from ..clients import rate_of
from ..loops import FACTORIES, factory_of
from ..tool import new_parser

WARM_UP_S = 0.1
VALUE = b"x" * 100


def parser_class(with_hiredis: bool) -> Any:
    """The parser of redis-py that reads with hiredis, or its own."""
    from redis import _parsers

    # Not public, and the only way to have the one in Python where hiredis is installed.
    return _parsers._AsyncHiredisParser if with_hiredis else _parsers._AsyncRESP2Parser


async def work(client: redis.Redis, pipeline: int, seconds: float) -> int:
    """Run pipelines for that long; returns how many commands that were."""
    commands = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        if pipeline == 1:
            await client.set("key", VALUE)
            commands += 1
            continue
        async with client.pipeline(transaction=False) as batch:
            for number in range(pipeline // 2):
                batch.set(f"key {number}", VALUE)
                batch.get(f"key {number}")
            answers = await batch.execute()
        assert answers[-1] == VALUE
        commands += len(answers)
    return commands


async def measure(port: int, pipeline: int, with_hiredis: bool, seconds: float) -> str:
    """Commands a second over one connection, after some to warm up."""
    # The protocol's version that both parsers are for.
    pool = redis.ConnectionPool(
        host="127.0.0.1", port=port, protocol=2, parser_class=parser_class(with_hiredis)
    )
    async with redis.Redis(connection_pool=pool) as client:
        await work(client, pipeline, WARM_UP_S)
        began, began_cpu = time.perf_counter(), time.process_time()
        commands = await work(client, pipeline, seconds)
        elapsed, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    await pool.aclose()
    return rate_of(commands, elapsed, cpu)


def main() -> None:
    parser = new_parser("bench.redis.client", __doc__)
    parser.add_argument("--loop", choices=FACTORIES, default="asyncio")
    parser.add_argument("--pipeline", type=int, default=1, help="commands sent at once (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--hiredis", action="store_true", help="parse answers by hiredis")
    parser.add_argument("port", type=int)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=factory_of(args.loop)) as runner:
        print(runner.run(measure(args.port, args.pipeline, args.hiredis, args.seconds)))


if __name__ == "__main__":
    main()
