"""Selector: `loop._selector`, for tools that look at what is watched, or replace its `select`.

A virtual clock does that: its `select` moves its clock on by the time-out, and does not wait. While
somebody's own is there, the loop waits by calling it, once in each turn; asyncio's `select` as the
loop's own puts what fired into the ready deque itself, and what is returned tells of it.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor

@cython.final
cdef class Selector:
    cdef:
        Reactor loop
        dict __dict__

        object key_of(self, int fd)

# The loop's selector, made when it is asked for; None once it is closed.
cdef object selector_of(Reactor loop)
cdef NoResult set_selector(Reactor loop, object selector) except NoResult.EXC
