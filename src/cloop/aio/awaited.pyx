"""Who awaits a future by way of something else; awaited.pxd is the manual.

From 3.14 on asyncio's task groups, gather(), wait() and so on tell by two public functions which
task waits for which future, for asyncio.capture_call_graph(). asyncio's own know nothing of futures
that are not the standard library's, so these stand in their place, and hand on what is not cloop's.
"""

import asyncio
from asyncio import events, futures, tasks

from cloop._c.pyapi cimport NoResult
from cloop.aio.future cimport Future
from cloop.aio.registry cimport add_awaiter, discard_awaiter

cdef object add_foreign = getattr(futures, "future_add_to_awaited_by", None)
cdef object discard_foreign = getattr(futures, "future_discard_from_awaited_by", None)
cdef object current_task = tasks.current_task
cdef object running_loop = events._get_running_loop
cdef object asyncio_future = futures.Future
cdef bint keeps_graph = add_foreign is not None


def future_add_to_awaited_by(fut, waiter, /):
    """Record that `fut` is awaited on by `waiter`. As asyncio.future_add_to_awaited_by."""
    note(fut, waiter)


def future_discard_from_awaited_by(fut, waiter, /):
    """Record that `fut` is no longer awaited on by `waiter`. As asyncio's function of that name."""
    forget(fut, waiter)


cdef NoResult note(object future, object waiter) except NoResult.EXC:
    if not isinstance(future, Future):
        add_foreign(future, waiter)
    elif isinstance(waiter, Future) or isinstance(waiter, asyncio_future):
        add_awaiter(future, waiter)
    return NoResult.OK


cdef NoResult forget(object future, object waiter) except NoResult.EXC:
    if isinstance(future, Future):
        discard_awaiter(future, waiter)
    else:
        discard_foreign(future, waiter)
    return NoResult.OK


cdef NoResult note_awaited(object future, object waiter) except NoResult.EXC:
    if keeps_graph and waiter is not None:
        return note(future, waiter)
    return NoResult.OK


cdef NoResult forget_awaited(object future, object waiter) except NoResult.EXC:
    if keeps_graph and waiter is not None:
        return forget(future, waiter)
    return NoResult.OK


cdef object awaiting_task():
    if not keeps_graph:
        return None
    loop = running_loop()
    return None if loop is None else current_task(loop)


if keeps_graph:
    for each in (asyncio, futures):
        each.future_add_to_awaited_by = future_add_to_awaited_by
        each.future_discard_from_awaited_by = future_discard_from_awaited_by
