"""cloop in the processes that multiprocessing starts anew.

A forked child has its parent's event loop policy. One started by `spawn` or by a fork server begins with a
fresh interpreter, of which the parent describes only what multiprocessing knows of: sys.path, the main
module. Under `python -m cloop` the loop belongs to that description.
"""

import sys
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from cloop import _beside, notice, once, runner

SPAWN = "multiprocessing.spawn"

# What a child runs when it reads its description. It has not set its sys.path by then. What the program has
# beside it comes last, for the modules that cloop imports may have names of its.
BEGINNING = """
import sys
sys.path = [place for place in path if place not in beside] + beside
from cloop.children import make_default_here_and_below
sys.path = path
make_default_here_and_below(told, pipe)
"""


class Beginning:
    """Unpickling it in a child makes cloop the loop there."""

    def __init__(self, path: list[str]) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        given = {"path": self.path, "beside": _beside.programs, "told": notice.was_told()}
        return exec, (BEGINNING, {**given, "pipe": once.described()})


def describe_loop(spawn: types.ModuleType) -> None:
    """Add cloop to the description of this process that multiprocessing.spawn makes for a child."""
    plain = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data: dict[str, Any] = plain(name)
        # The child looks up the keys it knows, and reads all of them.
        return {"cloop": Beginning(data["sys_path"]), **data}

    spawn.get_preparation_data = get_preparation_data  # type: ignore[attr-defined]


class WaitForSpawn:
    """Sees to multiprocessing.spawn once a program imports it: most programs don't.

    As importlib.abc.MetaPathFinder, whose module imports `random` and others before the program does.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != SPAWN:
            return None
        finders = [each for each in sys.meta_path if each is not self and hasattr(each, "find_spec")]
        specs = (finder.find_spec(fullname, path, target) for finder in finders)
        spec = next(filter(None, specs), None)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_describe(module: types.ModuleType) -> None:
            load(module)
            # Not before: somebody may have asked for the specification and not imported it.
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            describe_loop(module)

        spec.loader.exec_module = load_and_describe  # type: ignore[method-assign]
        return spec


def is_asked_for() -> bool:
    """Whether cloop is asked for: by the command line, whatever the program does."""
    return True


def make_default_here_and_below(told: bool = False, pipe: Any = None) -> None:
    """Make cloop the loop of asyncio in this process and in those that it starts by multiprocessing.

    `told` is whether it has been told already that another loop runs; `pipe` is the parent's, of `once`.
    """
    if pipe is not None:
        once.adopt(pipe.detach())
    if told:
        notice.be_silent()
    runner.make_default()
    notice.watch(is_asked_for)
    if SPAWN in sys.modules:
        describe_loop(sys.modules[SPAWN])
    else:
        sys.meta_path.insert(0, WaitForSpawn())
