"""The longest Collatz sequence below a limit, searched by Ray's async actors on cloop.

    python examples/ray_collatz.py

An async actor is a process with an event loop, on which many calls are under way at once. Ray starts that
process, and the setup hook makes cloop its loop before Ray makes one.
"""

import argparse
import asyncio
import logging
from typing import Any

import ray

import cloop

PIECE = 5_000

# Ray prefers uvloop where it is installed, unless it is told not to.
ON_CLOOP = {"worker_process_setup_hook": "cloop.install", "env_vars": {"RAY_USE_UVLOOP": "0"}}


def length(number: int) -> int:
    """How many steps take a number to 1."""
    steps = 0
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
    return steps


class Searcher:
    """Searches pieces of the numbers; its calls take turns on one loop."""

    def __init__(self) -> None:
        self.under_way = self.most_under_way = 0

    async def longest(self, start: int, stop: int) -> tuple[int, int]:
        """The greatest length from start to below stop, and the number that has it."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        best = (0, 0)
        for number in range(start, stop):
            best = max(best, (length(number), -number))
            if number % 500 == 0:
                await asyncio.sleep(0)
        self.under_way -= 1
        return best

    async def report(self) -> tuple[str, int]:
        """The actor's loop, and how many calls were under way at once."""
        return type(asyncio.get_running_loop()).__module__, self.most_under_way


async def main(limit: int, actors: int) -> None:
    """Give the pieces to the actors in turn, and say what they found."""
    actor: Any = ray.remote(Searcher)
    searchers = [actor.remote() for _ in range(actors)]
    pieces = [
        searchers[turn % actors].longest.remote(start, min(start + PIECE, limit))
        for turn, start in enumerate(range(1, limit, PIECE))
    ]
    steps, number = max(await asyncio.gather(*pieces))
    print("longest", f"{-number} takes {steps} steps")
    print("driver ", type(asyncio.get_running_loop()).__module__)
    for loop, calls in await asyncio.gather(*(each.report.remote() for each in searchers)):
        print("actor  ", loop, f"{calls} calls at once")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=100_000, help="below it (default: 100,000)")
    parser.add_argument("--actors", type=int, default=2, help="processes (default: 2)")
    options = parser.parse_args()
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    with ray.init(num_cpus=options.actors, runtime_env=ON_CLOOP, **quiet):
        cloop.run(main(options.limit, options.actors))
