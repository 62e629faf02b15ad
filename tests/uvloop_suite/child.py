"""Run one module of uvloop's tests in this process: `tests.stdlib.child` for those."""

import importlib
import json
import os
import sys
import tomllib
import types
import unittest
from fnmatch import fnmatchcase
from pathlib import Path

from tests.stdlib.child import Order, main, short_id

EXCLUSIONS = Path(__file__).with_name("exclusions.toml")


def load_module(order: Order) -> types.ModuleType:
    """The module, with the classes that are for the loop in uvloop's place, and not those for asyncio's."""
    testbase = importlib.import_module("uvloop._testbase")
    name_implementation(testbase.UVTestCase, os.environ["CLOOP_UVLOOP_SUITE_AS"])
    # Beside the tests of this project, which are a package of the same name.
    sys.path.insert(0, os.path.join(os.environ["CLOOP_UVLOOP_SDIST"], "tests"))
    module = importlib.import_module(order.module)
    for name, found in list(vars(module).items()):
        if isinstance(found, type) and issubclass(found, testbase.AIOTestCase):
            delattr(module, name)
    return module


def name_implementation(case: type[unittest.TestCase], name: str) -> None:
    """Tell tests what they run on: that, but asyncio for those that exclusions.toml has so."""
    entries = tomllib.loads(EXCLUSIONS.read_text())["as_asyncio"]

    def implementation(self: unittest.TestCase) -> str:
        as_asyncio = any(fnmatchcase(short_id(self), each["test"]) for each in entries)
        return "asyncio" if as_asyncio else name

    case.implementation = property(implementation)
    case.is_asyncio_loop = lambda self: self.implementation == "asyncio"


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])), load_module, EXCLUSIONS)
