"""Measure one case on one loop, a run whenever a line comes on stdin, each answered by a line of JSON.

compare.py starts it anew for every loop, case and round, so that neither the memory another case has left
behind nor a loop that hangs or crashes can touch the rest; and has the workers of all loops take turns.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator

from .cases import CASES, Case, Figures
from .loops import FACTORIES, Loop, factory_of
from .machine import pin
from .tool import new_parser


def runs(case: Case, loop: Loop, n: int, asked: Iterator[str]) -> Iterator[tuple[float, Figures]]:
    """Nanoseconds per operation of a run, and its figures, whenever one is asked for.

    Before the first one, a shorter one warms up.
    """
    with case.crowd(loop):
        case.body(loop, max(n // 10, 100))
        yield 0, {}
        for _ in asked:
            gc.collect()
            start_ns = time.perf_counter_ns()
            figures = case.body(loop, n)
            yield case.ns_per_operation(time.perf_counter_ns() - start_ns, n), figures or {}


def main() -> None:
    parser = new_parser("bench.worker", __doc__)
    parser.add_argument("loop", choices=FACTORIES)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--operations", type=int, help="in one run (default: the case's own number)")
    parser.add_argument("--core", type=int, help="the core to stay on (default: any)")
    args = parser.parse_args()

    # Before the loop is imported: threads it may start inherit the core.
    pin(args.core)
    case = CASES[args.case]
    loop = factory_of(args.loop)()
    for ns, figures in runs(case, loop, args.operations or case.n, sys.stdin):
        # Printed before the close: what was measured stands, also when a loop cannot shut down.
        print(json.dumps({"ns": ns, "figures": figures}), flush=True)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


if __name__ == "__main__":
    main()
