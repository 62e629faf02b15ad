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
    ctypedef struct cloop_snapshots:
        void *vars_type

    object cloop_take_snapshot(cloop_snapshots *shared)
    object cloop_context_of(cloop_snapshots *shared, object snapshot)
    int cloop_call_with(cloop_snapshots *shared, object snapshot, object callable, object args,
                        PyObject **failed_in)
    int cloop_call_one_with(cloop_snapshots *shared, object snapshot, object callable, object argument,
                            PyObject **failed_in)
    int cloop_enter_on(cloop_snapshots *shared, PyThreadState *state, object context)
    int cloop_leave_on(cloop_snapshots *shared, PyThreadState *state, object context)

# What was found out about contexts, and a spare one. Who cimports this shares core/snapshot's.
cdef cloop_snapshots shared

# The variables of the running context.
cdef inline object take_snapshot():
    return cloop_take_snapshot(&shared)

# A context with these variables, a new one for each call. A context stays what it is.
cdef inline object context_of(object snapshot):
    return cloop_context_of(&shared, snapshot)

# Calls in the context of a snapshot, or in a context, and drops the result: 0, or -1 with the
# exception set, for the caller to take. Then `failed_in` is a new reference to the context that
# it ran in, for the report.
cdef inline int call_with(object snapshot, object callable, object args, PyObject **failed_in) noexcept:
    return cloop_call_with(&shared, snapshot, callable, args, failed_in)

cdef inline int call_one_with(object snapshot, object callable, object argument,
                              PyObject **failed_in) noexcept:
    return cloop_call_one_with(&shared, snapshot, callable, argument, failed_in)

# PyContext_Enter and PyContext_Exit, for who knows this thread's state, looks at the result and takes
# the exception.
cdef inline int enter_context(PyThreadState *state, object context) noexcept:
    return cloop_enter_on(&shared, state, context)

cdef inline int leave_context(PyThreadState *state, object context) noexcept:
    return cloop_leave_on(&shared, state, context)
