"""What is pending, as tools look at it: `loop._ready` and `loop._scheduled`.

asyncio has a deque and a list of handles there. An entry of cloop's that has no handle gets one
when somebody looks: to cancel that is to drop the entry, as in asyncio.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor

@cython.final
cdef class ReadyView:
    cdef:
        Reactor loop
        list handles(self)
        NoResult replace(self, list handles) except NoResult.EXC

@cython.final
cdef class ScheduledView:
    cdef Reactor loop

cdef ReadyView ready_view(Reactor loop)
cdef ScheduledView scheduled_view(Reactor loop)
