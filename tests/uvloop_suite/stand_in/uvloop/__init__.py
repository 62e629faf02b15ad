"""cloop, or asyncio, under the name `uvloop`: its tests import that, also in child processes.

CLOOP_UVLOOP_SUITE names the loop, CLOOP_UVLOOP_SDIST uvloop's sources, whose `_testbase` is wanted.
"""

import asyncio
import os

__path__.append(os.path.join(os.environ["CLOOP_UVLOOP_SDIST"], "uvloop"))

if os.environ["CLOOP_UVLOOP_SUITE"] == "cloop":
    from cloop import EventLoopPolicy, Loop, install, new_event_loop, run
else:
    from asyncio import DefaultEventLoopPolicy as EventLoopPolicy
    from asyncio import SelectorEventLoop as Loop
    from asyncio import new_event_loop

    def install():
        """asyncio's loop is there already."""

    def run(main, **kwargs):
        """As uvloop.run."""
        with asyncio.Runner(**kwargs) as runner:
            return runner.run(main)


__all__ = ("EventLoopPolicy", "Loop", "install", "new_event_loop", "run")
