"""StreamTransport: a connected stream socket, TCP or unix.

Reading: one recv for an event, into what all connections of the loop share (transports/scratch),
and a bytes object of just what came; or straight into the memory of a BufferedProtocol, and again while that
comes back full, within a budget. TLS is given the shared memory itself.

Writing: sent at once while nothing is queued. What the kernel does not take is queued: bytes as
they are, copies of what the caller may change; from then on the descriptor is watched, and each
event sends as many pieces as one sendmsg holds, and again within a budget. Where it pays, the
kernel or the queue keeps small writes until the end of the turn (transports/outbox); whatever else
is asked of the transport sends what the queue has kept first, so nobody can tell.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport iovec
from cloop.transports.base cimport BaseTransport
from cloop.transports.outbox cimport Outbox
from cloop.transports.receiver cimport Receiver
from cloop.transports.scratch cimport Scratch

# Final, so that its methods call each other directly: after each system call the processor has
# forgotten where indirect calls went.
@cython.final
cdef class StreamTransport(BaseTransport):
    cdef:
        Scratch scratch
        int level              # of the spare bytes object to receive into; 0: copy out of memory
        bint keeps             # the protocol keeps what it gets

        bint buffered          # the protocol is a BufferedProtocol
        Receiver receiver      # the protocol, or its reader's intake, where it takes memory; else None

        Outbox outbox
        bint at_end            # the loop runs us at the end of the turn
        bint may_hold          # the kernel can: a TCP connection
        bint held              # the kernel keeps what was sent until then
        bint gathered          # what is queued was not offered to the kernel yet
        bint may_gather        # the protocol is one whose writes may be gathered
        int many_turns         # with many writes, one after the other
        int writes             # in the turn that is `turn`
        size_t turn

        bint eof               # write_eof() was called
        object empty_waiter    # a future for the moment when nothing is queued (sendfile)

        NoResult read_data(self) except NoResult.EXC
        NoResult deliver(self, object data) except NoResult.EXC
        void guess(self, Py_ssize_t n) noexcept
        ssize_t receive(self, PyObject **data, int *level) except -2
        NoResult read_buffered(self) except NoResult.EXC
        NoResult read_memory(self) except NoResult.EXC
        Py_ssize_t fill_buffer(self, object protocol, Py_ssize_t *size, bint first) except -2
        NoResult read_eof(self) except NoResult.EXC

        cpdef write(self, data)
        # For bytes-like memory; `whole` is the bytes object it belongs to, or None for a copy.
        NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult put_behind(self, bytes whole, const char *start,
                            Py_ssize_t size) except NoResult.EXC
        bint gathers(self, Py_ssize_t size) except -1
        NoResult run_at_end(self) except NoResult.EXC
        int send_flags(self, Py_ssize_t size) except -1
        # To be called before the shared memory is filled with what put() gets, and before what decides
        # how it is sent is looked at: after it, put() runs nobody's code before that is with the kernel.
        inline NoResult make_room(self) except NoResult.EXC:
            if self.loop is not None:
                return self.loop.at_end.make_room()
            return NoResult.OK

        NoResult send_gathered(self) except NoResult.EXC
        # What was gathered is sent before anything else is done or told.
        inline NoResult settle(self) except NoResult.EXC:
            if self.gathered:
                return self.send_gathered()
            return NoResult.OK

        NoResult send_queued(self) except NoResult.EXC
        NoResult put_pieces(self, list pieces, Py_ssize_t total) except NoResult.EXC
        bint send_joined(self, list pieces, Py_ssize_t total) except -1
        Py_ssize_t sent_or_full(self, ssize_t sent) except -2
        Py_ssize_t send_batch(self, size_t *offered, int flags) except -2
        NoResult write_failed(self, object exception) except NoResult.EXC
        NoResult drained(self) except NoResult.EXC
        NoResult shut_down(self) except NoResult.EXC
