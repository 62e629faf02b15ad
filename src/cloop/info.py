"""What `python -m cloop --info` tells: this build, this system, and what was chosen."""

import importlib.metadata
import json
import platform
import sys
from typing import Any

from cloop import __version__, _settings, runner
from cloop.api import streams
from cloop.core.counts import debug_counts
from cloop.transports.tls.engine import describe_engine

# The other loops, by their names on the package index.
OTHER_LOOPS = ("blazio", "rloop", "rsloop", "uvloop", "zloop", "zuvloop")


def facts() -> dict[str, Any]:
    """All of it, as JSON has it: docs/debugging.md says what each name means."""
    loop = runner.new_event_loop()
    try:
        features = loop.poller_features()
        compiled = streams.equips(loop)
    finally:
        loop.close()
    return {
        "cloop": __version__,
        "build": "release" if debug_counts() is None else "debug",
        **features,
        "streams": "cloop" if compiled else "asyncio",
        "tls": describe_engine(),
        "gil": has_gil(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "variables": _settings.IN_EFFECT,
        "loops": dict(other_loops()),
    }


def as_text() -> str:
    """The facts, one in a line."""
    found = facts()
    variables, loops = found.pop("variables"), found.pop("loops")
    lines = {
        **found,
        "gil": "on" if found["gil"] else "off",
        **variables,
        "loops": ", ".join(f"{name} {version}" for name, version in loops.items()) or "no others",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())


def as_json() -> str:
    """The facts as one JSON object."""
    return json.dumps(facts(), indent=2)


def has_gil() -> bool:
    """Whether the interpreter's lock is on, by now: importing cloop may have switched it on."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)  # from 3.13 on
    return is_enabled is None or is_enabled()


def other_loops() -> list[tuple[str, str]]:
    """The other loops that are installed, with their versions; none of them is imported."""
    found = []
    for name in OTHER_LOOPS:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
