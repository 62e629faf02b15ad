"""The repository's files, for tests that read them."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "src" / "cloop"
POLLERS = ("epoll", "kqueue")

needs_source = pytest.mark.skipif(not PACKAGE.is_dir(), reason="src/ is not beside the tests")


def files(folder: Path, *suffixes: str) -> list[Path]:
    """The files below a folder with one of these suffixes."""
    return sorted(path for suffix in suffixes for path in folder.rglob(f"*{suffix}"))


def compiled_modules() -> list[str]:
    """The compiled modules in the order in which setup.py lists them, as `room/module`.

    Both pollers are in it, where a build has one.
    """
    text = (ROOT / "setup.py").read_text()
    listed = re.search(r"^MODULES = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert listed, "setup.py has no list of modules"
    return [
        path.replace("{POLLER}", poller).rpartition(".")[0]
        for path in re.findall(r'"([^"]+)"', listed[1])
        for poller in (POLLERS if "{POLLER}" in path else [""])
    ]
