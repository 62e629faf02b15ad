"""Receiver: what takes what came as memory, without an object for each piece.

TLS is one, and so is the intake of a StreamReader. A StreamTransport calls it instead of its
protocol's data_received.
"""

from cloop._c.pyapi cimport NoResult

cdef enum:
    # The size of the shared memory (transports/scratch).
    MOST = 262144

cdef class Receiver:
    cdef:
        size_t most            # what it wants to be given at once; no more than MOST
        str method             # the protocol's, which it stands for in messages

        # Where to receive and how much: `shared` and `most`, or memory of its own.
        char *room(self, char *shared, size_t *size) except NULL

        # `start` is what room() returned, or other memory that all connections of the loop share: it is
        # to be copied before any code of anybody else's runs, which leave_memory() says (core/shared).
        NoResult received(self, const char *start, Py_ssize_t size) except NoResult.EXC
