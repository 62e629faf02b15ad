"""Future, as asyncio.Future.

Who waits is kept in place while there is one: a task of cloop's as itself with the function that
wakes it, or a callback with its context. Only a second one needs a list. When the future is done,
the one in place enters the ready deque as it is, and nothing is allocated.

A future of a loop that is not cloop's (`reactor` is None) schedules through that loop's call_soon.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult, Py_REFCNT, cloop_has_weakrefs
from cloop.core.ready cimport run_t
from cloop.core.reactor cimport Reactor

cdef enum State:
    PENDING
    CANCELLED
    FINISHED

# A waiter of cloop's own in the list of further ones.
@cython.final
cdef class Waiter:
    cdef:
        object owner
        run_t run

cdef class Future:
    cdef:
        object loop               # None only before __init__
        Reactor reactor           # the same loop where it is cloop's; else None

        # The first waiter: with `waiter_run` NULL a callback and its context, else an owner for the
        # ready deque. When the future is done and a callback is here, it waits in the deque.
        object waiter
        object waiter_context
        run_t waiter_run
        list more                 # further ones: (callback, context) or Waiter; None if none

        object result_
        object exception_
        object exception_tb
        object cancel_message
        object cancelled_exc      # the CancelledError that ended a task, until somebody takes it
        object source_traceback   # a StackSummary of who made it, in debug mode
        object awaited_by         # the future that awaits it by another way, or a set of such, or None
        dict __dict__
        object __weakref__
        State state
        bint log_traceback        # an exception is set and nobody has seen it
        bint blocking             # it was yielded by an await, and nobody has taken it up
        bint own_class            # of an extension class of cloop's that no Python class overrides

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

        # Whether it is pending, and nobody but the one who asks has it or has come to wait for it: what is
        # kept for later can be found by way of the collector.
        inline bint is_untouched(self) noexcept:
            return (Py_REFCNT(<PyObject *>self) == 1 and self.state == PENDING and self.waiter is None
                    and not cloop_has_weakrefs(<PyObject *>self))

cdef Future new_future(Reactor loop)

# The loop of a future that is given none: the running one, or by the policy's rules.
cdef object default_loop()
