"""Handles that the collector does not know, and that are used again.

While a loop runs it is no garbage, nor is what it holds. So the collector does not track a handle that is
made then, which spares it most of the objects that a busy loop makes. A handle is tracked as soon as it
could be part of a cycle of garbage: when it was cancelled or its fields were set (core/handle), when it
has run and somebody still holds it (`release_handle`), and when the loop stops running before it
(Reactor.track_all).

One that has run and that nobody else holds does not die. It is emptied and kept, to be the next one.

What that gains, in nanoseconds a callback on CPython 3.13 (the least of several runs):

                                                     so   all tracked   none used again
    each callback schedules the next                189           195               201
    a callback schedules 3,000, which then run      137           141               186
    the same with 100,000                           241           384               263
    20,000 timers that become due                   285           360                 -
"""

from cpython.object cimport PyObject

from cloop._c.pyapi cimport Py_DECREF, Py_REFCNT, cloop_track
from cloop.core.handle cimport Handle

# A handle to be run by a loop that runs; for any other, the caller tracks it. `context` is a snapshot of
# the running one where it is None.
cdef Handle untracked_handle(object loop, object callback, tuple args, object context)

# Takes the reference to a handle that has run.
cdef inline void release_handle(PyObject *owner) noexcept:
    if Py_REFCNT(owner) > 1:
        cloop_track(owner)
        Py_DECREF(owner)
    else:
        retire(owner)

# The same where nobody else holds it.
cdef void retire(PyObject *owner) noexcept
