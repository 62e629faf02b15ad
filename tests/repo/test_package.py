"""What an installed cloop consists of."""

from pathlib import Path

import pytest

import cloop

from .tree import PACKAGE

INSTALLED = Path(cloop.__file__).parent
SOURCES = {".pyx", ".pxd", ".c", ".h"}


def suffixes() -> set[str]:
    return {path.suffix for path in INSTALLED.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def skip_in_place():
    if INSTALLED == PACKAGE:
        pytest.skip("cloop was built in place")


def test_brings_its_types():
    assert (INSTALLED / "py.typed").exists()
    assert (INSTALLED / "loop.pyi").exists()
    assert (INSTALLED / "core" / "reactor.pyi").exists()
    assert (INSTALLED / "transports" / "tls" / "machine.pyi").exists()


def test_leaves_its_sources_out():
    assert not suffixes() & SOURCES
    # Compiled Python: beside the extension module the source would never be imported.
    assert not (INSTALLED / "aio" / "task.py").exists()


def test_is_compiled():
    from cloop.aio import task

    assert Path(task.__file__).suffix == ".so"
