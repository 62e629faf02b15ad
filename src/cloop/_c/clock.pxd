"""Time: signed 64-bit nanoseconds of the clock that time.monotonic() reads."""

from libc.stdint cimport INT64_MAX, int64_t

ctypedef int64_t ns_t

cdef extern from "compat.h":
    ns_t monotonic_ns "cloop_monotonic_ns"() nogil

cdef enum:
    NS_PER_MS = 1000000
    NS_PER_S = 1000000000

# "No deadline", and what delays beyond it are clamped to (146 years from boot).
cdef inline ns_t far_future() noexcept nogil:
    return INT64_MAX // 2

cdef inline ns_t ns_from_seconds(double seconds) noexcept nogil:
    """Nanoseconds of a time in seconds, rounded up so that nothing keyed by it comes early.

    Clamped to plus or minus far_future(); the caller has refused NaN.
    """
    cdef double ns = seconds * 1e9
    if ns >= <double>far_future():
        return far_future()
    if ns <= -<double>far_future():
        return -far_future()
    cdef ns_t whole = <ns_t>ns
    return whole + 1 if ns > <double>whole else whole
