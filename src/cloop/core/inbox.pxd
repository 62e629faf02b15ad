"""The inbox: how threads and signal handlers enter the loop.

The only structure of a loop that other threads touch, and the only one with a lock (the GIL, where
there is one). The poller is woken only when the loop sleeps, and once: whoever finds the flag up
takes it down and wakes.
"""

cimport cython

from cloop._c.pyapi cimport NoResult, cloop_mutex
from cloop.core.ready cimport Ready, run_t
from cloop.poll.poller cimport Poller

@cython.final
cdef class Inbox:
    cdef:
        Poller poller
        Ready waiting
        cloop_mutex mutex
        int sleeping        # the loop is in, or about to enter, a wait that only the kernel ends

        # From any thread.
        NoResult post(self, object owner, run_t run) except NoResult.EXC
        # From any thread: end the present wait, or the one about to begin.
        NoResult wake(self) except NoResult.EXC

        # From the loop's thread. `fall_asleep` says whether it may: False if something came.
        bint fall_asleep(self) noexcept
        void awake(self) noexcept
        bint has_any(self) noexcept
        NoResult drain(self, Ready ready) except NoResult.EXC
