"""Flow: what is waiting to be written, and its water marks, as asyncio's _FlowControlMixin.

The room's lowest class: whoever keeps bytes back counts them in `queued`, calls `may_pause` when
that grows and `may_resume` when it shrinks. The protocol hears of it from inside those calls.

A stream of bytes is kept here as well, in `pieces`: `queue` adds to it, `gather` describes its
beginning to a system call, `take_sent` takes off what that took.
"""

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport iovec
from cloop.core.reactor cimport Reactor

cdef enum:
    # What one system call is offered. IOV_MAX is 1024 on every system we run on, and POSIX allows
    # no fewer than 16; 512 entries are 8 KiB of stack and more than a socket's buffer takes.
    MAX_PIECES = 512
    # macOS refuses to take more than INT_MAX bytes at once.
    MAX_OFFER = 1 << 30

# asyncio's defaults for what is not given, checked: (high, low). Raises ValueError.
cdef tuple water_marks(object high, object low, Py_ssize_t default_high)

# Copy pieces together.
cdef void join_pieces(char *to, iovec *vector, int n) noexcept
cdef void join_list(char *to, list pieces) noexcept

# Call a method without arguments; what it raises goes to the exception handler, with `transport` and
# `shown` as its protocol.
cdef NoResult call_protocol(Reactor loop, object protocol, str method, object transport,
                            object shown) except NoResult.EXC

cdef class Flow:
    cdef:
        # Both are None once the connection is lost and the protocol knows.
        Reactor loop
        object protocol

        Py_ssize_t queued      # bytes that were written and that the kernel has not taken
        Py_ssize_t high        # above it the protocol is paused
        Py_ssize_t low         # at it or below, a paused protocol is resumed
        bint protocol_paused

        # Pieces (bytes) of which the first `first` are gone and `offset` bytes of the next; None
        # until something has to wait.
        list pieces
        Py_ssize_t first
        Py_ssize_t offset

        NoResult queue(self, bytes piece, Py_ssize_t offset) except NoResult.EXC
        # Fills in MAX_PIECES entries at most and returns how many; `offered` is their length,
        # MAX_OFFER at most.
        int gather(self, iovec *vector, size_t *offered) except -1
        NoResult take_sent(self, Py_ssize_t sent) except NoResult.EXC
        NoResult drop_queue(self) except NoResult.EXC

        NoResult pause_protocol(self) except NoResult.EXC
        NoResult resume_protocol(self) except NoResult.EXC
        NoResult tell_protocol(self, str method) except NoResult.EXC

        inline NoResult may_pause(self) except NoResult.EXC:
            if self.queued > self.high and not self.protocol_paused:
                return self.pause_protocol()
            return NoResult.OK

        inline NoResult may_resume(self) except NoResult.EXC:
            if self.protocol_paused and self.queued <= self.low:
                return self.resume_protocol()
            return NoResult.OK
