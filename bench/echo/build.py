"""The C programs of this folder: built outside the source tree when they have changed, where a compiler is.

A wheel has them as functions of an extension module instead (programs.c). Where there is neither, or no
OpenSSL for them, Python's load generator (load.py) stands in, and there is no C server to compare with.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from .openssl import openssl_options

HERE = Path(__file__).resolve().parent
COMPILE = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror"]
RUN_MODULE = "import sys; from {0} import programs; programs.{1}(['{1}', *sys.argv[1:]])"


def cache() -> Path:
    """The folder for built programs, by the contents of their sources."""
    digest = hashlib.sha256(" ".join(COMPILE).encode())
    for source in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "cloop-bench" / digest.hexdigest()[:16]


def build(name: str) -> Path:
    """The path of the built program, `name`.c of this folder.

    Raises OSError where there is no compiler, subprocess.CalledProcessError where it fails.
    """
    built = cache() / name
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a compilation that is interrupted leaves nothing that looks built.
        unfinished = built.with_suffix(f".{os.getpid()}")
        # Where dlopen is no part of libc yet, it is in libdl.
        command = [*COMPILE, "-o", str(unfinished), str(HERE / f"{name}.c"), "-ldl"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        unfinished.rename(built)
    return built


@functools.cache
def executable(name: str) -> list[str]:
    """The command that runs `name`, load or server, before its options; an empty one without it."""
    if (HERE / f"{name}.c").exists():
        try:
            return [str(build(name))]
        except (OSError, subprocess.CalledProcessError) as exc:
            reason = (getattr(exc, "stderr", None) or str(exc)).strip().splitlines()[0]
            print(f"note: no {name} in C: {reason}", file=sys.stderr)
    elif importlib.util.find_spec(f"{__package__}.programs"):
        return [sys.executable, "-c", RUN_MODULE.format(__package__, name)]
    return []


def program(name: str, *, tls: bool = False) -> list[str]:
    """The command that runs `name`, with what it needs over TLS; an empty one where it can't be had."""
    command = executable(name)
    if not tls or not command:
        return command
    return [*command, *options] if (options := openssl_options()) else []


def load_command(*, tls: bool = False) -> list[str]:
    """The command that runs the load generator: that in C, or else Python's."""
    python = [sys.executable, "-m", f"{__package__}.load", *(["--tls"] if tls else [])]
    return program("load", tls=tls) or python
