"""Step, and handles for entries that have none; step.pxd is the manual."""

from asyncio import events

from cpython.object cimport PyObject

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
    return new_handle(loop, step, (), None, False)


cdef run_t runner_of(object handle) noexcept:
    if isinstance(handle, _ThreadSafeHandle):
        return run_posted
    return run_handle if isinstance(handle, Handle) else run_foreign


cdef bint is_replaced() except -1:
    global known_version, replaced
    if cloop_version_of(timer_type) != known_version:
        replaced = is_own(handle_type._run) or is_own(timer_class._run)
        # The look-up has given it a number, unless the interpreter has run out of them.
        known_version = cloop_version_of(timer_type) or UNKNOWN
    return replaced


cdef bint is_own(object method) except -1:
    """Whether it is not a function of asyncio's own module."""
    return getattr(method, "__globals__", None) is not vars(events)


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
