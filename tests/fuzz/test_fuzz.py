"""The fuzzers work, and find what is to be found; a few seconds of each."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.conftest import LOOPS
from tests.support import DEBUG_PYTHON, ROOT, load_implementation

from .crew import Job, run_jobs
from .trail import Trail, read_trail

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it needs pidfds, and /proc"),
    # Of whatever an earlier test has left.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
# kqueue on Linux.
EMULATED = sys.platform == "linux" and importlib.util.find_spec("cloop.poll.epoll") is None
needs_cloop = pytest.mark.skipif("cloop" not in LOOPS, reason="not cloop's half")


def can_trace() -> bool:
    """Whether there is an strace(1) that may do something here."""
    return (
        bool(shutil.which("strace"))
        and not subprocess.run(
            ["strace", "-o", os.devnull, "true"], capture_output=True, check=False
        ).returncode
    )


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command."""
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


# ---- A little of each


@needs_cloop
@pytest.mark.parametrize("kind", ["calls", "programs"])
def test_a_few_seeds(kind):
    found = fuzz(kind, "--from", "1", "--seconds", "3")
    assert found.returncode == 0, found.stdout + found.stderr


@needs_cloop
@pytest.mark.skipif(
    DEBUG_PYTHON, reason="an assertion of CPython's aborts in list.append() without memory (its issue 151818)"
)
@pytest.mark.parametrize("scenario", ["tasks", "tcp"])
def test_a_few_allocations_that_fail(scenario):
    pytest.importorskip("_testcapi", reason="the interpreter has no _testcapi")
    found = fuzz("memory", scenario, "--from", "1", "--seconds", "3")
    assert found.returncode == 0, found.stdout + found.stderr


@needs_cloop
@pytest.mark.skipif(not can_trace(), reason="there is no strace, or it may not do anything here")
@pytest.mark.skipif(
    EMULATED, reason="the system calls of kqueue's emulation fail too, and it does not expect that"
)
def test_a_few_system_calls_that_fail():
    found = fuzz("faults", "tcp", "--from", "1", "--seconds", "3")
    assert found.returncode == 0, found.stdout + found.stderr


@needs_cloop
@pytest.mark.skipif(not can_trace(), reason="there is no strace, or it may not do anything here")
def test_one_system_call_that_fails_is_an_error_of_the_programs():
    found = fuzz("faults", "tcp", "listen", "EADDRINUSE", "1")
    assert "1 cases" in found.stdout and found.returncode == 0, found.stdout + found.stderr


@needs_cloop
@pytest.mark.skipif(not can_trace(), reason="there is no strace, or it may not do anything here")
@pytest.mark.parametrize("error", ["EIO", "EINTR"])
def test_a_loop_that_one_thread_could_not_wake_is_woken_after_all(error):
    found = fuzz("faults", "threads", "write", error, "1")
    assert found.returncode == 0, found.stdout + found.stderr


# ---- What they see


def ended(body, limit=10.0):
    """How a job with that body ends."""
    (only,) = run_jobs(iter([Job("job", body, limit)]), 1, 10.0)
    return only


def test_a_crash_is_seen():
    crashed = ended(os.abort)
    assert crashed.code < 0 and crashed.crashed and not crashed.hung


def test_a_hang_is_seen_and_ended():
    hung = ended(lambda: time.sleep(100) or 0, limit=0.1)
    assert hung.hung and hung.seconds < 10


def test_an_exception_and_its_text_are_seen():
    failed = ended(lambda: 1 // 0)
    assert failed.code == 70 and "ZeroDivisionError" in failed.output


def test_what_ends_well():
    fine = ended(lambda: print("said") or 0)
    assert fine.code == 0 and fine.output == "said\n" and not fine.crashed


def test_the_last_lines_of_a_trail(tmp_path):
    trail = Trail(tmp_path / "trail")
    for i in range(1000):
        trail.note(f"line {i}")
    assert [line.partition(" ")[2] for line in read_trail(tmp_path / "trail", 2)] == ["line 998", "line 999"]


@needs_cloop
def test_a_difference_is_seen_and_made_small(monkeypatch):
    from . import programs
    from .interpreter import Program

    cloop = load_implementation("cloop")

    class Wrong:
        """An implementation that calls cancelled what is done."""

        def __getattr__(self, name):
            return getattr(cloop, name)

    wrong = Wrong()

    async def gather(*some, return_exceptions=False):
        return list(reversed(await cloop.gather(*some, return_exceptions=return_exceptions)))

    wrong.module = type("Module", (), {"gather": staticmethod(gather)})
    wrong.name, wrong.is_cloop = "cloop", True
    monkeypatch.setattr(programs, "CLOOP", wrong)
    gathering = ("gather", [("coroutine", 1), ("coroutine", 2), ("coroutine", 1)], False)
    program = Program(
        [[(True, ("sleep", 1)), (True, gathering)], [(True, ("look", ("task", 0)))], []], begun=1
    )
    small = programs.shrink(program)
    assert programs.differ(small)
    assert len(small.scripts[0]) == 1 and len(small.scripts[0][0][1][1]) == 2
    assert programs.differ(replace(small, own=False)) is None


def test_the_same_seed_makes_the_same_program():
    from .programs import Generator

    assert Generator(5).program() == Generator(5).program() != Generator(6).program()
