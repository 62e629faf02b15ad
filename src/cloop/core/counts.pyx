"""Counts for the tests; counts.pxd is the manual."""

from cloop._c.pyapi cimport CLOOP_DEBUG

cdef enum:
    MAX_KINDS = 16

cdef long *counters[MAX_KINDS]
cdef list kinds = []
cdef list totals = []  # the names of those kinds that are totals


cdef int register(str kind, long *live) except -1:
    counters[len(kinds)] = live
    kinds.append(kind)
    return 0


cdef int register_total(str kind, long *done) except -1:
    totals.append(kind)
    return register(kind, done)


cdef dict counted(bint total):
    return {kind: counters[i][0] for i, kind in enumerate(kinds) if (kind in totals) == total}


def debug_counts():
    """Live objects by kind, as a dict; None in a build without CLOOP_DEBUG=1."""
    return counted(False) if CLOOP_DEBUG else None


def debug_totals():
    """Work done since the process began, by kind, as a dict; None in a build without CLOOP_DEBUG=1."""
    return counted(True) if CLOOP_DEBUG else None
