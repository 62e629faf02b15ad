"""The OpenSSL that the C programs are given: the one that Python's own ssl uses, where that is a library."""

from __future__ import annotations

import functools
from pathlib import Path

LIBRARIES = ("crypto", "ssl")  # in the order of loading: the second needs the first
WANTED = "SSL_read_ex"  # the newest function that the programs use, of OpenSSL 1.1.1


def loaded(name: str) -> str | None:
    """The path of the library that this process has loaded under the name lib`name`."""
    try:
        mappings = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    # An address, access, an offset, a device, an inode, a path.
    paths = [fields[5] for line in mappings if len(fields := line.split(maxsplit=5)) == 6]
    # Beside "libssl.so.3" there is the name that auditwheel gives it, "libssl-1a2b3c.so.3".
    wanted = (f"lib{name}.", f"lib{name}-")
    return next((path for path in paths if Path(path).name.startswith(wanted)), None)


@functools.cache
def openssl_options() -> list[str]:
    """-S and a path for each library, as the C programs take them; an empty list where there is none.

    A Python that has OpenSSL inside of itself shows nobody its functions: then the system's, if it has one.
    """
    try:
        import ctypes
        import ctypes.util
        import ssl  # noqa: F401 (loads them)
    except ImportError:
        return []
    paths = [loaded(name) for name in LIBRARIES]
    if not all(paths):
        paths = [ctypes.util.find_library(name) for name in LIBRARIES]
    try:
        libraries = [ctypes.CDLL(path) for path in paths if path]
    except OSError:
        return []
    if len(libraries) < len(LIBRARIES) or not hasattr(libraries[-1], WANTED):
        return []
    return [word for path in paths if path for word in ("-S", path)]
