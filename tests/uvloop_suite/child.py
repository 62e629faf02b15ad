"""Run one module of uvloop's tests in this process: `tests.stdlib.child` for those."""

import importlib
import json
import os
import sys
import types
from pathlib import Path

from tests.stdlib.child import Order, main

EXCLUSIONS = Path(__file__).with_name("exclusions.toml")


def load_module(order: Order) -> types.ModuleType:
    """The module, with the classes that are for the loop in uvloop's place, and not those for asyncio's."""
    testbase = importlib.import_module("uvloop._testbase")
    testbase.UVTestCase.implementation = os.environ.get("IMPL", order.kit)
    # Beside the tests of this project, which are a package of the same name.
    sys.path.insert(0, os.path.join(os.environ["CLOOP_UVLOOP_SDIST"], "tests"))
    module = importlib.import_module(order.module)
    for name, found in list(vars(module).items()):
        if isinstance(found, type) and issubclass(found, testbase.AIOTestCase):
            delattr(module, name)
    return module


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])), load_module, EXCLUSIONS)
