"""The command line: see the package's docstring."""

import argparse
import sys

from .modules import KITS, installed, runs
from .runner import add_options, run_modules


def main() -> int:
    """Run the modules asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stdlib", description=__doc__)
    add_options(parser, KITS)
    options = parser.parse_args()
    available = installed()
    missing = set(options.modules) - set(available)
    if missing or not available:
        print(f"not in this interpreter's test suite: {', '.join(sorted(missing)) or 'test.test_asyncio'}")
        return 2
    total = run_modules(
        runs(options.loop, options.modules or available),
        options.jobs,
        pattern=options.pattern,
        with_excluded=options.with_excluded,
    )
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
