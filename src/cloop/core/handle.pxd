"""Handle: a callback with its arguments and context, as asyncio.Handle.

TimerHandle (core/timer) inherits from it. `run_handle` is how one runs from the ready deque. The
collector does not know all of them: see core/untracked.
"""

cimport cython
from libc.stdint cimport uint32_t

from cloop._c.pyapi cimport NoResult
from cloop.core.ready cimport run_t

cdef class Handle:
    cdef:
        object loop              # the loop, for its exception handler
        object callback          # None once cancelled
        tuple args               # None once cancelled
        object context           # a snapshot (core/snapshot), or the contextvars.Context that was given
        # Debug mode's: a StackSummary of who made it; once cancelled, (that, what its repr was).
        object origin
        object __weakref__
        bint cancelled_
        uint32_t slot            # a timer's in its heap: here, for as a field of its own it would take room

# What call_soon_threadsafe returns where asyncio has it (3.14), under asyncio's private name, which its
# repr shows: cancel() and cancelled() of another thread wait for the end of a callback that is running.
@cython.final
cdef class _ThreadSafeHandle(Handle):
    cdef:
        unsigned long runner   # the thread in which the callback runs now, or 0
        object ended           # a threading.Event, where somebody waits for that to end

cdef bint has_posted_handles
# One to be run by run_posted, which has the collector know it if somebody holds it by then; so until it has
# run, or the loop has stopped, it may be untracked (core/untracked).
cdef Handle new_posted_handle(object loop, object callback, tuple args, object context, bint tracked)
cdef NoResult run_posted(object owner) except NoResult.EXC
# Runs it by `run`, while other threads know that it runs.
cdef NoResult run_marked(_ThreadSafeHandle self, run_t run) except NoResult.EXC

# Cancels a handle and frees what its callback holds.
cdef NoResult drop(Handle self) except NoResult.EXC

# A handle to be run; `context` is a snapshot of the running one where it is None.
cdef Handle new_handle(object loop, object callback, tuple args, object context)

# Fill the fields that every handle has.
cdef inline NoResult set_up(Handle self, object loop, object callback, tuple args,
                            object context) except NoResult.EXC:
    from_context(self, context)
    self.loop = loop
    self.callback = callback
    self.args = args
    return NoResult.OK

cdef NoResult from_context(Handle self, object context) except NoResult.EXC

# The stack of whoever called into compiled code, for debug mode.
cdef object caller_stack()

# Gives it the context that it will run in, for whoever holds the handle to see.
cdef NoResult keep_context(Handle self) except NoResult.EXC

# Runs a Handle from the ready deque; its exceptions go to the loop's exception handler.
cdef NoResult run_handle(object owner) except NoResult.EXC

# Reports the exception that is set, out of `callback`, to the loop's exception handler;
# KeyboardInterrupt and SystemExit stay set instead.
cdef NoResult report(object loop, object callback, tuple args, object handle) except NoResult.EXC

# Reports what came out of something that is a callback to the user, and has no handle.
cdef NoResult report_failure(object loop, object callback, tuple args,
                             object exception) except NoResult.EXC
