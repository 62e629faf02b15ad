"""The process that runs the cases in children and prints what is found."""

import argparse
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support import ROOT

from .crew import Ended, Job, run_jobs, run_python
from .faults import faults
from .memory import memory
from .trail import read_trail

EMPTY: Mapping[int, str] = {}
ACTIONS = 1000
# Programs that one child runs.
PROGRAMS = 25
# Lines of the trail that are printed, and seconds that one child may take.
LAST = 25
LIMIT = 90.0


class Report:
    """What was found, printed when it is found."""

    def __init__(
        self, kind: str, options: argparse.Namespace, meanings: Mapping[int, str] = EMPTY, last: int = LAST
    ) -> None:
        self.kind = kind
        self.options = options
        # Of exit codes.
        self.meanings = meanings
        # How many lines of a trail are printed.
        self.last = last
        self.cases = self.found = 0
        self.began = time.monotonic()

    def look_at(self, ended: Ended) -> None:
        """Print how a job ended, if it should not have ended so."""
        self.cases += 1
        if ended.code == 0 and not ended.hung:
            return
        self.found += 1
        print(
            f"\n==== {self.kind} {ended.job.name}: {self.how(ended)} after {ended.seconds:.1f} s", flush=True
        )
        if ended.job.trail:
            print("\n".join(read_trail(ended.job.trail, self.last)))
        print(ended.output, ended.told, sep="\n", flush=True)

    def how(self, ended: Ended) -> str:
        """How a child ended."""
        if ended.hung:
            return "did not end"
        if ended.code < 0:
            return f"ended by {signal.Signals(-ended.code).name}"
        return self.meanings.get(ended.code) or f"exit code {ended.code}"

    def end(self) -> int:
        """Print how many there were; the exit code."""
        seconds = time.monotonic() - self.began
        print(f"{self.kind}: {self.cases} cases in {seconds:.0f} s, {self.found} with findings", flush=True)
        return 1 if self.found or not self.cases else 0


def seeds(options: argparse.Namespace, step: int = 1) -> Iterator[int]:
    """The seeds to run."""
    return iter([options.seed]) if options.seed is not None else itertools.count(options.first, step)


def prepare_environment() -> None:
    """What children need to find the tests from another folder, and to do the same each time."""
    folders = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(os.path.abspath(folder) for folder in folders)
    os.environ["PYTHONHASHSEED"] = "0"


def calls(options: argparse.Namespace) -> int:
    """Arbitrary calls."""
    prepare_environment()
    report = Report("calls", options)
    with tempfile.TemporaryDirectory() as folder:
        # Their temporary folders go with it.
        os.environ["TMPDIR"] = folder

        def jobs() -> Iterator[Job]:
            for seed in seeds(options):
                trail = Path(folder, f"trail-{seed}")
                body = run_python("-m", "tests.fuzz.calls", str(seed), str(ACTIONS), str(trail))
                yield Job(f"--seed {seed}", body, LIMIT, trail=trail)

        for ended in run_jobs(jobs(), options.jobs, options.seconds):
            report.look_at(ended)
    return report.end()


def programs(options: argparse.Namespace) -> int:
    """Random programs, on both loops."""
    prepare_environment()
    report = Report("programs", options, last=1)
    count = PROGRAMS if options.seed is None else 1
    with tempfile.TemporaryDirectory() as folder:

        def jobs() -> Iterator[Job]:
            for seed in seeds(options, count):
                trail = Path(folder, f"trail-{seed}")
                body = run_python("-m", "tests.fuzz.programs", str(seed), str(count), str(trail))
                yield Job(f"--from {seed}, {count} of them", body, LIMIT, trail=trail)

        for ended in run_jobs(jobs(), options.jobs, options.seconds):
            report.look_at(ended)
    return report.end()


KINDS = {"programs": programs, "calls": calls, "memory": memory, "faults": faults}
