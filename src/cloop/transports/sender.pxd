"""Sender: what was written and has not left yet, and when it leaves.

What is written goes to the kernel at once where nothing else waits for its turn. Where other entries wait in
the ready deque, it is queued and goes to the kernel at the end of the turn (core/reactor), together
with what the others write: a system call between two pieces of Python makes the processor forget
both. It goes before that when it is much, when its first part has waited for long, or when somebody asks
something that depends on it: so `flush` comes first in whatever the transport is asked or told. Only where
nobody else writes to the same file, for what others write would overtake it.

What the kernel does not take stays queued; the descriptor is watched, and each event sends as many
pieces as one system call takes, and again within a budget.

So a sender is in one of three states:

    idle       nothing is queued
    waiting    for the end of the turn; the kernel was not offered anything of the queue
    full       the kernel takes nothing more for now, and the descriptor is watched

The queue is a bytes object while there is only one, else a list of them. Bytes are kept as they are, and
copies of what the caller may change.
"""

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport iovec
from cloop.transports.flow cimport Flow
from cloop.transports.scratch cimport Scratch

cdef enum:
    # What one system call is offered. IOV_MAX is 1024 on every system we run on, and POSIX allows
    # no fewer than 16; 512 entries are 8 KiB of stack and more than a socket's buffer takes.
    MAX_PIECES = 512
    # macOS refuses to take more than INT_MAX bytes at once.
    MAX_OFFER = 1 << 30

cdef class Sender(Flow):
    cdef:
        Scratch scratch
        int conn_lost          # not 0: connection_lost is scheduled; counts writes after that
        # Nothing waits for the end of the turn: others may write to the same file (transports/pipe), or what
        # takes it is the Sender of another transport (transports/tls).
        bint never_waits

        object pieces          # the queue: None, bytes, or a list of bytes
        Py_ssize_t first       # so many pieces of the list are gone,
        Py_ssize_t offset      # and so many bytes of the next piece

        bint waiting           # for the end of the turn
        bint in_at_end         # the loop will run us at the end of the turn
        object empty_waiter    # a future for the moment when nothing is queued (sendfile)

        # For bytes-like memory; `whole` is the bytes object it belongs to, or None for a copy.
        NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult put_pieces(self, list pieces, Py_ssize_t total) except NoResult.EXC
        NoResult put_behind(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC
        # There is more in the queue: whether it goes on to wait, or to be watched, and who is to be told.
        NoResult queued_more(self) except NoResult.EXC
        bint send_joined(self, list pieces, Py_ssize_t total) except -1

        # Whether what is written now may wait for the end of the turn.
        inline bint may_wait(self) noexcept:
            return ((self.loop.ready.count or self.loop.at_end.count) and not self.never_waits
                    and not self.loop.ending and self.loop.in_own_thread())

        NoResult wait_for_end(self) except NoResult.EXC
        NoResult send_waiting(self) except NoResult.EXC
        NoResult sent_late(self, ssize_t sent) except NoResult.EXC
        # The turn has ended: `failure` is what the kernel has said to what waited, or None.
        NoResult finish_send(self, object failure) except NoResult.EXC
        # How much the kernel has refused to take until now; for who shows it, and may do nothing else.
        inline Py_ssize_t refused(self) noexcept:
            return 0 if self.waiting else self.queued

        # What waits for the end of the turn is sent before anything else is done or told.
        inline NoResult flush(self) except NoResult.EXC:
            if self.waiting:
                return self.send_waiting()
            return NoResult.OK

        # To be called before the shared memory is filled with what put() gets: after it, put() runs nobody's
        # code before that is with the kernel, or copied.
        inline NoResult make_room(self) except NoResult.EXC:
            if self.loop is not None:
                return self.loop.at_end.make_room()
            return NoResult.OK

        # What is queued, as far as the kernel takes it, within a budget. Raises OSError.
        NoResult send_queued(self) except NoResult.EXC
        Py_ssize_t send_batch(self, size_t *offered) except -2

        NoResult queue(self, bytes piece, Py_ssize_t offset) except NoResult.EXC
        # The first piece, of which `offset` bytes are gone. There is one.
        inline bytes first_piece(self):
            if type(self.pieces) is bytes:
                return <bytes>self.pieces
            return <bytes>(<list>self.pieces)[self.first]
        # Describes the beginning of the queue, in MAX_PIECES entries at most, and returns how many;
        # `offered` is their length, MAX_OFFER at most.
        int fill_vector(self, iovec *vector, size_t *offered) except -1
        NoResult take_sent(self, Py_ssize_t sent) except NoResult.EXC
        NoResult drop_queue(self) except NoResult.EXC

        # ---- What the transport does for it

        # One system call: how much the kernel took, or -1 with errno. Only TLS raises something.
        ssize_t send_memory(self, const char *start, size_t size) except -2
        ssize_t send_vector(self, iovec *vector, int count) noexcept
        # The kernel takes nothing more for now: send_queued() when it does.
        NoResult wait_writable(self) except NoResult.EXC
        # For data that is written after the end: dropped, and from the fifth time on with a warning.
        NoResult count_lost_write(self) except NoResult.EXC
        NoResult write_failed(self, object exception) except NoResult.EXC
        # finish_send() in the connection's context.
        NoResult finish_in_context(self, object failure) except NoResult.EXC
