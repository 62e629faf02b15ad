"""Child processes that run Python programs."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support import PATIENCE

# For whole programs on a busy machine, benchmarks among them; only a failing test waits that long.
SECONDS = 100


def environment(**variables: str) -> dict[str, str]:
    """This process's, with paths that hold in any directory, and nothing that changes messages."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") or name == "PYTHONMALLOC"
    }
    if paths := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in paths.split(os.pathsep))
    return env | {"PYTHONUNBUFFERED": "1"} | variables


def run_python(
    *args: object, cwd: Path, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter to its end."""
    return subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        input=stdin,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextlib.contextmanager
def running_python(*args: object, cwd: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """An interpreter that runs meanwhile; whatever it prints, errors too, is on its stdout."""
    with subprocess.Popen(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What the process prints up to a line that contains the text; one that stays silent is killed."""
    lines = ""
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        for line in iter(process.stdout.readline, ""):
            lines += line
            if text in line:
                return lines
    finally:
        watchdog.cancel()
    raise AssertionError(f"the process ended without {text!r}: {lines}")


def rest_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code of a process that is about to end, and what it still prints."""
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def without_locations(text: str) -> str:
    """A traceback without the lines that show where in the source a caret points."""
    return "\n".join(line for line in text.splitlines() if line.strip(" ~^"))
