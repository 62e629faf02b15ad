"""Snapshots of the current context, for callbacks that will run in a copy of it.

asyncio copies the context for every callback. A copy is an object of its own, which the collector
tracks and which waits with the callback, while its variables are an immutable map that it shares
with the original. A snapshot is that map alone. The copy is made of it when the callback runs, or
when somebody asks for it; as callbacks rarely keep it, one and the same object can be the copy for
each of them.

Where contexts are not what we take them for (found out at import), a snapshot is a copy.
"""

from cpython.object cimport PyObject

from cloop._c.pyapi cimport PyThreadState

cdef extern from "snapshot.h":
    # The variables of the running context.
    object take_snapshot "cloop_take_snapshot"()

    # A context with these variables, a new one for each call. A context stays what it is.
    object context_of "cloop_context_of"(object snapshot)

    # Calls in the context of a snapshot, or in a context, and drops the result: 0, or -1 with the
    # exception set, for the caller to take. Then `failed_in` is a new reference to the context that
    # it ran in, for the report.
    int call_with "cloop_call_with"(object snapshot, object callable, object args,
                                    PyObject **failed_in)
    int call_one_with "cloop_call_one_with"(object snapshot, object callable, object argument,
                                            PyObject **failed_in)

    # PyContext_Enter and PyContext_Exit, for who knows this thread's state, looks at the result and takes
    # the exception.
    int enter_context "cloop_enter_on"(PyThreadState *state, object context)
    int leave_context "cloop_leave_on"(PyThreadState *state, object context)

    ctypedef struct cloop_snapshots:
        void *vars_type

    # Where the state lies that all modules share. Who cimports the above, does this first:
    # cloop_shared = shared_snapshots()
    cloop_snapshots *cloop_shared

cdef cloop_snapshots *shared_snapshots() noexcept
