"""What the stream transports of one loop receive into.

A message comes into memory that they all share, and is copied out of it into a bytes object of its
size. From then on the size of what comes next is guessed, and it is received into a spare bytes
object at once, which gets its size when that is known: no memory is allocated or copied. If nobody
has kept the object when the protocol's callback returns, which is the rule, it is the next spare
one. A protocol that keeps what it gets has its messages copied out again, in objects of their size.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport CLOOP_HAS_GIL, NoResult, Py_DECREF, Py_REFCNT
from cloop.core.reactor cimport Reactor
from cloop.core.ring cimport Node
from cloop.transports.outbox cimport Outbox

# Capacities of spare objects: 512 << level bytes, for levels from 1 to this one.
cdef enum:
    LEVELS = 9

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
    """
    # A spare object becomes one of this size, which is not more than its capacity.
    void set_size "cloop_set_bytes_size"(PyObject *data, Py_ssize_t size)
    char *bytes_memory "PyBytes_AS_STRING"(PyObject *data)

@cython.final
cdef class Scratch:
    cdef:
        char *memory
        size_t size
        PyObject *spare[LEVELS + 1]
        Py_ssize_t expected    # about how much the sock_ methods got lately; kept by them
        Outbox outbox          # when what they write leaves
        int grown_pipes        # how many pipes are larger by our doing; kept by transports/pipe
        # The class of the protocol that was set last, and what it is: servers have one.
        object protocol_class
        bint buffered          # a BufferedProtocol
        bint streams           # that of asyncio's streams
        bint feeds             # of those, one that feeds a reader and does nothing else
        bint receives          # a Receiver
        Node admissions        # handshakes of accepted connections; see transports/tls_accept
        object batch           # what datagram transports receive many at once into; see there

        # What is said above is of this protocol's class, from now until the next call.
        inline NoResult know(self, object protocol) except NoResult.EXC:
            if type(protocol) is not self.protocol_class and protocol is not None:
                return self.learn(protocol)
            return NoResult.OK

        NoResult learn(self, object protocol) except NoResult.EXC

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

cdef inline Py_ssize_t capacity_of(int level) noexcept:
    return <Py_ssize_t>512 << level

# The level of a spare object for messages like one of `size` bytes, with room to see that there is
# no more; 0 for small ones, which are better copied.
cdef int level_for(Py_ssize_t size) noexcept

cdef Scratch scratch_of(Reactor loop)
