"""Views of what is pending; views.pxd is the manual."""

from collections import deque

from cpython.object cimport PyObject

from cloop._c.pyapi cimport cloop_list_put
from cloop.core.handle cimport Handle
from cloop.core.ready cimport Ready, run_t
from cloop.core.step cimport handle_of, run_foreign, runner_of
from cloop.core.timer cimport TimerHandle, unschedule


cdef class ReadyView:
    """What will run in the next turn, oldest first: the part of a deque that tools use."""

    def __cinit__(self, Reactor loop not None):
        self.loop = loop

    cdef list handles(self):
        cdef Reactor loop = self.loop
        cdef Ready ready = loop.ready
        cdef size_t i, slot
        cdef run_t run
        cdef object owner
        cdef list found = []
        if loop.thread != 0 and not loop.in_own_thread():
            # Whoever looks on must change nothing.
            return ready.snapshot() + loop.inbox.waiting.snapshot()
        loop.inbox.drain(ready)
        for i in range(ready.count):
            slot = (ready.head + i) & ready.mask
            owner = ready.owners[slot]
            run = ready.functions[slot]
            if not isinstance(owner, Handle) and run != run_foreign:
                owner = handle_of(loop, owner, run)
                # To make one may run code, and the ring grow.
                slot = (ready.head + i) & ready.mask
                cloop_list_put(<PyObject *>ready.owners, slot, <PyObject *>owner)
                ready.functions[slot] = runner_of(owner)
            found.append(owner)
        return found

    cdef NoResult replace(self, list handles) except NoResult.EXC:
        cdef Ready ready = self.loop.ready
        ready.clear()
        for handle in handles:
            ready.push(handle, runner_of(handle))
        return NoResult.OK

    def __len__(self):
        return self.loop.ready.count + self.loop.inbox.waiting.count

    def __iter__(self):
        return iter(self.handles())

    def __getitem__(self, index):
        return self.handles()[index]

    def __repr__(self):
        return f"{type(self).__name__}({self.handles()!r})"

    def copy(self):
        """A deque with the same handles."""
        return deque(self.handles())

    def append(self, handle):
        """Run a handle, of cloop's or of asyncio's, after all the others."""
        self.loop.ready.push(handle, runner_of(handle))

    def appendleft(self, handle):
        """Run a handle before all the others."""
        self.replace([handle, *self.handles()])

    def extend(self, handles):
        """Run some handles after all the others."""
        for handle in handles:
            self.append(handle)

    def pop(self):
        """Take the last handle out. Raises IndexError if there is none."""
        return self.take(-1)

    def popleft(self):
        """Take the first handle out. Raises IndexError if there is none."""
        return self.take(0)

    def take(self, index):
        """Take a handle out, by its place."""
        handles = self.handles()
        if not handles:
            raise IndexError("pop from an empty deque")
        handle = handles.pop(index)
        self.replace(handles)
        return handle

    def remove(self, handle):
        """Take a handle out. Raises ValueError if it is not there."""
        handles = self.handles()
        handles.remove(handle)
        self.replace(handles)

    def clear(self):
        """Take all handles out."""
        self.loop.inbox.drain(self.loop.ready)
        self.loop.ready.clear()


cdef class ScheduledView:
    """The timers, the next one first: the part of a list that tools use."""

    def __cinit__(self, Reactor loop not None):
        self.loop = loop

    def __len__(self):
        return self.loop.timers.count - self.loop.timers.cancelled

    def __iter__(self):
        return iter(self.loop.timers.snapshot())

    def __getitem__(self, index):
        return self.loop.timers.snapshot()[index]

    def __repr__(self):
        return f"{type(self).__name__}({self.loop.timers.snapshot()!r})"

    def copy(self):
        """A list of the timers, a heap."""
        return self.loop.timers.snapshot()

    def remove(self, TimerHandle handle not None):
        """Take a timer out. Raises ValueError if it is not there."""
        if handle.loop is not self.loop or not unschedule(handle):
            raise ValueError("list.remove(x): x not in list")

    def clear(self):
        """Take all timers out."""
        self.loop.timers.clear()


cdef ReadyView ready_view(Reactor loop):
    return ReadyView.__new__(ReadyView, loop)


cdef ScheduledView scheduled_view(Reactor loop):
    return ScheduledView.__new__(ScheduledView, loop)
