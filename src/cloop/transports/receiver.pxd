"""Receiver: a protocol that takes what came as memory, without an object for each piece.

TLS is one. A StreamTransport knows it by its class and calls it instead of data_received.
"""

from cloop._c.pyapi cimport NoResult

cdef enum:
    # The size of the shared memory (transports/scratch).
    MOST = 262144

cdef class Receiver:
    cdef:
        size_t most            # what it wants to be given at once; no more than MOST

        # `start` is memory that all connections of the loop share: it is to be copied before any code
        # of anybody else's runs.
        NoResult received(self, const char *start, Py_ssize_t size) except NoResult.EXC
