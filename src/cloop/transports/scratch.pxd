"""What the stream transports of one loop receive into.

There is memory that they all share, and there are spare bytes objects of several sizes: who receives into one
gives it its size when that is known, and gives it back if nobody else holds it.

What a StreamReader's read() has returned is held until the reader's next call, as a rule, so it can't
come back at once. It is lent: the loop holds the last few objects as well, and one that nobody else
holds any more is what the next message comes in.
"""

cimport cython
from cpython.object cimport PyObject
from libc.string cimport memcpy

from cloop._c.pyapi cimport CLOOP_HAS_GIL, Py_DECREF, Py_INCREF, Py_REFCNT
from cloop.core.reactor cimport Reactor
from cloop.core.shared cimport leave_memory

# Capacities of spare objects: 512 << level bytes, for levels from 1 to this one.
cdef enum:
    LEVELS = 9

# What is lent, at most, and how large one is: what is smaller is made in no time, and all together
# they are no more than the memory that is received into.
cdef enum:
    LENT = 64
    LEAST_LENT = 448
    MOST_LENT = 4096

cdef struct Loan:
    PyObject *data
    Py_ssize_t capacity

cdef extern from *:
    """
    /* A bytes object that nobody else holds is one that is being made: its bytes, its size and the
     * hash that it keeps may still change. What was allocated may be more than its size says. */
    static inline void cloop_set_bytes_size(PyObject *data, Py_ssize_t size) {
      Py_SET_SIZE(data, size);
      PyBytes_AS_STRING(data)[size] = 0;
      _Py_COMP_DIAG_PUSH
      _Py_COMP_DIAG_IGNORE_DEPR_DECLS
      ((PyBytesObject *)data)->ob_shash = -1;
      _Py_COMP_DIAG_POP
    }
    /* The object whose bytes begin there. */
    #define cloop_bytes_at(start) ((PyObject *)((char *)(start) - offsetof(PyBytesObject, ob_sval)))
    """
    PyObject *bytes_at "cloop_bytes_at"(const char *start) noexcept
    # Without a GIL a count does not tell who holds it; and the checkers of memory would miss much.
    const bint CAN_LEND "(CLOOP_HAS_GIL && !CLOOP_DEBUG)"
    # A spare object becomes one of this size, which is not more than its capacity.
    void set_size "cloop_set_bytes_size"(PyObject *data, Py_ssize_t size)
    char *bytes_memory "PyBytes_AS_STRING"(PyObject *data)
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(PyObject *data)
    # NULL is looked at by Cython, as this is declared.
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *content, Py_ssize_t size) except NULL
    # NULL is for the caller to look at, and to raise MemoryError again, when it has given back what it uses.
    PyObject *copied "PyBytes_FromStringAndSize"(const char *content, Py_ssize_t size)
    object stolen "(PyObject *)"(PyObject *data)

@cython.final
cdef class Scratch:
    cdef:
        char *memory
        size_t size
        PyObject *spare[LEVELS + 1]
        Loan lent[LENT]        # a ring
        size_t first_lent
        size_t count_lent

        # A bytes object of `512 << level` bytes that nobody else holds. The reference is the caller's.
        inline PyObject *take(self, int level) except NULL:
            cdef PyObject *data = self.spare[level]
            if data == NULL:
                return self.new_spare(level)
            self.spare[level] = NULL
            return data

        PyObject *new_spare(self, int level) except NULL
        # Gives it back, if nobody else has come to hold it; whether that is so.
        inline bint give(self, int level, PyObject *data) noexcept:
            # Without a GIL a count of 1 does not say that nobody else holds it.
            if Py_REFCNT(data) != 1 or not CLOOP_HAS_GIL:
                Py_DECREF(data)
                return False
            if self.spare[level] == NULL:
                self.spare[level] = data
            else:
                Py_DECREF(data)
            return True

        # A bytes object that begins with the `size[0]` bytes at `start`: one that was lent and has come
        # back, or a new one. The reference is the caller's; `size` becomes the object's.
        inline PyObject *kept_copy(self, const char *start, Py_ssize_t *size) except NULL:
            cdef PyObject *data = NULL
            if LEAST_LENT <= size[0] <= MOST_LENT and self.count_lent:
                data = self.take_lent(size[0])
            if data == NULL:
                return new_bytes(start, size[0])
            memcpy(bytes_memory(data), start, size[0])
            size[0] = bytes_size(data)
            return data

        # The oldest that is lent, if it has come back and is good for `size` bytes; else NULL.
        inline PyObject *take_lent(self, Py_ssize_t size) noexcept:
            cdef Loan *oldest = &self.lent[self.first_lent]
            cdef PyObject *data = oldest.data
            if Py_REFCNT(data) != 1:
                return NULL
            self.first_lent = (self.first_lent + 1) % LENT
            self.count_lent -= 1
            # What is not used may be kept for long by who gets it.
            if size > oldest.capacity or oldest.capacity - size > size >> 3:
                Py_DECREF(data)
                return NULL
            set_size(data, oldest.capacity)
            return data

        # It is given away, to come back once nobody holds it any more.
        inline void lend(self, PyObject *data, Py_ssize_t capacity) noexcept:
            cdef Loan *newest = &self.lent[(self.first_lent + self.count_lent) % LENT]
            if capacity < LEAST_LENT or capacity > MOST_LENT or not CAN_LEND:
                return
            if self.count_lent == LENT:
                Py_DECREF(newest.data)
                self.first_lent = (self.first_lent + 1) % LENT
                self.count_lent -= 1
            Py_INCREF(data)
            newest.data = data
            newest.capacity = capacity
            self.count_lent += 1

# What lies in the shared memory, as an object; then that is not in use any more.
cdef inline bytes copy_out(const char *start, Py_ssize_t size):
    cdef PyObject *copy = copied(start, size)
    leave_memory()
    if copy == NULL:
        raise MemoryError
    return <bytes>stolen(copy)

cdef inline Py_ssize_t capacity_of(int level) noexcept:
    return <Py_ssize_t>512 << level

# The level of a spare object for messages like one of `size` bytes, with room to see that there is
# no more; 0 for small ones, which are better copied.
cdef int level_for(Py_ssize_t size) noexcept

# A loop's.
cdef inline Scratch scratch_of(Reactor loop):
    return <Scratch>loop.one_of(Scratch)
