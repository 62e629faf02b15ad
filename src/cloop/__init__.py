"""cloop: a fast asyncio event loop, with its own Future and Task, on epoll and kqueue.

Ways to use it:

    asyncio.run(main(), loop_factory=cloop.new_event_loop)
    cloop.run(main())
    python -m cloop app.py
"""

import sys

from cloop import _beside, _settings  # noqa: F401  # first: what they see to is for the others
from cloop._version import __version__
from cloop.aio.combinators import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    as_completed,
    gather,
    run_coroutine_threadsafe,
    shield,
    wait,
    wait_for,
)
from cloop.aio.future import Future
from cloop.aio.task import Task
from cloop.api.streams import open_connection, open_unix_connection, start_server, start_unix_server
from cloop.core.counts import debug_counts as _debug_counts  # noqa: F401  # for the tests
from cloop.core.counts import debug_totals as _debug_totals  # noqa: F401
from cloop.loop import Loop
from cloop.runner import install, new_event_loop, run

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "Future",
    "Loop",
    "Task",
    "__version__",
    "as_completed",
    "gather",
    "install",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "start_server",
    "start_unix_server",
    "wait",
    "wait_for",
]

# 3.16 has no policies.
if sys.version_info < (3, 16):
    from cloop.runner import EventLoopPolicy

    __all__ += ["EventLoopPolicy"]
