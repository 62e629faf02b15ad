"""Each allocation of a scenario fails once: an exception, a report or success, but no crash and no hang."""

import argparse
import random
from collections.abc import Callable, Iterator
from functools import partial

from tests.support import Implementation, load_implementation

from .carry_out import FINE, MAY_BE_SLOW, MEANINGS, NOT_REACHED, PATIENT, carry_out
from .crew import Job, once_more, run_jobs
from .scenarios import SCENARIOS, run_all_once

try:
    import _testcapi
except ImportError:
    _testcapi = None

LIMIT = 15.0


def failing_at(name: str, impl: Implementation, n: int, slowness: float) -> Callable[[], int]:
    """A body: the scenario, of which the allocation number n fails; `slowness` is that of carry_out()."""

    def body() -> int:
        reached = False

        def end() -> None:
            nonlocal reached
            # If the failure has not come yet, it comes while as many objects are made.
            reached = True
            try:
                for _ in range(n + 2):
                    object()
            except MemoryError:
                reached = False
            _testcapi.remove_mem_hooks()

        # A SystemError is CPython's: it calls functions that return NULL for want of memory and say nothing.
        begin = partial(_testcapi.set_nomemory, n, n + 1)
        code = carry_out(name, impl, begin, end, strict=False, slowness=slowness)
        return NOT_REACHED if code == FINE and not reached else code

    return body


def job(name: str, impl: Implementation, n: int, slowness: float = 1.0) -> Job:
    """One case."""
    return Job(f"{name} --seed {n}", failing_at(name, impl, n, slowness), LIMIT * slowness)


def measure(name: str, impl: Implementation, seconds: float) -> int:
    """About how many allocations a scenario makes."""
    low, high = 0, 64
    while reaches(name, impl, high, seconds):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(name, impl, middle, seconds):
            low = middle
        else:
            high = middle
    return high


def reaches(name: str, impl: Implementation, n: int, seconds: float) -> bool:
    """Whether it makes more than n."""
    (ended,) = run_jobs(iter([job(name, impl, n)]), 1, seconds)
    return ended.code != NOT_REACHED


def memory(options: argparse.Namespace) -> int:
    """Failing allocations."""
    # Which imports this.
    from .parent import Report

    if not hasattr(_testcapi, "set_nomemory"):
        print("memory: this interpreter has no _testcapi.set_nomemory()")
        return 0
    impl = load_implementation(options.loop)
    report = Report("memory", options, MEANINGS)
    names = [name for name in SCENARIOS if not options.words or name in options.words]
    run_all_once(impl)
    if options.seed is not None:
        jobs = (job(name, impl, options.seed) for name in names)
    else:
        jobs = all_jobs(names, impl, options)
    for ended in run_jobs(jobs, options.jobs, options.seconds):
        if ended.code == NOT_REACHED:
            ended.code = 0
        if ended.code in MAY_BE_SLOW:
            name, _, n = ended.job.name.split()
            ended = once_more(ended, job(name, impl, int(n), PATIENT))
        report.look_at(ended)
    return report.end()


def all_jobs(names: list[str], impl: Implementation, options: argparse.Namespace) -> Iterator[Job]:
    """Every case, in an order that the seed gives: runs that are too short for all do different ones."""
    totals = {name: measure(name, impl, options.seconds) for name in names}
    print("allocations:", ", ".join(f"{name} {total}" for name, total in totals.items()), flush=True)
    cases = [(name, n) for name, total in totals.items() for n in range(total + 1)]
    random.Random(options.first).shuffle(cases)
    return (job(name, impl, n) for name, n in cases)
