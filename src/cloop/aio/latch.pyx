"""What wait(), gather() and shield() are made of: futures that complete when others do.

A child of cloop's own reports through a `Link`, which enters the ready deque as itself; any other
one through its add_done_callback.

Derived in its rules from CPython's asyncio/tasks.py (PSF License Agreement).
"""

import sys
from asyncio import coroutines, exceptions, futures, tasks, timeouts

cimport cython
from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport NoResult, cloop_hide_new, cloop_show
from cloop.aio.awaited cimport awaiting_task, forget_awaited, note_awaited
from cloop.aio.future cimport CANCELLED, FINISHED, PENDING, Future, new_future
from cloop.aio.registry cimport default_loop
from cloop.aio.task cimport Task
from cloop.core.handle cimport report_failure
from cloop.core.reactor cimport Reactor
from cloop.core.ready cimport run_t

cdef object CancelledError = exceptions.CancelledError
cdef object iscoroutine = coroutines.iscoroutine
cdef object ensure_future = tasks.ensure_future
cdef object get_loop = futures._get_loop
# 3.13 also tells of the time-out inside of exceptions that a cancelled body raised instead.
cdef bint looks_inside = sys.version_info >= (3, 13)
cdef object insert_timeout_error = getattr(timeouts.Timeout, "_insert_timeout_error", None)

FIRST_COMPLETED = tasks.FIRST_COMPLETED
FIRST_EXCEPTION = tasks.FIRST_EXCEPTION
ALL_COMPLETED = tasks.ALL_COMPLETED


cdef bint is_own(object future):
    """Whether a future takes waiters: one of cloop's own, of a loop of cloop's, not done."""
    if type(future) is not Task and type(future) is not Future:
        return False
    return (<Future>future).native and (<Future>future).state == PENDING


def holds_coroutine(members):
    """Whether there is a coroutine among them."""
    for future in members:
        if not isinstance(future, Future) and iscoroutine(future):
            return True
    return False


@cython.final
cdef class Link:
    """Between a child and the one who waits for it."""

    cdef object parent
    cdef object child


cdef Link link(object parent, Future child, run_t run):
    cdef Link self = Link.__new__(Link)
    self.parent = parent
    self.child = child
    child.add_waiter(self, run)
    return self


# ---- wait

@cython.final
cdef class Latch:
    """Opens when enough of a set of futures are done."""

    cdef:
        Future waiter           # done when the latch is open
        Py_ssize_t left         # futures that are not done
        bint first              # the first one opens it
        bint first_exception    # the first one with an exception opens it
        list links
        list foreign            # futures that have `self.on_done` as a callback
        object awaiting         # the task that waits, where a call graph is kept

    def __cinit__(self, Reactor loop not None, members, return_when):
        self.waiter = new_future(loop)
        self.left = len(members)
        self.first = return_when == FIRST_COMPLETED
        self.first_exception = return_when == FIRST_EXCEPTION
        self.links = []
        self.foreign = []
        self.awaiting = awaiting_task()
        for future in members:
            note_awaited(future, self.awaiting)
            if is_own(future):
                self.links.append(link(self, future, run_latch))
            else:
                future.add_done_callback(self.on_done)
                self.foreign.append(future)
        cloop_show(self)

    @property
    def opened(self):
        """The future to wait for."""
        return self.waiter

    def open(self):
        """Open it now."""
        if self.waiter.state == PENDING:
            self.waiter.finish(None)

    cdef NoResult count_down(self, object future) except NoResult.EXC:
        self.left -= 1
        if (self.left <= 0 or self.first
                or (self.first_exception and not future.cancelled()
                    and future.exception() is not None)):
            self.open()
        return NoResult.OK

    def on_done(self, future):
        """One of the futures that are not of cloop's own is done."""
        forget_awaited(future, self.awaiting)
        self.count_down(future)

    def split(self, members):
        """(done, pending) of the futures, two sets."""
        cdef set done = set()
        cdef set pending = set()
        for future in members:
            if ((<Future>future).state != PENDING if isinstance(future, Future) else future.done()):
                done.add(future)
            else:
                pending.add(future)
        return done, pending

    def release(self):
        """Take back what waits for those that are not done."""
        cdef Link one
        for one in self.links:
            if (<Future>one.child).state == PENDING:
                (<Future>one.child).remove_waiter(one)
                forget_awaited(one.child, self.awaiting)
        for future in self.foreign:
            future.remove_done_callback(self.on_done)
            forget_awaited(future, self.awaiting)


cloop_hide_new(<PyTypeObject *>Latch)


cdef NoResult run_latch(object owner) except NoResult.EXC:
    cdef Link self = <Link>owner
    return (<Latch>self.parent).count_down(self.child)


# ---- gather

@cython.final
cdef class _GatheringFuture(Future):
    """What gather() returns: a future of the list of results; cancelling it cancels the children."""

    cdef:
        list children           # in the order of the arguments, repeated as those are
        Py_ssize_t left         # distinct children that are not done
        bint return_exceptions
        bint cancel_requested
        object awaiting         # the task that called gather(), where a call graph is kept

    def cancel(self, msg=None):
        """Cancel the children. Returns False if there is nothing to cancel."""
        if self.state != PENDING:
            return False
        cancelled = False
        for child in self.children:
            if child.cancel(msg=msg):
                cancelled = True
        if cancelled:
            # To be told by a CancelledError also where exceptions are returned.
            self.cancel_requested = True
        return cancelled

    cdef NoResult child_done(self, object child) except NoResult.EXC:
        self.left -= 1
        if self.state != PENDING:
            if not child.cancelled():
                child.exception()  # seen, so that nobody reports it
            return NoResult.OK
        if not self.return_exceptions:
            exception = child._make_cancelled_error() if child.cancelled() else child.exception()
            if exception is not None:
                self.let_go()
                return self.fail(exception)
        if self.left == 0:
            return self.complete()
        return NoResult.OK

    cdef NoResult let_go(self) except NoResult.EXC:
        """The others go on, and nobody waits for them any more."""
        awaiting, self.awaiting = self.awaiting, None
        for child in self.children:
            forget_awaited(child, awaiting)
        return NoResult.OK

    cdef NoResult complete(self) except NoResult.EXC:
        cdef list results = []
        for child in self.children:
            # Seen, also where nobody gets it.
            results.append(result_or_exception(child))
        if self.cancel_requested:
            # As asyncio: of the last argument, whichever was done last.
            return self.fail(self.children[len(self.children) - 1]._make_cancelled_error())
        return self.finish(results)

    def on_done(self, child):
        """A child that is not of cloop's own is done."""
        forget_awaited(child, self.awaiting)
        self.child_done(child)


cdef object result_or_exception(object child):
    cdef Future own
    if type(child) is Task or type(child) is Future:
        own = <Future>child
        if own.state == FINISHED:
            return own.result_
    if child.cancelled():
        message = child._cancel_message
        return CancelledError("" if message is None else message)
    exception = child.exception()
    return child.result() if exception is None else exception


cdef NoResult run_gather(object owner) except NoResult.EXC:
    cdef Link self = <Link>owner
    return (<_GatheringFuture>self.parent).child_done(self.child)


# Up to 3.11, what is done already is heard of a turn later, as all else.
cdef bint sees_done = sys.version_info >= (3, 12)


def gather(*coros_or_futures, return_exceptions=False):
    """A future of the list of results, in the order of the arguments.

    Coroutines become tasks. With `return_exceptions` exceptions are results; else the first one is
    raised, and the others go on. As asyncio.gather.
    """
    cdef _GatheringFuture outer = _GatheringFuture.__new__(_GatheringFuture)
    cdef dict known = {}
    cdef list done = []
    loop = None
    outer.children = []
    outer.return_exceptions = return_exceptions
    if not coros_or_futures:
        future = default_loop().create_future()
        future.set_result([])
        return future
    for argument in coros_or_futures:
        future = known.get(argument)
        if future is None:
            future = ensure_future(argument, loop=loop)
            if loop is None:
                loop = get_loop(future)
                outer.set_up(loop)
                outer.awaiting = awaiting_task()
            if future is not argument:
                # Made here: gather itself tells what becomes of it.
                future._log_destroy_pending = False
            known[argument] = future
            outer.left += 1
            finished = future.done()
            if finished and sees_done:
                done.append(future)
                outer.children.append(future)
                continue
            note_awaited(future, outer.awaiting)
            if is_own(future) and not finished:
                link(outer, future, run_gather)
            else:
                future.add_done_callback(outer.on_done)
        outer.children.append(future)
    for future in done:
        outer.child_done(future)
    return outer


# ---- shield

# From 3.14 on an exception of the inner future is not taken for retrieved where the outer one was cancelled
# before it heard of that.
cdef bint reports_unseen = sys.version_info >= (3, 14)


@cython.final
cdef class ShieldedFuture(Future):
    """What shield() returns: follows a future, and does not cancel it."""

    cdef object inner
    cdef object awaiting   # the task that called shield(), where a call graph is kept

    def on_done(self, inner):
        """The inner future is done."""
        forget_awaited(inner, self.awaiting)
        if self.state == CANCELLED:
            if not reports_unseen and not inner.cancelled():
                inner.exception()  # retrieved, so that nobody reports it
            return
        if self.state != PENDING:
            return
        if inner.cancelled():
            self.cancel_future(None)
            return
        exception = inner.exception()
        if exception is not None:
            self.fail(exception)
        else:
            self.finish(inner.result())

    def outer_done(self, _):
        """This one is done."""
        if not self.inner.done():
            self.inner.remove_done_callback(self.on_done)
            forget_awaited(self.inner, self.awaiting)


# asyncio's is a plain Future, and so is called in reprs and reports.
(<PyTypeObject *>ShieldedFuture).tp_name = "cloop.aio.latch.Future"


cdef NoResult run_outer_done(object owner) except NoResult.EXC:
    cdef ShieldedFuture self = <ShieldedFuture>owner
    try:
        self.outer_done(self)
    except BaseException as exc:
        # The inner future's own code.
        report_failure(<Reactor>self.loop, self.outer_done, (self,), exc)
    return NoResult.OK


@cython.always_allow_keywords(True)
def shield(arg):
    """A future that follows `arg` and, when cancelled, leaves it alone. As asyncio.shield."""
    inner = ensure_future(arg)
    if inner.done():
        return inner
    cdef ShieldedFuture outer = ShieldedFuture.__new__(ShieldedFuture)
    outer.set_up(get_loop(inner))
    outer.inner = inner
    outer.awaiting = awaiting_task()
    inner.add_done_callback(outer.on_done)
    note_awaited(inner, outer.awaiting)
    if not outer.native:
        outer.add_done_callback(outer.outer_done)
    else:
        outer.add_waiter(outer, run_outer_done)
    return outer


# ---- wait_for

@cython.final
cdef class Deadline:
    """Cancels the current task after a time, and makes a TimeoutError of that: `with Deadline(s)`.

    As `async with asyncio.timeout(s)`, whose rules it follows.
    """

    cdef:
        object delay
        object task
        object timer
        int cancelling
        bint expired

    def __init__(self, delay):
        self.delay = delay

    def __enter__(self):
        task = tasks.current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self.task = task
        self.cancelling = task.cancelling()
        if self.delay is not None:
            self.timer = get_loop(task).call_later(self.delay, self.expire)
        return self

    def expire(self):
        """The time is over."""
        self.task.cancel()
        self.expired = True
        self.timer = None

    def __exit__(self, exc_type, exc_value, traceback):
        task, self.task = self.task, None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        # Only where nobody else has cancelled the task as well.
        if self.expired and task.uncancel() <= self.cancelling and exc_type is not None:
            if exc_type is CancelledError or (looks_inside and issubclass(exc_type, CancelledError)):
                raise TimeoutError from exc_value
            if insert_timeout_error is not None:
                insert_timeout_error(exc_value)
                if isinstance(exc_value, ExceptionGroup):
                    for inner in exc_value.exceptions:
                        insert_timeout_error(inner)
        return None
