"""The command line: see the package's docstring."""

import argparse
import sys

from tests.stdlib.runner import add_options, run_modules

from .modules import MODULES, run


def main() -> int:
    """Run the modules asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.uvloop_suite", description=__doc__)
    add_options(parser, ("asyncio", "cloop"))
    parser.add_argument(
        "--as", dest="implementation", help="what the tests are told that they run on; default: the loop"
    )
    options = parser.parse_args()
    total = run_modules(
        [(module, options.loop) for module in options.modules or MODULES],
        options.jobs,
        run,
        implementation=options.implementation,
        pattern=options.pattern,
        with_excluded=options.with_excluded,
    )
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
