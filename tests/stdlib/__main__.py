"""The command line: see the package's docstring."""

import argparse
import sys

from .modules import KITS, installed, runs
from .runner import Outcome, run_module


def parse() -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.stdlib", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="module", help="such as test_tasks; default: all")
    parser.add_argument("--loop", choices=KITS, default="cloop", help="asyncio swaps nothing")
    parser.add_argument("-k", dest="pattern", default="*", help="only tests like this module.class.method")
    parser.add_argument("--with-excluded", action="store_true", help="run what exclusions.toml leaves out")
    return parser.parse_args()


def show(title: str, outcome: Outcome) -> None:
    """Print the failures of one module, then its counts."""
    for test, detail in outcome.failed.items():
        print(f"{'=' * 90}\nFAILED {title} {test}\n{detail}", flush=True)
    print(f"{title}: {outcome.summary()}", flush=True)


def main() -> int:
    """Run the modules asked for; the exit code."""
    options = parse()
    available = installed()
    missing = set(options.modules) - set(available)
    if missing or not available:
        print(f"not in this interpreter's test suite: {', '.join(sorted(missing)) or 'test.test_asyncio'}")
        return 2
    total = Outcome()
    for module, kit in runs(options.loop, options.modules or available):
        outcome = run_module(module, kit, pattern=options.pattern, with_excluded=options.with_excluded)
        show(f"[{kit}] {module}", outcome)
        total.add(outcome, kit)
    print(total.summary())
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
