"""State of the process is listed in CONTRIBUTING.md."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT

from .tree import PACKAGE, files, needs_source

pytestmark = needs_source

# Variables of a module that a function sets.
SET = re.compile(r"^\s+global (?P<names>[\w, ]+)$", re.MULTILINE)
# Variables in C that may change: no constants, functions, or pointers to such.
STATIC = re.compile(
    r"^\s*static (?!inline|const|__thread)[\w ]+[ *](?P<names>\w+)(?:\[[\w ]+\])?(?: = [^;]*)?;", re.MULTILINE
)
FREE_LIST = re.compile(r"^\s+CLOOP_FREELIST\((?P<names>\w+)", re.MULTILINE)
# Set once, while the module is imported; and what debug builds count.
CONSTANT = re.compile(
    r"cloop_noticed_(names|count)|cloop_call_(nothing|plain_dealloc)|cloop_no_dict|known|(SSL|ERR|BIO)_\w+"
    r"|live|\w+_live|in_use|searched|copied"
)


def variables(path: Path) -> set[str]:
    """The names of variables that change."""
    text = path.read_text()
    names = ", ".join(
        found["names"] for pattern in (SET, STATIC, FREE_LIST) for found in pattern.finditer(text)
    )
    return {name for name in re.split(r",\s*", names) if name and not CONSTANT.fullmatch(name)}


def name_of(path: Path) -> str:
    """As the table has it."""
    relative = path.relative_to(PACKAGE)
    return str(relative if path.suffix == ".h" else relative.with_suffix(""))


def listed() -> set[str]:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## State of the process\n")[2]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("path", files(PACKAGE, ".py", ".pyx", ".pxd", ".h"), ids=name_of)
def test_what_changes_is_listed(path):
    found = variables(path)
    assert not found or name_of(path) in listed(), found


def test_the_table_names_files():
    known = {name_of(path) for path in files(PACKAGE, ".py", ".pyx", ".h")}
    assert listed() and listed() <= known


def test_variables_are_found():
    assert variables(PACKAGE / "aio" / "task.py") == {"numbers"}
    assert variables(PACKAGE / "core" / "timer.pyx") == {"timers"}
    assert variables(PACKAGE / "core" / "untracked.pyx") == {"spare", "spare_count"}
    assert variables(PACKAGE / "_c" / "dictless.h") == {"cloop_dict_is_next"}
