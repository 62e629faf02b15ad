"""TimerHandle and the timer min-heap; timer.pxd is the manual.

TimerHandle is derived from CPython's asyncio/events.py (PSF License Agreement).
"""

from asyncio import events

from cpython.object cimport PyObject, PyTypeObject
from libc.stdlib cimport free, realloc

from cloop._c.pyapi cimport Py_DECREF, cloop_list_put, cloop_list_take, cloop_track
from cloop.core.counts cimport register
from cloop.core.handle cimport caller_stack, drop, set_up

cdef extern from *:
    """
    static long timers_live;
    CLOOP_FREELIST(timers, 16384, &timers_live)
    """
    void install_free_list "timers_install"(PyTypeObject *type)
    void next_untracked "timers_next_untracked"()
    long live "timers_live"

# Below this many cancelled timers a sweep is not worth its pass.
cdef enum:
    MIN_CANCELLED = 64

cdef object asyncio_timer_handle = events.TimerHandle

cdef class TimerHandle(Handle):
    """A callback to be called at a time, from call_later() and call_at()."""

    def __init__(self, when, callback, args, loop, context=None):
        set_up(self, loop, callback, tuple(args), context)
        self.when_ = when
        if loop.get_debug():
            self.origin = caller_stack()

    @property
    def __class__(self):
        return asyncio_timer_handle

    def when(self):
        """The time of the call: seconds of the loop's clock, as loop.time()."""
        return self.when_

    def cancel(self):
        """Keep the callback from being called; does nothing once it was called or cancelled."""
        cdef TimerHeap heap = self.heap
        if heap is not None and not self.cancelled_:
            drop(self)
            heap.cancel(self)
        else:
            drop(self)

    def _repr_info(self):
        info = Handle._repr_info(self)
        info.insert(2 if self.cancelled_ else 1, f"when={self.when_}")
        return info

    def __hash__(self):
        return hash(self.when_)

    def __lt__(self, other):
        if isinstance(other, TimerHandle):
            return self.when_ < (<TimerHandle>other).when_
        return NotImplemented

    def __le__(self, other):
        if isinstance(other, TimerHandle):
            return self.when_ < (<TimerHandle>other).when_ or self.__eq__(other)
        return NotImplemented

    def __gt__(self, other):
        if isinstance(other, TimerHandle):
            return self.when_ > (<TimerHandle>other).when_
        return NotImplemented

    def __ge__(self, other):
        if isinstance(other, TimerHandle):
            return self.when_ > (<TimerHandle>other).when_ or self.__eq__(other)
        return NotImplemented

    def __eq__(self, other):
        cdef TimerHandle that
        if not isinstance(other, TimerHandle):
            return NotImplemented
        that = <TimerHandle>other
        return (self.when_ == that.when_ and self.callback == that.callback
                and self.args == that.args and self.cancelled_ == that.cancelled_)

    @property
    def _when(self):
        return self.when_

    @property
    def _scheduled(self):
        return self.heap is not None

install_free_list(<PyTypeObject *>TimerHandle)
register("timers", &live)

cdef TimerHandle new_timer(object loop, double when, object callback, tuple args, object context,
                           bint untracked):
    if untracked:
        next_untracked()
    cdef TimerHandle self = TimerHandle.__new__(TimerHandle)
    set_up(self, loop, callback, args, context)
    self.when_ = when
    return self

cdef inline bint before(Key a, Key b) noexcept nogil:
    return a.deadline < b.deadline or (a.deadline == b.deadline and a.sequence < b.sequence)

cdef class TimerHeap:
    """A 4-ary min-heap of timers."""

    def __cinit__(self):
        self.handles = []

    def __dealloc__(self):
        free(self.keys)
        free(self.free_slots)

    cdef NoResult reserve(self) except NoResult.EXC:
        """Make room for more entries."""
        cdef size_t old = self.capacity
        cdef size_t capacity = max(old * 2, <size_t>64)
        # The list first: allocating may run the collector, finalizers and so this method.
        cdef list more = [None] * (capacity - old)
        if self.capacity != old:
            return NoResult.OK
        cdef Key *keys = <Key *>realloc(self.keys, capacity * sizeof(Key))
        if keys == NULL:
            raise MemoryError
        self.keys = keys
        cdef size_t *free_slots = <size_t *>realloc(self.free_slots, capacity * sizeof(size_t))
        if free_slots == NULL:
            raise MemoryError
        self.free_slots = free_slots
        self.handles.extend(more)
        cdef size_t slot
        for slot in range(old, capacity):
            free_slots[self.free_count] = old + capacity - 1 - slot
            self.free_count += 1
        self.capacity = capacity
        return NoResult.OK

    cdef void sift_up(self, size_t hole, Key key) noexcept:
        """Move the hole up to where `key` belongs and put it there."""
        cdef Key *keys = self.keys
        cdef size_t parent
        while hole > 0:
            parent = (hole - 1) >> 2
            if not before(key, keys[parent]):
                break
            keys[hole] = keys[parent]
            hole = parent
        keys[hole] = key

    cdef void sift_down(self, size_t hole, Key key) noexcept:
        """Move the hole down to where `key` belongs and put it there."""
        cdef Key *keys = self.keys
        cdef size_t child, best, last
        while True:
            child = (hole << 2) + 1
            if child >= self.count:
                break
            best = child
            last = min(child + 4, self.count)
            child += 1
            while child < last:
                if before(keys[child], keys[best]):
                    best = child
                child += 1
            if not before(keys[best], key):
                break
            keys[hole] = keys[best]
            hole = best
        keys[hole] = key

    cdef NoResult push(self, TimerHandle handle, ns_t deadline) except NoResult.EXC:
        while self.free_count == 0:
            self.reserve()
        self.free_count -= 1
        cdef Key key
        key.deadline = deadline
        key.sequence = self.sequence
        key.slot = self.free_slots[self.free_count]
        self.sequence += 1
        handle.heap = self
        handle.slot = key.slot
        self.count += 1
        self.sift_up(self.count - 1, key)
        cloop_list_put(<PyObject *>self.handles, key.slot, <PyObject *>handle)
        return NoResult.OK

    cdef TimerHandle pop(self):
        cdef size_t slot = self.keys[0].slot
        self.count -= 1
        if self.count > 0:
            self.sift_down(0, self.keys[self.count])
        self.free_slots[self.free_count] = slot
        self.free_count += 1
        cdef PyObject *taken = cloop_list_take(<PyObject *>self.handles, slot)
        cdef object first = <object>taken
        Py_DECREF(taken)
        if first is None:
            self.cancelled -= 1
            return None
        (<TimerHandle>first).heap = None
        return <TimerHandle>first

    cdef NoResult prune(self) except NoResult.EXC:
        while self.count and self.handles[self.keys[0].slot] is None:
            self.pop()
        return NoResult.OK

    cdef NoResult cancel(self, TimerHandle handle) except NoResult.EXC:
        handle.heap = None
        self.cancelled += 1
        cloop_list_put(<PyObject *>self.handles, handle.slot, <PyObject *>None)
        if self.cancelled > MIN_CANCELLED and 2 * self.cancelled > self.count:
            self.sweep()
        return NoResult.OK

    cdef void sweep(self) noexcept:
        """Drop the keys of cancelled timers in one pass and restore the heap's order."""
        cdef size_t i
        cdef size_t kept = 0
        for i in range(self.count):
            if self.handles[self.keys[i].slot] is None:
                self.free_slots[self.free_count] = self.keys[i].slot
                self.free_count += 1
            else:
                self.keys[kept] = self.keys[i]
                kept += 1
        self.count = kept
        self.cancelled = 0
        if kept > 1:
            i = ((kept - 2) >> 2) + 1
            while i > 0:
                i -= 1
                self.sift_down(i, self.keys[i])

    cdef void track_all(self) noexcept:
        cdef size_t i
        cdef PyObject *handle
        if not self.any_untracked:
            return
        self.any_untracked = False
        for i in range(self.count):
            handle = <PyObject *>(self.handles[self.keys[i].slot])
            if handle != <PyObject *>None:
                cloop_track(handle)

    def clear(self):
        """Drop every timer."""
        while self.count:
            self.pop()

    def snapshot(self):
        """The scheduled timers in heap order, as a list."""
        cdef size_t i
        found = [self.handles[self.keys[i].slot] for i in range(self.count)]
        return [handle for handle in found if handle is not None]
