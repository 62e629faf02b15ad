"""What asyncio.current_task() and asyncio.all_tasks() tell: kept true for cloop's tasks.

Both are the standard library's, so their state is. Up to CPython 3.13 there is a dict of loop to task, and a
WeakSet of tasks. From 3.14 on the current task is in the thread's state, and so is the head of a list that
runs through the tasks of asyncio's own class; cloop's tasks are linked into it, since they share its layout
(_c/asyncio_task.h).
"""

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor
from cloop.core.ring cimport Node

cdef extern from "asyncio_task.h":
    # Note that a task awaits a future of cloop's. Does nothing before 3.14.
    int add_awaiter "cloop_add_awaiter"(object future, object awaiter) except -1
    int discard_awaiter "cloop_discard_awaiter"(object future, object awaiter) except -1

# The loop of a future that is given none: the running one, or by the policy's rules.
cdef object default_loop()

# `task` is the current one of `loop` from here on. Raises RuntimeError where a task that is not
# cloop's is.
cdef NoResult enter_task(Reactor loop, object task) except NoResult.EXC

# No task of cloop's is the current one any more: Reactor.leave.
cdef NoResult leave_task(Reactor loop) except NoResult.EXC

# For any loop: make `task` (or None) the current one and return the one before (or None).
cdef object swap_current_task(object loop, object task)

# all_tasks() finds the task, by its node or in the standard library's set; `native` as Future has it.
cdef NoResult register_task(object loop, bint native, Node *node, object task) except NoResult.EXC

# Whether it is found by its node, so that taking that out of its ring is enough to be forgotten.
cdef bint links_tasks(bint native) noexcept

# all_tasks() looks at this loop's tasks too.
cdef NoResult register_loop(Reactor loop) except NoResult.EXC
