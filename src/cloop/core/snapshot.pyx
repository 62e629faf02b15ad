"""Snapshots of contexts; snapshot.pxd is the manual."""

import contextvars

cdef extern from "snapshot.h":
    object cloop_take_snapshot()
    object cloop_context_of(object snapshot)
    int cloop_call_with(object snapshot, object callable, object args, PyObject **failed_in)
    int cloop_vectorcall_with(object snapshot, object callable, PyObject **args, Py_ssize_t n,
                              PyObject **failed_in)
    int cloop_snapshots_probe(object set_variable) except -1
    void *cloop_vars_type


cdef object take_snapshot():
    return cloop_take_snapshot()


cdef object context_of(object snapshot):
    return cloop_context_of(snapshot)


cdef int call_with(object snapshot, object callable, tuple args, PyObject **failed_in) noexcept:
    return cloop_call_with(snapshot, callable, args, failed_in)


cdef int call_one_with(object snapshot, object callable, object argument,
                       PyObject **failed_in) noexcept:
    cdef PyObject *only = <PyObject *>argument
    return cloop_vectorcall_with(snapshot, callable, &only, 1, failed_in)


def are_maps():
    """Whether snapshots are on: False where every one of them is a copy of the context."""
    return cloop_vars_type != NULL


cloop_snapshots_probe(contextvars.ContextVar("cloop probe").set)
