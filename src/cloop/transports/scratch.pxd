"""What the stream transports of one loop receive into.

A message comes into memory that they all share, and is copied out of it into a bytes object of its
size. From then on the size of what comes next is guessed, and it is received into a spare bytes
object at once, which gets its size when that is known: no memory is allocated or copied. If nobody
has kept the object when the protocol's callback returns, which is the rule, it is the next spare
one. A protocol that keeps what it gets has its messages copied out again, in objects of their size.
"""

from cpython.object cimport PyObject

from cloop.core.reactor cimport Reactor

# Capacities of spare objects: 512 << level bytes, for levels from 1 to this one.
cdef enum:
    LEVELS = 9

cdef class Scratch:
    cdef:
        char *memory
        size_t size
        PyObject *spare[LEVELS + 1]
        Py_ssize_t expected    # about how much the sock_ methods got lately; kept by them
        object batch           # what datagram transports receive many at once into; see there

        # A bytes object of `512 << level` bytes that nobody else holds. The reference is the caller's.
        PyObject *take(self, int level) except NULL
        # Gives it back, if nobody else has come to hold it; whether that is so.
        bint give(self, int level, PyObject *data) noexcept

cdef inline Py_ssize_t capacity_of(int level) noexcept:
    return <Py_ssize_t>512 << level

# The level of a spare object for messages like one of `size` bytes, with room to see that there is
# no more; 0 for small ones, which are better copied.
cdef int level_for(Py_ssize_t size) noexcept

# A spare object becomes one of this size, which is not more than its capacity.
cdef void set_size(PyObject *data, Py_ssize_t size) noexcept

cdef Scratch scratch_of(Reactor loop)
