"""Sink: what takes the bytes that a transport receives.

    transport --room--> Sink          where to receive, and how much
              recv
              --received--> Sink      so much came; or nothing_came

A transport has one sink at a time, which `sink_of` (transports/stream) chooses by its protocol:

    BytesSink     data_received() of a Protocol, with a bytes object
    BufferSink    the memory of a BufferedProtocol
    Intake        what a StreamReader has received and not read yet (transports/intake)
    TLS           is one itself, and decrypts for another (transports/tls/machine)

`room` and `received` raise what the protocol's methods raise; `blame` says which that was. No code of
anybody else's runs from the end of `room` to the beginning of `received`.

A BytesSink receives a message into the shared memory, and makes a bytes object of its size. From then on it
guesses the size of what comes next, where nobody knows it, and receives into a spare bytes object at once
(transports/scratch), which gets its size when that is known: no memory is allocated or copied. If nobody
has kept the object when the protocol's callback returns, which is the rule, it is the next spare
one. A protocol that has kept one has the next messages copied out again, in objects of their size.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.transports.scratch cimport Scratch

cdef enum:
    # The size of the shared memory (transports/scratch).
    MOST = 262144

cdef class Sink:
    cdef:
        # Where to receive and how much: the shared memory, or some of its own. `protocol` is the
        # transport's. TLS, which knows how much it has to decrypt, says so in `size`; for the others that
        # is 0. It gets memory that is not the shared one, where the ciphertext lies, or NULL: then it is
        # to make a bytes object, for received_bytes().
        char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL

        # So much came into what room() returned. Memory that all connections of the loop share is to be
        # copied before any code of anybody else's runs, which leave_memory() says (core/shared).
        NoResult received(self, object protocol, Scratch scratch, const char *start,
                          Py_ssize_t size) except NoResult.EXC
        # Nothing came into it. Leaves errno alone.
        void nothing_came(self, Scratch scratch, const char *start) noexcept

        # As received(), of a bytes object that came before.
        NoResult received_bytes(self, object protocol, Scratch scratch, bytes data) except NoResult.EXC

        # What a report calls what one of these has raised.
        str blame(self)

@cython.final
cdef class BytesSink(Sink):
    cdef:
        int level              # of the spare bytes object to receive into; 0: copy out of memory
        int to_copy            # messages, as the protocol has kept one

        void guess(self, Py_ssize_t n) noexcept
        NoResult deliver(self, object protocol, Scratch scratch, PyObject *data,
                         int level) except NoResult.EXC

@cython.final
cdef class BufferSink(Sink):
    cdef:
        Py_ssize_t hint        # what get_buffer() is called with
        str receiver           # who would refuse what is no memory, and in which argument
        Py_buffer view         # from room() to the end of recv
        str at                 # what is being done, for blame()

        void release(self) noexcept
        NoResult view_buffer(self, object buffer) except NoResult.EXC
