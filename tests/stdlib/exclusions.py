"""The tests that are not run on cloop, from exclusions.toml."""

import operator
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

DATA = Path(__file__).with_name("exclusions.toml")
COMPARE = {">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Exclusion:
    """One entry: a pattern over module.class.method, and why."""

    test: str
    reason: str
    python: str = ""

    def applies(self, version: tuple[int, ...] = sys.version_info[:3]) -> bool:
        """Whether a version is in the entry's range."""
        return all(in_bound(version, bound.strip()) for bound in self.python.split(",") if bound.strip())

    def matches(self, test: str) -> bool:
        """Whether it excludes that test."""
        return fnmatchcase(test, self.test)


def in_bound(version: tuple[int, ...], bound: str) -> bool:
    """Whether a version satisfies one bound such as '>=3.12' or '<3.13.1'."""
    sign = bound.rstrip("0123456789.")
    return COMPARE[sign](version, tuple(int(part) for part in bound[len(sign) :].split(".")))


def load(module: str, data: Path = DATA) -> list[Exclusion]:
    """The entries of a file for one test module on the running version."""
    entries = [Exclusion(**entry) for entry in tomllib.loads(data.read_text()).get("exclude", [])]
    return [each for each in entries if each.applies() and fnmatchcase(module, each.test.split(".")[0])]
