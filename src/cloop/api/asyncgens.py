"""Asynchronous generators: closed when the loop shuts down or when they are collected.

Derived from CPython's asyncio/base_events.py (PSF License Agreement).
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloop.loop import Loop


def firstiter_hook(loop: Loop, agen: AsyncGenerator[Any, Any]) -> None:
    """Remember a generator that is iterated for the first time."""
    if loop._asyncgens_shutdown_called:
        warnings.warn(
            f"asynchronous generator {agen!r} was scheduled after loop.shutdown_asyncgens() call",
            ResourceWarning,
            source=loop,
            stacklevel=2,
        )
    loop._asyncgens.add(agen)


def finalizer_hook(loop: Loop, agen: AsyncGenerator[Any, Any]) -> None:
    """Close a generator that is being collected, in a task of its loop."""
    loop._asyncgens.discard(agen)
    if not loop.is_closed():
        # The collector may run in any thread.
        loop.call_soon_threadsafe(loop.create_task, agen.aclose())


async def shutdown_asyncgens(loop: Loop) -> None:
    """Close all generators that are still open."""
    loop._asyncgens_shutdown_called = True
    # Whoever shuts the loop down has cancelled all tasks before, and with asyncio these are tasks.
    for acceptor in list(loop._tls_acceptors.values()):
        acceptor.end_handshakes()
    if not len(loop._asyncgens):
        return
    closing = list(loop._asyncgens)
    loop._asyncgens.clear()
    results = await asyncio.gather(*[agen.aclose() for agen in closing], return_exceptions=True)
    for result, agen in zip(results, closing, strict=True):
        if isinstance(result, Exception):
            loop.call_exception_handler(
                {
                    "message": f"an error occurred during closing of asynchronous generator {agen!r}",
                    "exception": result,
                    "asyncgen": agen,
                }
            )
