"""Snapshots of contexts; snapshot.pxd is the manual."""

import contextvars

cdef extern from "snapshot.h":
    int cloop_snapshots_probe(cloop_snapshots *shared, object set_variable) except -1


def are_maps():
    """Whether snapshots are on: False where every one of them is a copy of the context."""
    return shared.vars_type != NULL


cloop_snapshots_probe(&shared, contextvars.ContextVar("cloop probe").set)
