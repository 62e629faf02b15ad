"""The descriptions of the packages, from packages.toml."""

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.stdlib.exclusions import in_bound

DATA = Path(__file__).with_name("packages.toml")


@dataclass(frozen=True)
class LeftOut:
    """Tests that are run on neither loop, and why."""

    test: str
    reason: str
    python: str = ""

    def applies(self, version: tuple[int, ...] = sys.version_info[:3]) -> bool:
        """Whether it holds for a version of Python."""
        return all(in_bound(version, bound.strip()) for bound in self.python.split(",") if bound.strip())


@dataclass(frozen=True)
class Package:
    """One package whose suite is run; the fields are explained in packages.toml."""

    name: str
    version: str
    requires: tuple[str, ...]
    command: tuple[str, ...] = ()
    by_name: bool = True
    options: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    debian: str = ""
    shadows: tuple[str, ...] = ()
    folder: str = "."
    environment: tuple[tuple[str, str], ...] = ()
    service: str = ""
    user: str = ""
    test_seconds: float = 120
    left_out: tuple[LeftOut, ...] = ()

    @property
    def by_pytest(self) -> bool:
        """Whether pytest runs it; otherwise a program of its own with unittest does."""
        return not self.command


def load(data: Path = DATA) -> dict[str, Package]:
    """All packages by name."""
    return {name: make(name, fields) for name, fields in tomllib.loads(data.read_text()).items()}


def make(name: str, fields: dict[str, object]) -> Package:
    """One description."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    entries = [LeftOut(**each) for each in values.pop("left_out", ())]
    environment = tuple(dict(values.pop("environment", {})).items())
    left_out = tuple(each for each in entries if each.applies())
    return Package(name, left_out=left_out, environment=environment, **values)
