"""Step, and handles for entries that have none; step.pxd is the manual."""

from asyncio import events
from types import FunctionType

from cpython.object cimport PyObject

from cloop._c.pyapi cimport Py_INCREF
from cloop.core.handle cimport (
    _ThreadSafeHandle,
    keep_context,
    new_handle,
    run_handle,
    run_marked,
    run_posted,
)
from cloop.core.timer cimport TimerHandle

cdef enum:
    UNKNOWN = 0xFFFFFFFF

cdef object handle_type = events.Handle
cdef object timer_class = events.TimerHandle
timer_type = <PyObject *>timer_class
known_version = UNKNOWN
replaced = False

# asyncio's own function with its code, from when it was first seen. Who replaced it before cloop was
# imported may give it back, so it is looked for until it is found.
cdef object own_run = None
cdef PyObject *own_code = NULL
cdef PyObject *nothing = NULL
code_of_run = &nothing
known_code = NULL


cdef class Step:
    """An entry of the ready deque as a callable."""

    def __call__(self):
        if self.run != NULL:
            self.run(self.owner)
            if self.loop is not None:
                self.loop._leave_task()

    @property
    def __self__(self):
        # As of a bound method: tools look for a task there.
        return self.owner

    def __repr__(self):
        return repr(self.owner)


cdef Step new_step(object owner, run_t run):
    cdef Step self = Step()
    self.owner = owner
    self.run = run
    return self


cdef Handle handle_of(object loop, object owner, run_t run):
    if isinstance(owner, Handle):
        return owner
    cdef Step step = new_step(owner, run)
    step.loop = loop
    return new_handle(loop, step, (), None)


cdef run_t runner_of(object handle) noexcept:
    if isinstance(handle, _ThreadSafeHandle):
        return run_posted
    return run_handle if isinstance(handle, Handle) else run_foreign


cdef bint is_replaced() except -1:
    global known_version, known_code, replaced
    if cloop_version_of(timer_type) != known_version or code_of_run[0] != known_code:
        find_own()
        known_code = code_of_run[0]
        replaced = not (is_own(handle_type._run) and is_own(timer_class._run))
        # The look-up has given it a number, unless the interpreter has run out of them.
        known_version = cloop_version_of(timer_type) or UNKNOWN
    return replaced


cdef bint is_own(object method) noexcept:
    """Whether it is asyncio's own function, as asyncio made it. A proxy of it has its attributes, too."""
    return own_run is not None and method is own_run and code_of_run[0] == own_code


cdef object find_own():
    """Keep asyncio's own function if it is to be found, and its code."""
    global own_run, code_of_run, own_code
    method = handle_type._run
    if own_run is not None or type(method) is not FunctionType or not is_asyncios(method.__code__):
        return
    code = method.__code__
    # Never freed, so that no other code has its address.
    Py_INCREF(<PyObject *>code)
    own_code = <PyObject *>code
    own_run = method
    code_of_run = cloop_code_of(<PyObject *>method)


cdef bint is_asyncios(object code) except -1:
    """Whether it was compiled as that method, in asyncio's file."""
    neighbour = events.AbstractEventLoop.close.__code__
    return code.co_filename == neighbour.co_filename and code.co_qualname == "Handle._run"


find_own()


cdef NoResult run_replaced(object handle) except NoResult.EXC:
    cdef Handle self = <Handle>handle
    if self.cancelled_:
        return NoResult.OK
    keep_context(self)
    if isinstance(self, _ThreadSafeHandle):
        return run_marked(<_ThreadSafeHandle>self, run_plainly)
    return run_plainly(self)


cdef NoResult run_plainly(object handle) except NoResult.EXC:
    if isinstance(handle, TimerHandle):
        timer_class._run(handle)
    else:
        handle_type._run(handle)
    return NoResult.OK


cdef NoResult run_foreign(object handle) except NoResult.EXC:
    if not handle._cancelled:
        handle._run()
    return NoResult.OK
