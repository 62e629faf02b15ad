"""Who imports whom inside of cloop, read from the sources.

A module is named by its path below src/cloop without a suffix: `core/timer` is timer.pyx and
timer.pxd together, `poll` is the package's __init__, and the top package is ``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .tree import PACKAGE, files

SUFFIXES = (".py", ".pyx", ".pxd")

IMPORT = re.compile(
    r"^[ \t]*from[ \t]+(?P<package>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n]*)"
    r"|^[ \t]*c?import[ \t]+(?P<modules>[\w., \t]+)",
    re.MULTILINE,
)
COMMENT = re.compile(r"#[^\n]*")
# What only a type checker imports is no arrow: it is not there when the program runs.
TYPING_BLOCK = re.compile(r"^if TYPE_CHECKING:\n(?:(?:[ \t][^\n]*)?\n)+", re.MULTILINE)


@dataclass(frozen=True)
class Arrow:
    """`source`, in `file`, imports `target`."""

    source: str
    target: str
    file: Path

    def __str__(self) -> str:
        return f"{self.file.relative_to(PACKAGE)} imports {self.target or 'cloop itself'}"


def module_of(path: Path) -> str:
    """The module that a file belongs to."""
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return "" if name == "__init__" else name.removesuffix("/__init__")


def modules() -> set[str]:
    """All modules of the package."""
    return {module_of(path) for path in files(PACKAGE, *SUFFIXES)}


def all_arrows() -> list[Arrow]:
    """Every import of one of cloop's modules by another."""
    known = modules()
    return [
        Arrow(module_of(path), target, path)
        for path in files(PACKAGE, *SUFFIXES)
        for target in imported(path.read_text(), known)
        if target != module_of(path)
    ]


def imported(source: str, known: set[str]) -> Iterator[str]:
    """The modules of cloop that a source text imports and cimports."""
    source = COMMENT.sub("", TYPING_BLOCK.sub("", source))
    for found in IMPORT.finditer(source):
        if found["modules"]:
            for dotted in found["modules"].split(","):
                yield from resolve(dotted.split(" as ")[0].strip(), [], known)
        else:
            names = [name.split(" as ")[0].strip() for name in found["names"].strip("()").split(",")]
            yield from resolve(found["package"], names, known)


def resolve(dotted: str, names: list[str], known: set[str]) -> Iterator[str]:
    """`from dotted import names`: the modules that are meant, if they are cloop's."""
    dotted = dotted.removeprefix("cython.cimports.")
    assert not dotted.startswith("."), "imports are absolute"
    top, *parts = dotted.split(".")
    if top != "cloop":
        return
    package = "/".join(parts)
    inside = {"/".join([*parts, name]) for name in names}
    yield from inside & known
    if not names or not inside <= known:
        assert package in known, f"{dotted} is no module"
        yield package
