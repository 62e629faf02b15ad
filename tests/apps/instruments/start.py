"""How the programs of this folder run: `python -m tests.apps.instruments.NAME asyncio` or `cloop`."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """asyncio.run() on the loop that the command line names."""
    if sys.argv[1] == "cloop":
        import cloop

        return asyncio.run(main, loop_factory=cloop.new_event_loop) if PY312 else cloop.run(main)
    return asyncio.run(main)


PY312 = sys.version_info >= (3, 12)
