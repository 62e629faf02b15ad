"""The rooms: a file imports and cimports only from its own room and from those below."""

from graphlib import CycleError, TopologicalSorter

from .arrows import all_arrows, imported, modules
from .tree import PACKAGE, POLLERS, compiled_modules, files, needs_source

pytestmark = needs_source

# Lowest first. A room is a folder or a few modules of the top folder.
ROOMS = (
    ("_beside", "_c", "_settings", "_version"),
    ("poll",),
    ("core",),
    ("aio",),
    ("transports",),
    ("api",),
    ("base_loop",),
    ("loop",),
    ("", "__main__", "_pyinstaller", "children", "gunicorn", "info", "notice", "once", "runner"),
)
FLOOR = {name: floor for floor, names in enumerate(ROOMS) for name in names}

EVERY_FORM = """
from __future__ import annotations
import asyncio, cloop.core.timer as t, cloop.loop
cimport cython
from cloop._c.pyapi cimport NoResult  # from cloop.loop import Loop
from cython.cimports.cloop.aio.future import (
    Future,  # a comment, with a parenthesis)
    new_future,
)
from cloop.api import connect, dns as names
if TYPE_CHECKING:
    from cloop.base_loop import BaseLoop

    from cloop.runner import run
def later():
    from cloop.aio.task import Task
"""


def floor_of(module: str) -> int:
    return FLOOR[module.partition("/")[0]]


def test_reader_sees_every_form():
    found = set(imported(EVERY_FORM, modules()))
    assert found == {
        "core/timer",
        "loop",
        "_c/pyapi",
        "aio/future",
        "api/connect",
        "api/dns",
        "aio/task",
    }


def test_every_module_has_a_room():
    assert {module for module in modules() if module.partition("/")[0] not in FLOOR} == set()


def test_arrows_go_down():
    upwards = [str(arrow) for arrow in all_arrows() if floor_of(arrow.target) > floor_of(arrow.source)]
    assert not upwards


def test_there_is_an_order_within_each_room():
    """Imports within a room never lead back, so that it does not matter which comes first."""
    graph: dict[str, set[str]] = {}
    for arrow in all_arrows():
        graph.setdefault(arrow.source, set()).add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle: {' <- '.join(error.args[1])}") from None


def test_setup_lists_modules_in_the_order_of_their_arrows():
    place = {module: place for place, module in enumerate(compiled_modules())}
    for arrow in all_arrows():
        if arrow.source in place and arrow.target in place:
            assert place[arrow.target] < place[arrow.source], f"{arrow}, which setup.py lists later"


def test_setup_lists_every_compiled_module():
    sources = {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in files(PACKAGE, ".pyx")}
    listed = set(compiled_modules())
    assert sources <= listed
    assert {f"poll/{poller}" for poller in POLLERS} <= listed
    assert all((PACKAGE / f"{module}.pxd").exists() for module in listed - sources), "a .py needs its .pxd"
