"""The public surface: everything has its name, and every name is in the stubs."""

import ast
import asyncio
import importlib
import inspect
import types

import pytest

import cloop

from .tree import PACKAGE, compiled_modules, needs_source

# asyncio's classes and cloop's in their place.
PAIRS = [
    (asyncio.AbstractEventLoop, cloop.Loop),
    (asyncio.Future, cloop.Future),
    (asyncio.Task, cloop.Task),
    (asyncio.Handle, importlib.import_module("cloop.core.handle").Handle),
    (asyncio.TimerHandle, importlib.import_module("cloop.core.timer").TimerHandle),
]


def public(namespace: dict[str, object]) -> set[str]:
    """Names without an underscore, modules left out."""
    return {
        name
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


def defined_in(module: types.ModuleType) -> set[str]:
    """The public names of what a module itself defines."""
    names = public(vars(module))
    return {name for name in names if getattr(vars(module)[name], "__module__", "") == module.__name__}


def test_all_is_what_is_public():
    assert set(cloop.__all__) - {"__version__"} == public(vars(cloop))
    assert len(set(cloop.__all__)) == len(cloop.__all__)


@pytest.mark.parametrize("name", [name for name in cloop.__all__ if name.islower() and name != "__version__"])
def test_functions_say_what_they_do(name):
    assert inspect.getdoc(getattr(cloop, name))


@pytest.mark.parametrize(("theirs", "ours"), PAIRS, ids=lambda each: each.__module__)
def test_has_what_asyncio_has(theirs, ours):
    assert {name for name in dir(theirs) if not name.startswith("_")} <= set(dir(ours))


@needs_source
@pytest.mark.parametrize("module", compiled_modules() if PACKAGE.is_dir() else [])
def test_compiled_module_has_a_stub(module):
    """One that names whatever is public in it; stubtest compares the rest."""
    stub = PACKAGE / f"{module}.pyi"
    named = names_in(ast.parse(stub.read_text()))
    try:
        built = importlib.import_module(f"cloop.{module.replace('/', '.')}")
    except ModuleNotFoundError:
        pytest.skip(f"this build has no {module}")
    assert defined_in(built) <= named


def names_in(stub: ast.Module) -> set[str]:
    """What a stub declares at its top level."""
    found = set()
    for node in stub.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname for alias in node.names if alias.asname}
    return found
