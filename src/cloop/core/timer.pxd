"""TimerHandle, and the timer min-heap.

The heap is ordered by (deadline, sequence), so that timers of one deadline run in the order in
which they were made. It is 4-ary: half the levels of a binary heap, and the four children of a key
lie in one line of the cache. Only keys move: they lie in C memory and name the slot of a list that
holds the handle for as long as it is scheduled.

A cancelled timer leaves its slot at once, and nothing of it stays but its key: 16 bytes, until it
comes to the top or until half of the keys are such, when all go in one pass. That costs less than
taking each key out of the middle (a removal of the first of 100,000 moves a key on each of eight
levels), and the keys that stay are never more than the live timers. The key that lies last goes at
once.
"""

cimport cython
from cpython.long cimport PyLong_AsDouble
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t

from cloop._c.clock cimport ns_t
from cloop._c.pyapi cimport NoResult
from cloop.core.handle cimport Handle

cdef struct Key:
    ns_t deadline
    uint64_t rank        # the sequence number, and below it the slot

@cython.final
cdef class TimerHandle(Handle):
    cdef:
        double when_       # seconds of the loop's clock
        object given       # the same as the user gave it, where that is no float
        # Where it was scheduled; it still is while it lies in its slot there.
        TimerHeap heap

@cython.final
cdef class TimerHeap:
    cdef:
        list handles         # by slot; a slot of no scheduled timer holds None
        uint32_t *free_slots   # those that no key names
        size_t free_count
        size_t free_capacity   # never less than the length of `handles`
        void *block          # the memory that `keys` lies in
        size_t offset        # bytes from there to `keys`
        Key *keys            # in heap order
        size_t capacity      # of keys
        size_t count         # keys, those of cancelled timers included
        size_t cancelled     # how many keys are of cancelled timers
        uint64_t sequence    # of the next timer
        uint64_t known       # the collector knows the timers that have lower sequence numbers

        NoResult push(self, TimerHandle handle, ns_t deadline) except NoResult.EXC
        # Takes the first key out: a reference to its timer, or to None where that was cancelled.
        PyObject *pop(self) noexcept
        # Takes cancelled timers off the top.
        void prune(self) noexcept
        # A timer was cancelled: its slot is None now.
        NoResult cancel(self, TimerHandle handle) except NoResult.EXC
        # Let the collector know all timers. Looks at those only that were made since it was called last.
        void track_all(self) noexcept
        void sweep(self) noexcept
        NoResult reserve_key(self) except NoResult.EXC
        NoResult reserve_slot(self) except NoResult.EXC
        inline void free_slot(self, size_t slot) noexcept
        void renumber(self) noexcept
        void sift_up(self, size_t hole, Key key, size_t top) noexcept
        void sift_down(self, size_t hole, Key key) noexcept

# A timer that the collector does not know yet: see core/untracked.
cdef TimerHandle untracked_timer(object loop, double when, object callback, tuple args, object context)

# Takes it out of the heap: whether it was there.
cdef bint unschedule(TimerHandle self) except -1

# A number as a double; an int without the float object that <double> would make of it.
cdef inline double seconds_of(object number) except? -1:
    if type(number) is int:
        return PyLong_AsDouble(number)
    return number
