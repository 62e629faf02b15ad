"""The event loops that are measured, and how each is made.

A loop is named by the string a user would give to ``uvicorn --loop``: ``module:factory``.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from cloop import __version__

from .servers import ROOT

Loop = asyncio.AbstractEventLoop

CLOOP = "cloop"

FACTORIES = {
    CLOOP: "cloop:new_event_loop",
    "asyncio": "asyncio:new_event_loop",
    "uvloop": "uvloop:new_event_loop",
    "rloop": "rloop:new_event_loop",
    "blazio": "blazio:new_event_loop",
    "zloop": "zloop:new_event_loop",
    # The next two are for CPython 3.14 and later.
    "zuvloop": "zuvloop:new_event_loop",
    "rsloop": "rsloop:new_event_loop",
    # Not a loop of its own: aiofastnet's transports over uvloop, the faster of its two usual hosts.
    "aiofastnet": f"{__name__}:new_aiofastnet_loop",
}

# aiofastnet schedules as its host does, so it is compared only where bytes move.
SCHEDULERS = tuple(name for name in FACTORIES if name != "aiofastnet")

ANSWER_S = 30


def new_aiofastnet_loop() -> Loop:
    """A uvloop whose networking methods are aiofastnet's."""
    aiofastnet = importlib.import_module("aiofastnet")
    uvloop = importlib.import_module("uvloop")
    loop: Loop = aiofastnet.loop_factory(uvloop.new_event_loop)()
    return loop


def factory_of(name: str) -> Callable[[], Loop]:
    """The factory of the loop called `name`; ImportError when it is not installed."""
    module, _, attribute = FACTORIES[name].partition(":")
    factory: Callable[[], Loop] = getattr(importlib.import_module(module), attribute)
    return factory


def why_missing(name: str) -> str | None:
    """None when the loop can be made here, else the reason it cannot, as one line.

    It is made in a process of its own, which it may end.
    """
    command = [sys.executable, "-m", f"{__package__}.loops", name]
    try:
        done = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=ANSWER_S
        )
    except subprocess.TimeoutExpired:
        return f"{name}: not made within {ANSWER_S} s"
    if done.returncode < 0:
        return f"{name}: ends its process with {signal.Signals(-done.returncode).name}"
    if done.returncode:
        return f"{name}: {(done.stderr.strip().splitlines() or [f'ends with {done.returncode}'])[-1]}"
    return done.stdout.strip() or None


def make_one(name: str) -> str:
    """Why the loop cannot be made in this process, or an empty text."""
    try:
        factory_of(name)().close()
    except Exception as exc:  # a peer may fail in any way of its own; that is a reason to report, not to stop
        missing = isinstance(exc, ModuleNotFoundError) and exc.name == name
        return f"{name}: not installed" if missing else f"{name}: {type(exc).__name__}: {exc}"
    return ""


def version_of(name: str) -> str:
    """The version of what is measured under that name, '' for the standard library's."""
    if name == CLOOP:
        # The one that is imported, which need not be the one that is installed.
        return __version__
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    print(make_one(sys.argv[1]))
