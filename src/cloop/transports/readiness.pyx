"""What follows where readiness does not go away by itself; readiness.pxd is the manual."""

from cpython.object cimport PyObject

from cloop._c.pyapi cimport cloop_take_exception
from cloop.core.shared cimport code_may_run
from cloop.core.step cimport new_step

cdef extern from "compat.h":
    bint cloop_drop_errors(int fd) noexcept
    bint cloop_has_ended(int fd) noexcept

cdef extern from *:
    # Returns NULL; declared as if it set nothing, so that the exception can be taken.
    PyObject *set_from_errno "PyErr_SetFromErrno"(PyObject *type)

# In seconds. Longer than a turn, shorter than what anybody would call slow.
cdef double MOMENT = 0.005


cdef object error_from_errno():
    code_may_run()
    set_from_errno(<PyObject *>OSError)
    return cloop_take_exception()


cdef NoResult in_a_moment(Reactor loop, object owner, run_t run) except NoResult.EXC:
    loop.call_later(MOMENT, new_step(owner, run))
    return NoResult.OK


cdef bint drop_errors(int fd) noexcept:
    return cloop_drop_errors(fd)


cdef bint has_ended(int fd) noexcept:
    return cloop_has_ended(fd)
