"""What compiled code must not do: it would read memory where there is nothing."""

import builtins
import importlib
import re
import sys
import types

import pytest

from tests.support import ROOT

from .tree import PACKAGE, compiled_modules, files, needs_source

# What Python classes inherit from. Everything else takes its own methods for granted.
OPEN = {"BaseLoop", "Future", "Task", "Handle"}
HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by Python
COMPILED = [PACKAGE / f"{module}{suffix}" for module in compiled_modules() for suffix in (".pyx", ".py")]


def extension_types() -> list[type]:
    """The extension types of this build."""
    found = []
    for name in compiled_modules():
        try:
            module = importlib.import_module(f"cloop.{name.replace('/', '.')}")
        except ModuleNotFoundError:
            continue  # the other poller
        found += [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__ and not value.__flags__ & HEAP
        ]
    return found


def name_of(each: object) -> str:
    return getattr(each, "__name__", str(each))


@pytest.mark.parametrize("kind", extension_types() if PACKAGE.is_dir() else [], ids=name_of)
def test_private_classes_are_closed(kind):
    """A Python class that inherits from one would have the methods without what they work on."""
    if kind.__name__ in OPEN and vars(sys.modules[kind.__module__]).get(kind.__name__) is kind:
        assert type("Derived", (kind,), {}).__base__ is kind
    else:
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Derived", (kind,), {})


@pytest.mark.parametrize("kind", extension_types() if PACKAGE.is_dir() else [], ids=name_of)
def test_methods_know_their_own_kind(kind):
    """The compiler's own functions (`binding=True`) take anything for `self`."""
    for name, method in vars(kind).items():
        assert type(method).__name__ != "cython_function_or_method", name
        if isinstance(method, types.MethodDescriptorType | types.WrapperDescriptorType):
            with pytest.raises(TypeError):
                method([])
        elif isinstance(method, types.GetSetDescriptorType):
            with pytest.raises(TypeError):
                method.__get__([], list)


# ---- The source


def lines_of_code(path):
    """(number, indentation, text) of each line that has code."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, len(line) - len(line.lstrip()), text


def left_early(path) -> list[str]:
    """Where an `except` or a `finally` clause is left by return, break or continue."""
    found = []
    clauses = []
    for number, indentation, text in lines_of_code(path):
        while clauses and indentation <= clauses[-1]:
            clauses.pop()
        if re.match(r"(except|finally)\b", text):
            clauses.append(indentation)
        elif clauses and re.match(r"(return|break|continue)\b", text):
            found.append(f"{path.name}:{number}: {text}")
    return found


@needs_source
@pytest.mark.parametrize("path", [path for path in COMPILED if path.is_file()], ids=name_of)
def test_except_clauses_are_left_at_their_end(path):
    """Elsewhere the compiler releases the traceback, which is NULL where memory has run out."""
    assert left_early(path) == []


TYPED = re.compile(
    r"^(?:const )?(?!int |bint |long |double |float |size_t |Py_ssize_t |object )[A-Za-z_.]+ +[a-z_]+"
)


def arguments_of(path) -> list[str]:
    """The arguments, with their types, of what can be called from Python."""
    source = re.sub(r"#.*", "", path.read_text())
    heads = re.findall(r"^ *(?:def|cpdef) [\w\[\] ]*\w+\(([^)]*)\)", source, re.MULTILINE)
    return [argument.strip() for head in heads for argument in head.split(",")]


@needs_source
@pytest.mark.parametrize("path", files(PACKAGE, ".pyx") if PACKAGE.is_dir() else [], ids=name_of)
def test_arguments_say_whether_they_may_be_none(path):
    """One with a type is not None, unless it says so."""
    silent = [
        argument
        for argument in arguments_of(path)
        if TYPED.match(argument) and not re.search(r" (not|or) None$|=", argument)
    ]
    assert silent == []


@needs_source
def test_none_is_refused_where_nothing_is_said():
    assert '"allow_none_for_extension_args": False' in (ROOT / "setup.py").read_text()


@needs_source
@pytest.mark.parametrize("path", files(PACKAGE, ".pyx", ".pxd") if PACKAGE.is_dir() else [], ids=name_of)
def test_fields_that_python_sets_have_no_type_of_ours(path):
    """It could set them to None. What is a dict is looked at by Python's own code only."""
    public = [
        text.removeprefix("cdef ")
        for _, _, text in lines_of_code(path)
        if re.match(r"(cdef )?public\b", text) and text != "public:"
    ]
    assert [text for text in public if not re.match(r"public (object|dict|bint|int|double) ", text)] == []


@needs_source
@pytest.mark.parametrize("path", files(PACKAGE, ".pyx"), ids=name_of)
def test_isinstance_of_several_classes_names_builtin_ones_only(path):
    """Asked for one of several classes, Cython 3.3 takes an error of PyObject_IsInstance() for True.

    It has no need to ask that of builtin classes.
    """
    for names in re.findall(r"isinstance\([^()]+, \(([^()]*)\)\)", path.read_text()):
        assert all(hasattr(builtins, name.strip()) for name in names.split(",")), names
