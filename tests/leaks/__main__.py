"""The command line: see the package's docstring."""

import argparse
import sys

# They enter their scenarios.
from tests.leaks import engine, processes, sockets, streams, tasks, tls, transports  # noqa: F401
from tests.support import load_implementation

from .growth import growth
from .scenarios import SCENARIOS


def main() -> int:
    """Run the scenarios asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.leaks", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="word", help="part of a scenario's name; default: all")
    parser.add_argument("--loop", choices=["cloop", "asyncio"], default="cloop")
    options = parser.parse_args()
    impl = load_implementation(options.loop)
    chosen = [name for name in SCENARIOS if not options.words or any(word in name for word in options.words)]
    leaking = 0
    for name in chosen:
        found = growth(lambda name=name: SCENARIOS[name](impl))
        leaking += bool(found)
        print(f"{name:36}", ", ".join(f"{more} {kind}" for kind, more in found.items()) or "-", flush=True)
    print(f"{len(chosen)} scenarios on {options.loop}, {leaking} with growth")
    return 1 if leaking or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
