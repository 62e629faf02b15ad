"""Live objects by kind, counted in builds with CLOOP_DEBUG=1 only: the tests' leak oracle."""

cdef enum:
    HANDLES
    TIMERS
    WATCHES
    TRANSPORTS
    KINDS

cdef void count(int kind, int change) noexcept
