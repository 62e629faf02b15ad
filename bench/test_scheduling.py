"""The scheduling cases under pytest-benchmark.

    pytest bench/test_scheduling.py
    pytest bench/test_scheduling.py -k "uvloop and switch"

pytest-benchmark's columns are for a whole run of n operations; `ns_per_operation` is in the extra information
(``--benchmark-json``). All loops share one process here, so take figures to quote from ``bench.compare``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from .cases import CASES, Case
from .loops import SCHEDULERS, Loop, factory_of, why_missing

pytest.importorskip("pytest_benchmark")

ROUNDS = 5

# What a peer warns of is the peer's affair.
pytestmark = pytest.mark.filterwarnings("ignore")

missing = cache(why_missing)


@pytest.fixture(params=SCHEDULERS)
def loop_name(request: pytest.FixtureRequest) -> str:
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return str(request.param)


@pytest.fixture
def loop(loop_name: str) -> Iterator[Loop]:
    loop = factory_of(loop_name)()
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_case(benchmark: Any, case: Case, loop_name: str, loop: Loop) -> None:
    if case.only not in (None, loop_name):
        pytest.skip(f"for {case.only} only")
    benchmark.group = case.title
    with case.crowd(loop):
        figures = benchmark.pedantic(case.body, args=(loop, case.n), rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info.update(figures or {})
    if benchmark.stats:  # None under --benchmark-disable
        best_s = benchmark.stats.stats.min
        benchmark.extra_info["ns_per_operation"] = case.ns_per_operation(best_s * 1e9, case.n)
