"""What transports receive into; scratch.pxd is the manual."""

from cpython.object cimport PyObject
from libc.stdlib cimport free

from cloop._c.pyapi cimport Py_XDECREF

cdef extern from "<stdlib.h>":
    int posix_memalign(void **memory, size_t alignment, size_t size)

# asyncio's own size; a larger one has no effect on what TCP's windows deliver at once.
cdef enum:
    SCRATCH_SIZE = 262144
    # A page. malloc's memory of that size begins 16 bytes into one, and what the kernel copies
    # there from pages of its own takes up to three times as long (x86-64: pipes, TCP's larger
    # segments), presumably by 4K aliasing of its loads and stores.
    SCRATCH_ALIGNMENT = 4096


cdef class Scratch:
    """Memory to receive into."""

    def __cinit__(self, Reactor loop not None):
        if posix_memalign(<void **>&self.memory, SCRATCH_ALIGNMENT, SCRATCH_SIZE):
            raise MemoryError
        self.size = SCRATCH_SIZE

    def __dealloc__(self):
        cdef int level
        free(self.memory)
        for level in range(LEVELS + 1):
            Py_XDECREF(self.spare[level])
        while self.count_lent:
            Py_XDECREF(self.lent[self.first_lent].data)
            self.first_lent = (self.first_lent + 1) % LENT
            self.count_lent -= 1

    cdef PyObject *new_spare(self, int level) except NULL:
        return new_bytes(NULL, capacity_of(level))


cdef int level_for(Py_ssize_t size) noexcept:
    cdef int level = 1
    if size < capacity_of(0):
        return 0
    while level < LEVELS and capacity_of(level) <= size:
        level += 1
    return level
