"""The check on memory that connections share; shared.pxd is the manual."""

import gc
import sys

cdef extern from *:
    """
    /* Each thread runs a loop of its own, with its own memory. */
    static __thread int cloop_in_use;
    """
    int in_use "cloop_in_use"
    void fatal_error "Py_FatalError"(const char *message)


cdef void set_used(bint used) noexcept:
    global in_use
    in_use = used


cdef void check_unused() noexcept:
    if in_use:
        fatal_error("code may run while memory that connections share is in use")


def check_before_collection(phase, info):
    """A callback of the collector in debug builds: it may run finalizers."""
    check_unused()


if CLOOP_DEBUG and sys.version_info < (3, 12):
    # Later ones run the collector between two instructions of Python's only.
    gc.callbacks.append(check_before_collection)
