"""StreamTransport: a connected stream socket, TCP or unix.

Reading: one recv for an event, into the memory that all connections of the loop share, and a bytes
object of just what came; or straight into the memory of a BufferedProtocol, and again while that
comes back full, within a budget.

Writing: sent at once while nothing is queued. What the kernel does not take is queued: bytes as
they are, copies of what the caller may change; from then on the descriptor is watched, and each
event sends as many pieces as one sendmsg holds, and again within a budget.
"""

from cloop._c.pyapi cimport NoResult
from cloop.transports.base cimport BaseTransport, Scratch

cdef class StreamTransport(BaseTransport):
    cdef:
        Scratch scratch

        # The protocol's methods, looked up in set_protocol: data_received, or the two of a
        # BufferedProtocol. None where the protocol has none; then calling it is what fails.
        object data_received
        object get_buffer
        object buffer_updated

        bint eof               # write_eof() was called
        object empty_waiter    # a future for the moment when nothing is queued (sendfile)

        NoResult read_data(self) except NoResult.EXC
        NoResult read_buffered(self) except NoResult.EXC
        Py_ssize_t fill_buffer(self, object get_buffer, Py_ssize_t *size) except -2
        NoResult read_failed(self) except NoResult.EXC
        NoResult read_eof(self) except NoResult.EXC

        # For bytes-like memory; `whole` is the bytes object it belongs to, or None for a copy.
        NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult count_lost_write(self) except NoResult.EXC
        NoResult wait_writable(self) except NoResult.EXC
        NoResult send_queued(self) except NoResult.EXC
        Py_ssize_t send_batch(self, size_t *offered) except -2
        NoResult write_failed(self, object exception) except NoResult.EXC
        NoResult drained(self) except NoResult.EXC
        NoResult shut_down(self) except NoResult.EXC
