"""Futures of concurrent.futures as futures of the loop: asyncio.wrap_future for cloop's own.

A worker thread that completes its future posts the bridge into the loop's inbox as itself.
"""

import sys
from asyncio import events, futures
from concurrent.futures import Future as ThreadFuture

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.aio.future cimport CANCELLED, PENDING, Future, new_future
from cloop.core.handle cimport report_failure
from cloop.core.reactor cimport Reactor

cdef object convert = futures._convert_future_exc
cdef object running_loop = events._get_running_loop
# From 3.14 on one that is completed in the loop's own thread, while the loop runs, is so at once.
cdef bint at_once = sys.version_info >= (3, 14)


@cython.final
cdef class Bridge:
    """Between one future of a thread (`source`) and one of a loop (`future`).

    The source, which never drops its callbacks, keeps it; so it lets go of the source once the future is
    done, and no cycle is left for the collector.
    """

    cdef:
        Reactor loop
        Future future
        object source

    def __call__(self, source):
        """The source's done callback, in whatever thread completes it."""
        if self.loop is None:
            # wrap() makes those that are of use.
            return
        if at_once and running_loop() is self.loop:
            self.copy()
        elif not self.loop.closed:
            self.loop.soon_threadsafe(self, run_arrived)

    cdef NoResult copy(self) except NoResult.EXC:
        """Copy what the source has into the future."""
        cdef Future future = self.future
        if future.state != PENDING:
            return NoResult.OK
        if self.source.cancelled():
            future.cancel_future(None)
            return NoResult.OK
        exception = self.source.exception()
        if exception is not None:
            return future.fail(convert(exception))
        return future.finish(self.source.result())


cdef NoResult run_arrived(object owner) except NoResult.EXC:
    """The source is done."""
    cdef Bridge self = <Bridge>owner
    try:
        self.copy()
    except BaseException as exc:
        # The source's own code did it, or it has what no future takes.
        report_failure(self.loop, self, (self.source,), exc)
    return NoResult.OK


cdef NoResult run_done(object owner) except NoResult.EXC:
    """The future is done: if it was cancelled, so shall be the source."""
    cdef Bridge self = <Bridge>owner
    cdef object source = self.source
    self.source = None
    if self.future.state == CANCELLED:
        try:
            source.cancel()
        except BaseException as exc:
            report_failure(self.loop, self, (source,), exc)
    return NoResult.OK


def wrap(source, loop):
    """A future of `loop` that completes as the concurrent.futures.Future `source` does."""
    cdef Bridge bridge
    cdef Reactor reactor = loop if isinstance(loop, Reactor) else None
    if (reactor is None or reactor.own_call_soon or reactor.own_call_soon_threadsafe
            or not isinstance(source, ThreadFuture)):
        return futures.wrap_future(source, loop=loop)
    bridge = Bridge.__new__(Bridge)
    bridge.loop = reactor
    bridge.source = source
    bridge.future = new_future(reactor)
    bridge.future.add_waiter(bridge, run_done)
    source.add_done_callback(bridge)
    return bridge.future
