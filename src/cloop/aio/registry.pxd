"""What asyncio.current_task() and asyncio.all_tasks() tell: kept true for cloop's tasks.

Both are the standard library's, so their state is: a dict of loop to task up to CPython 3.13, the
thread's state from 3.14 on; and a WeakSet of tasks, which is filled from C here.
"""

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor

# `task` is the current one of `loop` from here on. Raises RuntimeError where a task that is not
# cloop's is.
cdef NoResult enter_task(Reactor loop, object task) except NoResult.EXC

# No task of cloop's is the current one any more: Reactor.leave.
cdef NoResult leave_task(Reactor loop) except NoResult.EXC

# For any loop: make `task` (or None) the current one and return the one before (or None).
cdef object swap_current_task(object loop, object task)

# For loops that are not cloop's.
cdef NoResult register_foreign(object task) except NoResult.EXC

# all_tasks() looks at this loop's tasks too.
cdef NoResult register_loop(Reactor loop) except NoResult.EXC

# Whether tasks of cloop's loops have to be registered as foreign ones: where the standard library's
# set was not found.
cdef bint needs_registering() noexcept
