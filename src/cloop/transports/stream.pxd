"""StreamTransport: a connected stream socket, TCP or unix.

Reading: one recv for an event, to where the sink says (transports/sink); into the memory of a
BufferedProtocol again while that comes back full, within a budget. What is small is received as soon
as the poller tells of it, before any callback of the turn runs, and handed over when its turn comes, to
whoever is the protocol by then. Until then it is as if the kernel still had it: it waits while reading is
paused, and a transport that is closed before drops it.

Writing: see transports/sender. What waits for the end of the turn goes before whatever else is asked of the
transport, so nobody can tell.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.transports.base cimport BaseTransport
from cloop.transports.intake cimport Intake
from cloop.transports.sink cimport BufferSink, Sink

# The intake of the reader that a protocol feeds, if it does nothing else and the reader has one.
cdef Intake intake_of(object protocol)
# What takes the bytes of a transport with this protocol, whatever that is.
cdef Sink sink_of(object protocol)

# Final, so that its methods call each other directly: after each system call the processor has
# forgotten where indirect calls went.
@cython.final
cdef class StreamTransport(BaseTransport):
    cdef:
        Sink sink              # takes what comes for the protocol
        bint small             # so was the last message
        # What was received before the turn's callbacks: NULL for nothing, no bytes for the end, or for
        # an error, whose number is beside it.
        int early_error
        PyObject *early

        bint tcp               # a TCP connection
        bint eof               # write_eof() was called

        ssize_t read_once(self, Sink sink, object protocol, size_t *size) except -3
        NoResult read_again(self, BufferSink sink, object protocol, Py_ssize_t total) except NoResult.EXC
        void receive_early(self) noexcept
        NoResult deliver_early(self) except NoResult.EXC
        NoResult fill_buffer(self, BufferSink sink, object protocol, bytes data) except NoResult.EXC
        NoResult read_eof(self) except NoResult.EXC

        cpdef write(self, data)
        bint view_data(self, object data, Py_buffer *view) except -1
        NoResult drained(self) except NoResult.EXC
        NoResult shut_down(self) except NoResult.EXC
