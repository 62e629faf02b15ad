"""TimerHandle and the timer min-heap; timer.pxd is the manual.

TimerHandle is derived from CPython's asyncio/events.py (PSF License Agreement).
"""

from asyncio import events

from cpython.object cimport PyObject, PyTypeObject
from libc.math cimport isnan
from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memmove

from cloop._c.clock cimport ns_from_seconds
from cloop._c.pyapi cimport (
    CLOOP_DEBUG,
    Py_DECREF,
    Py_None,
    PyObject_GC_UnTrack,
    cloop_list_put,
    cloop_list_take,
    cloop_track,
)
from cloop.core.counts cimport register
from cloop.core.handle cimport caller_stack, drop, set_up

cdef extern from *:
    """
    static long timers_live;
    CLOOP_FREELIST(timers, 16384, &timers_live, 0)
    """
    void install_free_list "timers_install"(PyTypeObject *type)
    long live "timers_live"

cdef enum:
    FIRST_CAPACITY = 64
    # Below this many cancelled timers a sweep is not worth its pass.
    MIN_CANCELLED = 64
    # A rank: 36 bits of sequence, 28 of slot.
    SLOT_BITS = 28
    SLOT_MASK = (1 << 28) - 1
    # The four children of a key lie in one line of the cache.
    LINE = 64
    # Debug builds renumber often, so that tests see it.
    DEBUG_SEQUENCES = 1000

cdef uint64_t LAST_SEQUENCE = (<uint64_t>1 << 36) - 1

cdef object asyncio_timer_handle = events.TimerHandle

cdef class TimerHandle(Handle):
    """A callback to be called at a time, from call_later() and call_at()."""

    def __init__(self, when, callback, args, loop, context=None):
        cloop_track(<PyObject *>self)
        set_up(self, loop, callback, tuple(args), context)
        take_time(self, when)
        if loop.get_debug():
            self.origin = caller_stack()

    @property
    def __class__(self):
        return asyncio_timer_handle

    def when(self):
        """The time of the call: seconds of the loop's clock, as loop.time()."""
        return time_of(self)

    def cancel(self):
        """Keep the callback from being called; does nothing once it was called or cancelled."""
        cdef bint scheduled = is_scheduled(self)
        drop(self)
        if scheduled:
            self.heap.cancel(self)

    def _repr_info(self):
        info = Handle._repr_info(self)
        info.insert(2 if self.cancelled_ else 1, f"when={time_of(self)}")
        return info

    def __hash__(self):
        return hash(time_of(self))

    def __lt__(self, other):
        if isinstance(other, TimerHandle):
            return time_of(self) < time_of(<TimerHandle>other)
        return NotImplemented

    def __le__(self, other):
        if isinstance(other, TimerHandle):
            return time_of(self) < time_of(<TimerHandle>other) or self.__eq__(other)
        return NotImplemented

    def __gt__(self, other):
        if isinstance(other, TimerHandle):
            return time_of(self) > time_of(<TimerHandle>other)
        return NotImplemented

    def __ge__(self, other):
        if isinstance(other, TimerHandle):
            return time_of(self) > time_of(<TimerHandle>other) or self.__eq__(other)
        return NotImplemented

    def __eq__(self, other):
        cdef TimerHandle that
        if not isinstance(other, TimerHandle):
            return NotImplemented
        that = <TimerHandle>other
        return (time_of(self) == time_of(that) and self.callback == that.callback
                and self.args == that.args and self.cancelled_ == that.cancelled_)

    @property
    def _when(self):
        return time_of(self)

    @_when.setter
    def _when(self, value):
        cdef bint scheduled = is_scheduled(self)
        take_time(self, value)
        if scheduled:
            self.heap.cancel(self)
            self.heap.push(self, ns_from_seconds(self.when_))

    @property
    def _scheduled(self):
        return is_scheduled(self)

install_free_list(<PyTypeObject *>TimerHandle)
register("timers", &live)

cdef TimerHandle untracked_timer(object loop, double when, object callback, tuple args, object context):
    cdef TimerHandle self = TimerHandle.__new__(TimerHandle)
    PyObject_GC_UnTrack(<PyObject *>self)
    set_up(self, loop, callback, args, context)
    self.when_ = when
    return self

cdef inline object time_of(TimerHandle self):
    return self.when_ if self.given is None else self.given

cdef NoResult take_time(TimerHandle self, object when) except NoResult.EXC:
    cdef double seconds = seconds_of(when)
    if isnan(seconds):
        raise ValueError("Invalid delay: NaN (not a number)")
    self.when_ = seconds
    self.given = None if type(when) is float else when
    return NoResult.OK

cdef inline bint is_scheduled(TimerHandle self) noexcept:
    return self.heap is not None and self.heap.handles[self.slot] is self

cdef bint unschedule(TimerHandle self) except -1:
    if not is_scheduled(self):
        return False
    self.heap.cancel(self)
    return True

cdef inline bint before(Key *a, Key *b) noexcept nogil:
    # Without a branch: which of two timers is first can't be predicted.
    return (a.deadline < b.deadline) | ((a.deadline == b.deadline) & (a.rank < b.rank))

cdef inline size_t slot_of(Key key) noexcept nogil:
    return key.rank & SLOT_MASK

cdef int compare(const void *a, const void *b) noexcept nogil:
    return before(<Key *>b, <Key *>a) - before(<Key *>a, <Key *>b)

cdef class TimerHeap:
    """A 4-ary min-heap of timers."""

    def __cinit__(self):
        self.handles = []

    def __dealloc__(self):
        free(self.block)
        free(self.free_slots)

    cdef NoResult reserve_key(self) except NoResult.EXC:
        """Make room for more keys, keys[1] at the beginning of a line."""
        cdef size_t capacity = max(self.capacity * 2, <size_t>FIRST_CAPACITY)
        cdef void *block = realloc(self.block, capacity * sizeof(Key) + LINE)
        if block == NULL:
            raise MemoryError
        cdef size_t offset = (LINE - (<uintptr_t>block + sizeof(Key)) % LINE) % LINE
        if offset != self.offset:
            memmove(<char *>block + offset, <char *>block + self.offset, self.count * sizeof(Key))
        self.block = block
        self.offset = offset
        self.keys = <Key *>(<char *>block + offset)
        self.capacity = capacity
        return NoResult.OK

    cdef NoResult reserve_slot(self) except NoResult.EXC:
        """Make sure that all slots and one more can be free."""
        cdef size_t capacity = self.free_capacity
        cdef uint32_t *free_slots
        if len(self.handles) < capacity:
            return NoResult.OK
        capacity = max(capacity * 2, <size_t>FIRST_CAPACITY)
        if capacity > SLOT_MASK + 1:
            raise MemoryError("too many timers")
        free_slots = <uint32_t *>realloc(self.free_slots, capacity * sizeof(uint32_t))
        if free_slots == NULL:
            raise MemoryError
        self.free_slots = free_slots
        self.free_capacity = capacity
        return NoResult.OK

    cdef void sift_up(self, size_t hole, Key key, size_t top) noexcept:
        """Move the hole up to where `key` belongs, `top` at most, and put it there."""
        cdef Key *keys = self.keys
        cdef size_t parent
        while hole > top:
            parent = (hole - 1) >> 2
            if not before(&key, &keys[parent]):
                break
            keys[hole] = keys[parent]
            hole = parent
        keys[hole] = key

    cdef void sift_down(self, size_t hole, Key key) noexcept:
        """Move the hole down to where `key` belongs and put it there.

        First down to a leaf and then up: a key that comes from the bottom belongs there, so that
        comparing it with each level's first would be in vain.
        """
        cdef Key *keys = self.keys
        cdef size_t top = hole
        cdef size_t child, left, right
        while (hole << 2) + 4 < self.count:
            child = (hole << 2) + 1
            left = child + before(&keys[child + 1], &keys[child])
            right = child + 2 + before(&keys[child + 3], &keys[child + 2])
            child = left + (right - left) * before(&keys[right], &keys[left])
            keys[hole] = keys[child]
            hole = child
        child = (hole << 2) + 1
        if child < self.count:
            left = child
            for right in range(child + 1, self.count):
                if before(&keys[right], &keys[left]):
                    left = right
            keys[hole] = keys[left]
            hole = left
        self.sift_up(hole, key, top)

    cdef void renumber(self) noexcept:
        """Give the keys sequence numbers from 0, in the order of those that they have."""
        cdef size_t i
        # What is sorted is a heap.
        qsort(self.keys, self.count, sizeof(Key), compare)
        for i in range(self.count):
            self.keys[i].rank = <uint64_t>i << SLOT_BITS | slot_of(self.keys[i])
        self.sequence = self.count
        self.known = 0

    cdef NoResult push(self, TimerHandle handle, ns_t deadline) except NoResult.EXC:
        cdef Key key
        if self.count == self.capacity:
            self.reserve_key()
        if self.sequence >= LAST_SEQUENCE or CLOOP_DEBUG and self.sequence % DEBUG_SEQUENCES == 0:
            self.renumber()
        if self.free_count:
            self.free_count -= 1
            handle.slot = self.free_slots[self.free_count]
            cloop_list_put(<PyObject *>self.handles, handle.slot, <PyObject *>handle)
        else:
            self.reserve_slot()
            handle.slot = len(self.handles)
            self.handles.append(handle)
        key.deadline = deadline
        key.rank = self.sequence << SLOT_BITS | handle.slot
        self.sequence += 1
        handle.heap = self
        self.count += 1
        self.sift_up(self.count - 1, key, 0)
        return NoResult.OK

    cdef inline void free_slot(self, size_t slot) noexcept:
        self.free_slots[self.free_count] = slot
        self.free_count += 1

    cdef PyObject *pop(self) noexcept:
        cdef size_t slot = slot_of(self.keys[0])
        self.count -= 1
        if self.count > 0:
            self.sift_down(0, self.keys[self.count])
        self.free_slot(slot)
        # The handle itself is not looked at: with many due it would come into the cache twice.
        cdef PyObject *first = cloop_list_take(<PyObject *>self.handles, slot)
        if first == Py_None:
            self.cancelled -= 1
        return first

    cdef void prune(self) noexcept:
        while self.count and self.handles[slot_of(self.keys[0])] is None:
            Py_DECREF(self.pop())

    cdef NoResult cancel(self, TimerHandle handle) except NoResult.EXC:
        cdef size_t slot = handle.slot
        if slot_of(self.keys[self.count - 1]) == slot:
            # A timer that was set last is often the first to go, and its key still the last.
            self.count -= 1
            self.free_slot(slot)
            cloop_list_put(<PyObject *>self.handles, slot, <PyObject *>None)
            return NoResult.OK
        self.cancelled += 1
        cloop_list_put(<PyObject *>self.handles, slot, <PyObject *>None)
        if self.cancelled > MIN_CANCELLED and 2 * self.cancelled > self.count:
            self.sweep()
        return NoResult.OK

    cdef void sweep(self) noexcept:
        """Drop the keys of cancelled timers in one pass and restore the heap's order."""
        cdef size_t i, slot
        cdef size_t kept = 0
        for i in range(self.count):
            slot = slot_of(self.keys[i])
            if self.handles[slot] is None:
                self.free_slot(slot)
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
        if self.known == self.sequence:
            return
        for i in range(self.count):
            if self.keys[i].rank >> SLOT_BITS >= self.known:
                handle = <PyObject *>(self.handles[slot_of(self.keys[i])])
                if handle != <PyObject *>None:
                    cloop_track(handle)
        self.known = self.sequence

    def clear(self):
        """Drop every timer."""
        while self.count:
            Py_DECREF(self.pop())

    def snapshot(self):
        """The scheduled timers in heap order, as a list."""
        cdef size_t i
        found = [self.handles[slot_of(self.keys[i])] for i in range(self.count)]
        return [handle for handle in found if handle is not None]
