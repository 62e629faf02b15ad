"""Small files and small functions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support import ROOT

from .tree import files, needs_source

pytestmark = needs_source

FILE_LINES = 600
FUNCTION_LINES = 60

FOLDERS = ("src", "tests", "bench", "examples")
LANGUAGES = (".py", ".pyi", ".pyx", ".pxd", ".h", ".c")

# "path" or "path function" -> why it may be longer. Short lists are read.
EXCEPTIONS: dict[str, str] = {}

# The beginning of a function in Cython; a line that also ends it, without a colon, only declares.
CYTHON_HEAD = re.compile(r"^(?P<indent>[ ]*)(?:def|cdef|cpdef)\b(?! class\b)[^=\n]*?(?P<name>\w+)\(")


def sources() -> list[Path]:
    found = [path for folder in FOLDERS for path in files(ROOT / folder, *LANGUAGES)]
    return [*found, ROOT / "setup.py"]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a file, each with its number of lines."""
    if path.suffix == ".py":
        yield from python_functions(path.read_text())
    elif path.suffix == ".pyx":
        yield from cython_functions(path.read_text())


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(text: str) -> Iterator[tuple[str, int]]:
    lines = text.splitlines()
    for start, line in enumerate(lines):
        head = CYTHON_HEAD.match(line)
        if head:
            yield head["name"], last_line(lines, start, len(head["indent"])) - start + 1


def last_line(lines: list[str], start: int, indent: int) -> int:
    """Where the block that begins at `start` ends: the last line that is indented deeper."""
    body = start
    while body < len(lines) - 1 and not lines[body].rstrip().endswith(":"):
        body += 1
    last = body
    for number in range(body + 1, len(lines)):
        line = lines[number]
        if line.strip():
            if len(line) - len(line.lstrip()) <= indent:
                break
            last = number
    return last


def too_long() -> dict[str, int]:
    """What is longer than the house rules say, with its number of lines."""
    found = {}
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        lines = path.read_text().count("\n")
        if lines > FILE_LINES:
            found[name] = lines
        for function, size in functions(path):
            if size > FUNCTION_LINES:
                found[f"{name} {function}"] = size
    return found


def test_nothing_is_too_long():
    assert {what: lines for what, lines in too_long().items() if what not in EXCEPTIONS} == {}


def test_no_exception_outlives_its_reason():
    assert EXCEPTIONS.keys() <= too_long().keys()
    assert all(EXCEPTIONS.values())


CYTHON = """
cdef extern from *:
    int declared(int a)

cdef class A:
    def two_lines(self):
        pass

    cdef int five_lines(self,
                        int a) except -1:
        b = (a,
             2)
        return b[0]

cdef object held = declared(2)

def four_lines():
    \"\"\"Text.

    More.\"\"\"


# ---- The next section
"""


def test_measuring_cython():
    assert list(cython_functions(CYTHON)) == [("two_lines", 2), ("five_lines", 5), ("four_lines", 4)]
