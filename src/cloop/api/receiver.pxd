"""Receiver: how the sock_ methods of one loop receive bytes.

Into the loop's buffer (transports/scratch), from which what came is copied out; or, where they got much
lately, straight into an object of that size.
"""

cimport cython

from cloop.core.reactor cimport Reactor
from cloop.transports.scratch cimport Scratch

@cython.final
cdef class Receiver:
    cdef:
        Scratch scratch
        Py_ssize_t expected    # about how much they got lately, if that was much

        # Up to `size` bytes, which the loop's buffer has room for, from a plain socket; None where it would
        # have blocked.
        bytes receive(self, object sock, Py_ssize_t size)
        bytes receive_large(self, object sock, Py_ssize_t size)

# A loop's.
cdef inline Receiver receiver_of(Reactor loop):
    return <Receiver>loop.one_of(Receiver)
