"""Build the C programs of this folder, outside the source tree, when they have changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMPILE = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror"]


def cache() -> Path:
    """The folder for built programs, by the contents of their sources."""
    digest = hashlib.sha256(" ".join(COMPILE).encode())
    for source in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "cloop-bench" / digest.hexdigest()[:16]


def program(name: str, *, tls: bool = False) -> Path:
    """The path of the built program, `name`.c of this folder; over TLS it needs OpenSSL's headers."""
    built = cache() / (f"{name}-tls" if tls else name)
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        # Under another name first: a compilation that is interrupted leaves nothing that looks built.
        unfinished = built.with_suffix(f".{os.getpid()}")
        libraries = ["-DWITH_TLS", "-lssl", "-lcrypto"] if tls else []
        subprocess.run([*COMPILE, "-o", unfinished, HERE / f"{name}.c", *libraries], check=True)
        unfinished.rename(built)
    return built
