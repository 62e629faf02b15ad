"""Live objects by kind; counts.pxd is the manual."""

from cloop._c.pyapi cimport CLOOP_DEBUG

cdef long[KINDS] live

NAMES = ("handles", "timers", "watches", "transports")


cdef void count(int kind, int change) noexcept:
    live[kind] += change


def debug_counts():
    """Live objects by kind as a dict; None in a build without CLOOP_DEBUG=1."""
    if not CLOOP_DEBUG:
        return None
    return {name: live[kind] for kind, name in enumerate(NAMES)}
