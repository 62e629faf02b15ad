"""The ready deque; ready.pxd is the manual."""

from libc.stdlib cimport free, malloc

from cloop._c.pyapi cimport CLOOP_HAS_GIL, Py_DECREF, PyObject_GC_UnTrack, cloop_track
from cloop.core.shared cimport code_may_run

# A ring for 64 entries; a busy server's turn rarely has more, and it doubles when one does.
cdef enum:
    FIRST_CAPACITY = 64

cdef class Ready:
    """A ring of (owner, function) pairs."""

    def __cinit__(self):
        self.owners = [None] * FIRST_CAPACITY
        self.functions = <run_t *>malloc(FIRST_CAPACITY * sizeof(run_t))
        if self.functions == NULL:
            raise MemoryError
        self.mask = FIRST_CAPACITY - 1

    def __dealloc__(self):
        free(self.functions)

    cdef NoResult grow(self) except NoResult.EXC:
        cdef size_t old = self.mask + 1
        code_may_run()
        # The list first: allocating one may run the collector, finalizers and so this method.
        cdef list owners = [None] * (2 * old)
        if self.mask + 1 != old:
            return NoResult.OK
        cdef run_t *functions = <run_t *>malloc(2 * old * sizeof(run_t))
        if functions == NULL:
            raise MemoryError
        cdef size_t i, slot
        cdef PyObject *owner
        for i in range(self.count):
            slot = (self.head + i) & self.mask
            owner = <PyObject *>(self.owners[slot])
            cloop_list_put(<PyObject *>owners, i, owner)
            functions[i] = self.functions[slot]
        free(self.functions)
        self.functions = functions
        self.owners, owners = owners, self.owners
        if self.untracked:
            self.untrack()
        self.mask = 2 * old - 1
        self.head = 0
        return NoResult.OK

    cdef NoResult take_all(self, Ready other) except NoResult.EXC:
        """Append all that `other` holds, in its order, and leave it empty."""
        cdef run_t run
        cdef PyObject *owner
        if self.count == 0 and self.mask <= other.mask:
            self.owners, other.owners = other.owners, self.owners
            self.functions, other.functions = other.functions, self.functions
            self.mask, other.mask = other.mask, self.mask
            self.head, other.head = other.head, 0
            self.count, other.count = other.count, 0
            return NoResult.OK
        while other.count:
            if self.count > self.mask:
                self.grow()
            owner = other.pop(&run)
            self.push(<object>owner, run)
            Py_DECREF(owner)
        return NoResult.OK

    cdef void untrack(self) noexcept:
        if CLOOP_HAS_GIL:
            self.untracked = True
            PyObject_GC_UnTrack(<PyObject *>self.owners)

    cdef void track_all(self) noexcept:
        cdef size_t i
        self.untracked = False
        cloop_track(<PyObject *>self.owners)
        for i in range(self.count):
            cloop_track(<PyObject *>(self.owners[(self.head + i) & self.mask]))

    def snapshot(self):
        """The owners, oldest first, as a list."""
        cdef size_t i
        return [self.owners[(self.head + i) & self.mask] for i in range(self.count)]

    def clear(self):
        """Drop every entry."""
        cdef run_t run
        while self.count:
            Py_DECREF(self.pop(&run))
