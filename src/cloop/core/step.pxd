"""Step: an entry of the ready deque as a callable, for those who know of nothing but handles.

These are a loop that has its own call_soon, who looks at `loop._ready`, and tools that replace
asyncio.Handle._run to see each callback that runs: some measure what is slow, some log. While that
method is not asyncio's own, every entry is run through it, by a handle.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.core.handle cimport Handle
from cloop.core.ready cimport run_t

@cython.final
cdef class Step:
    cdef:
        object owner
        run_t run        # NULL in one that Python made
        object loop      # a Reactor, where somebody may run this outside of a turn; or None

cdef Step new_step(object owner, run_t run)

# The handle that runs an entry: the owner itself, where it is one.
cdef Handle handle_of(object loop, object owner, run_t run)
# What runs a handle from the ready deque.
cdef run_t runner_of(object handle) noexcept

# Runs a handle by the methods of asyncio.
cdef NoResult run_replaced(object handle) except NoResult.EXC
# Whether Handle._run is somebody's own.
cdef bint is_replaced() except -1

cdef extern from *:
    """
    #define cloop_version_of(type) (((PyTypeObject *)(type))->tp_version_tag)
    #define cloop_code_of(function) (&((PyFunctionObject *)(function))->func_code)
    """
    unsigned int cloop_version_of(PyObject *type)
    PyObject **cloop_code_of(PyObject *function)

# asyncio.TimerHandle, and what the interpreter has given it when we looked last: another number, or 0,
# whenever a class changes or one that it is derived from.
cdef PyObject *timer_type
cdef unsigned int known_version
cdef bint replaced
# Where asyncio's function has its code, which may be replaced without a change of the class; and which code
# that was when we looked last.
cdef PyObject **code_of_run
cdef PyObject *known_code

cdef inline bint may_be_replaced() noexcept:
    """False where is_replaced() would be, at the cost of a look at a few numbers."""
    return cloop_version_of(timer_type) != known_version or replaced or code_of_run[0] != known_code

# Runs a handle that is not cloop's.
cdef NoResult run_foreign(object handle) except NoResult.EXC
