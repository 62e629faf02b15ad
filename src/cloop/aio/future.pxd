"""Future, as asyncio.Future.

Who waits is kept in place while there is one: a task of cloop's as itself with the function that
wakes it, or a callback with its context. Only a second one needs a list. When the future is done,
the one in place enters the ready deque as it is, and nothing is allocated.

A future of a loop that is not cloop's (`native` is false) schedules through that loop's call_soon.

The fields lie where asyncio's C futures have theirs, as far as somebody looks there from outside
(_c/asyncio_task.h): `awaited_by`, `state` and the two flags behind it; and Task's first fields come right
behind these. So their order and number is fixed, and one that is added belongs into a subclass or takes
another one's place.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult, Py_REFCNT, cloop_has_weakrefs
from cloop.core.ready cimport run_t
from cloop.core.reactor cimport Reactor

# The first three as in asyncio, which calls a failed future finished, too.
cdef enum State:
    PENDING
    CANCELLED
    FINISHED
    FAILED

# A waiter of cloop's own in the list of further ones.
@cython.final
cdef class Waiter:
    cdef:
        object owner
        run_t run

cdef class Future:
    cdef:
        object loop               # None only before __init__

        # The first waiter: with `waiter_run` NULL a callback and its context, else an owner for the
        # ready deque. When the future is done and a callback is here, it waits in the deque.
        object waiter
        object waiter_context
        run_t waiter_run
        list more                 # further ones: (callback, context) or Waiter; None if none

        # Of a finished future its result, of a failed one its exception, else what cancel() was told.
        object result_
        # Of a failed future the exception's traceback when it was set, of a cancelled task the
        # CancelledError that ended it, until somebody takes it; else None.
        object raised_
        object source_traceback   # a StackSummary of who made it, in debug mode
        dict __dict__

        # Who awaits it: a future or task, or a set of such; NULL if nobody is known to. Only the
        # functions of asyncio_task.h touch it.
        object awaited_by
        State state
        char is_task
        char awaited_by_is_set

        unsigned char log_traceback   # an exception is set and nobody has seen it
        unsigned char blocking        # it was yielded by an await, and nobody has taken it up
        unsigned char native          # the loop is a Reactor whose call_soon is its own
        unsigned char own_class       # of an extension class that no Python class overrides
        unsigned char must_cancel     # a task's: the next step raises CancelledError in the coroutine
        unsigned char log_destroy_pending   # a task's
        int num_cancels_requested     # a task's
        object __weakref__

        NoResult set_up(self, object loop) except NoResult.EXC
        NoResult forget(self) except NoResult.EXC
        NoResult report_not_retrieved(self) except NoResult.EXC
        NoResult refuse(self) except NoResult.EXC
        list entries(self)
        NoResult set_entries(self, list entries) except NoResult.EXC

        # `run(owner)` once the future is done. It is not done, and its loop is cloop's.
        NoResult add_waiter(self, object owner, run_t run) except NoResult.EXC
        NoResult remove_waiter(self, object owner) except NoResult.EXC
        NoResult schedule(self) except NoResult.EXC
        NoResult schedule_all(self) except NoResult.EXC

        # What set_result, set_exception and cancel do, once it is known to be pending.
        NoResult finish(self, object result) except NoResult.EXC
        NoResult fail(self, object exception) except NoResult.EXC
        bint cancel_future(self, object message) except -1

        # An await of it ended before it was done: close() or throw(). For a subclass whose future
        # nobody else can await.
        NoResult abandon(self) except NoResult.EXC

        # The exception of a future that is done, as somebody who waits gets it; else None.
        object outcome(self)
        object make_cancelled_error(self)

        # What cancel() was told. A future keeps it while it is pending or cancelled, a task for ever.
        object cancel_message(self)
        NoResult set_cancel_message(self, object message) except NoResult.EXC

        # Whether it is pending, and nobody but the one who asks has it or has come to wait for it: what is
        # kept for later can be found by way of the collector.
        inline bint is_untouched(self) noexcept:
            return (Py_REFCNT(<PyObject *>self) == 1 and self.state == PENDING and self.waiter is None
                    and not cloop_has_weakrefs(<PyObject *>self))

cdef Future new_future(Reactor loop)
