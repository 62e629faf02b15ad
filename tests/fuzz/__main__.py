"""The command line: see the package's docstring."""

import argparse
import os
import sys
import time


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    kinds = ["calls", "programs", "memory", "faults"]
    parser.add_argument("kind", choices=kinds)
    parser.add_argument(
        "words", nargs="*", metavar="word", help="memory, faults: part of a scenario's name; default: all"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="after which nothing new is begun (default: 60)"
    )
    parser.add_argument(
        "--seed", type=int, help="run this one case; default: all from one that the clock gives"
    )
    parser.add_argument("--from", type=int, dest="first", help="the first seed of many")
    parser.add_argument("--jobs", type=int, default=1, help="children at once (default: 1)")
    parser.add_argument(
        "--loop", choices=["cloop", "asyncio"], default="cloop", help="memory, faults: on which loop"
    )
    options = parser.parse_args()
    if options.first is None:
        options.first = options.seed if options.seed is not None else time.time_ns() % 10**6
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The same each time; it is read at the start only.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, sys.orig_argv)
    from . import parent

    return parent.KINDS[options.kind](options)


if __name__ == "__main__":
    sys.exit(main())
