"""Measure one case on one loop in this process and print the result as one line of JSON.

compare.py starts it anew for every loop, case and round, so that neither the memory another case has left
behind nor a loop that hangs or crashes can touch the rest.
"""

from __future__ import annotations

import gc
import json
import time

from bench.cases import CASES, Case, Figures
from bench.loops import FACTORIES, Loop, factory_of
from bench.machine import pin
from bench.tool import new_parser


def measure(case: Case, loop: Loop, n: int, repeats: int) -> tuple[list[float], Figures]:
    """Nanoseconds per operation of each run, after a shorter one that warms up; and the figures, summed."""
    samples = []
    totals: Figures = {}
    with case.crowd(loop):
        case.body(loop, max(n // 10, 100))
        for _ in range(repeats):
            gc.collect()
            start_ns = time.perf_counter_ns()
            figures = case.body(loop, n)
            samples.append(case.ns_per_operation(time.perf_counter_ns() - start_ns, n))
            for name, value in (figures or {}).items():
                totals[name] = totals.get(name, 0) + value
    return samples, totals


def main() -> None:
    parser = new_parser("bench.worker", __doc__)
    parser.add_argument("loop", choices=FACTORIES)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--operations", type=int, help="in one run (default: the case's own number)")
    parser.add_argument("--repeats", type=int, default=8, help="runs (default: 8)")
    parser.add_argument("--core", type=int, help="the core to stay on (default: any)")
    args = parser.parse_args()

    # Before the loop is imported: threads it may start inherit the core.
    pin(args.core)
    case = CASES[args.case]
    loop = factory_of(args.loop)()
    samples, figures = measure(case, loop, args.operations or case.n, args.repeats)
    # Printed before the close: what was measured stands, also when a loop cannot shut down.
    print(json.dumps({"ns": samples, "figures": figures}), flush=True)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


if __name__ == "__main__":
    main()
