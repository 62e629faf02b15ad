"""Who awaits a future by way of something else, such as a task group or gather() (3.14)."""

from cloop._c.pyapi cimport NoResult

# Whether this version of Python keeps a call graph of futures.
cdef bint keeps_graph

# Note, and take back, that `waiter` awaits a future of any kind. `waiter` is a task or None; both do
# nothing where no graph is kept.
cdef NoResult note_awaited(object future, object waiter) except NoResult.EXC
cdef NoResult forget_awaited(object future, object waiter) except NoResult.EXC

# The current task of the running loop, if a graph is kept; else None.
cdef object awaiting_task()
