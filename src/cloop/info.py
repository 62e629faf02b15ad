"""What `python -m cloop --info` tells: this build, this system, and what was chosen."""

import errno
import importlib.metadata
import json
import platform
import socket
import sys
from typing import Any

from cloop import __version__, _settings, runner
from cloop.api import streams
from cloop.core.counts import debug_counts
from cloop.transports.tls_engine import describe_engine, why_no_kernel_tls

# The other loops, by their names on the package index.
OTHER_LOOPS = ("blazio", "rloop", "rsloop", "uvloop", "zloop", "zuvloop")

TCP_ULP = 31  # linux/tcp.h


def facts() -> dict[str, Any]:
    """All of it, as JSON has it: docs/debugging.md says what each name means."""
    loop = runner.new_event_loop()
    try:
        features = loop.poller_features()
        compiled = streams.equips(loop)
    finally:
        loop.close()
    no_kernel_tls = why_no_kernel_tls() or why_the_kernel_has_none()
    return {
        "cloop": __version__,
        "build": "release" if debug_counts() is None else "debug",
        **features,
        "streams": "cloop" if compiled else "asyncio",
        "tls": describe_engine(),
        "kernel_tls": f"no: {no_kernel_tls}" if no_kernel_tls else "yes, where a context asks for it",
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


def why_the_kernel_has_none() -> str:
    """Why the kernel would encrypt for no connection, or an empty text."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        except OSError as exc:
            # It takes connected sockets only; but first it looks for its module.
            return "" if exc.errno == errno.ENOTCONN else "the kernel's module tls is not loaded"
    return ""


def other_loops() -> list[tuple[str, str]]:
    """The other loops that are installed, with their versions; none of them is imported."""
    found = []
    for name in OTHER_LOOPS:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
