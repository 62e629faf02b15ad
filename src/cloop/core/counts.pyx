"""Live objects by kind; counts.pxd is the manual."""

from cloop._c.pyapi cimport CLOOP_DEBUG

cdef enum:
    MAX_KINDS = 16

cdef long *counters[MAX_KINDS]
cdef list kinds = []


cdef int register(str kind, long *live) except -1:
    counters[len(kinds)] = live
    kinds.append(kind)
    return 0


def debug_counts():
    """Live objects by kind, as a dict; None in a build without CLOOP_DEBUG=1."""
    if not CLOOP_DEBUG:
        return None
    return {kind: counters[i][0] for i, kind in enumerate(kinds)}
