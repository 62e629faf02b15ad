"""Snapshots of contexts; snapshot.pxd is the manual."""

import contextvars

cdef extern from "snapshot.h":
    int cloop_snapshots_probe(object set_variable) except -1


cdef cloop_snapshots *shared_snapshots() noexcept:
    return cloop_shared


def are_maps():
    """Whether snapshots are on: False where every one of them is a copy of the context."""
    return cloop_shared.vars_type != NULL


cloop_snapshots_probe(contextvars.ContextVar("cloop probe").set)
