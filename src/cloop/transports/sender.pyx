"""Sender; sender.pxd is the manual.

Derived in its rules and order from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.exc cimport PyErr_SetFromErrno
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.string cimport memcpy

from cloop._c.pyapi cimport cloop_seal
from cloop.core.shared cimport code_may_run, leave_memory, use_memory
from cloop.transports.readiness cimport error_from_errno, would_block
from cloop.transports.scratch cimport bytes_memory, copy_out, new_bytes, stolen

cdef enum:
    # More than this does not wait for the end of the turn.
    MOST_WAITING = 65536
    # What is larger by itself does not wait at all: it need not be copied, and a receiver's spare object
    # that is sent back is free again.
    LARGE = 16384
    # Many small pieces are sent until so much is gone, which a peer may take as fast as we send; then it
    # is the turn of other connections.
    WRITE_BUDGET = 262144
    # Pieces that are no more than this together are copied together: for each the kernel takes
    # longer to look at than we to copy it.
    JOIN_SIZE = 8192
    # Gone pieces are taken off the queue's list in batches of at least this many.
    MANY_PIECES = 256


cdef void join_pieces(char *to, iovec *vector, int n) noexcept:
    cdef int i
    for i in range(n):
        memcpy(to, vector[i].iov_base, vector[i].iov_len)
        to += vector[i].iov_len


cdef void join_list(char *to, list pieces) noexcept:
    cdef Py_ssize_t i, size
    for i in range(PyList_GET_SIZE(pieces)):
        size = PyBytes_GET_SIZE(pieces[i])
        memcpy(to, PyBytes_AS_STRING(pieces[i]), size)
        to += size


cdef bytes joined(list pieces, Py_ssize_t total):
    cdef PyObject *data = new_bytes(NULL, total)
    join_list(bytes_memory(data), pieces)
    return <bytes>stolen(data)


cdef class Sender(Flow):
    """The write side of a transport over a stream of bytes."""

    # ---- Written

    cdef NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef ssize_t sent = 0
        if size == 0:
            return NoResult.OK
        if self.conn_lost:
            leave_memory()
            return self.count_lost_write()
        self.make_room()
        if self.queued:
            return self.put_behind(whole, start, size)
        if size <= LARGE and self.may_wait():
            self.wait_for_end()
            return self.put_behind(whole, start, size)
        sent = self.send_memory(start, min(size, <Py_ssize_t>MAX_OFFER))
        if sent == size:
            leave_memory()
            return NoResult.OK
        if sent < 0:
            if not would_block():
                leave_memory()
                return self.write_failed(error_from_errno())
            sent = 0
        if whole is None:
            # At once: it may be memory that others use as well.
            whole = copy_out(start + sent, size - sent)
            sent = 0
        self.queue(whole, sent)
        self.wait_writable()
        return self.maybe_pause()

    cdef NoResult put_behind(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC:
        """Queue what comes after what is queued, or what waits for the end of the turn."""
        if whole is None:
            whole = copy_out(start, size)
        self.queue(whole, 0)
        return self.queued_more()

    cdef NoResult queued_more(self) except NoResult.EXC:
        if not self.waiting:
            return self.maybe_pause()
        if self.queued > MOST_WAITING or self.queued > self.high:
            return self.send_waiting()
        return NoResult.OK

    cdef NoResult put_pieces(self, list pieces, Py_ssize_t total) except NoResult.EXC:
        """The same for a list of bytes, which are `total` bytes together."""
        cdef bint idle = self.queued == 0
        if idle and self.may_wait():
            self.wait_for_end()
        elif idle and total <= JOIN_SIZE and self.send_joined(pieces, total):
            return NoResult.OK
        if self.waiting and total <= JOIN_SIZE:
            pieces = [joined(pieces, total)]
        for piece in pieces:
            if isinstance(piece, bytes) and PyBytes_GET_SIZE(piece):
                self.queue(<bytes>piece, 0)
        return self.send_waiting() if idle and not self.waiting else self.queued_more()

    cdef bint send_joined(self, list pieces, Py_ssize_t total) except -1:
        """Send small pieces as one: whether they are sent, or lost with the connection.

        Else the kernel has taken none of them.
        """
        cdef char *memory = self.scratch.memory
        use_memory()
        join_list(memory, pieces)
        cdef ssize_t sent = self.send_memory(memory, total)
        if 0 < sent < total:
            self.queue(copy_out(memory + sent, total - sent), 0)
            self.wait_writable()
            self.maybe_pause()
            return True
        leave_memory()
        if sent == total:
            return True
        if would_block():
            return False
        self.write_failed(error_from_errno())
        return True

    # ---- The end of the turn

    cdef NoResult wait_for_end(self) except NoResult.EXC:
        """What is queued next waits for the end of the turn."""
        self.waiting = True
        if not self.in_at_end:
            self.loop.at_turn_end(self, send_at_end)
            self.in_at_end = True
        return NoResult.OK

    cdef NoResult send_waiting(self) except NoResult.EXC:
        """Offer the kernel what is queued, and have it watched where that does not take it all."""
        self.waiting = False
        if self.conn_lost or not self.queued:
            return NoResult.OK
        try:
            self.send_queued()
            if self.queued:
                self.wait_writable()
        except (OSError, MemoryError) as exc:
            self.write_failed(exc)
        return NoResult.OK if self.conn_lost else self.maybe_pause()

    cdef NoResult sent_late(self, ssize_t sent) except NoResult.EXC:
        """The kernel has taken a part of what waited, or has refused it with errno."""
        cdef object failure = None
        if sent >= 0:
            self.take_sent(min(sent, self.queued))
        elif not would_block():
            # Now: the next call may say something else.
            failure = error_from_errno()
        return self.finish_in_context(failure)

    cdef NoResult finish_send(self, object failure) except NoResult.EXC:
        """What could not be done without the context of the connection."""
        if failure is not None:
            return self.write_failed(failure)
        if self.waiting:
            return self.send_waiting()
        if self.queued:
            self.wait_writable()
        return NoResult.OK if self.conn_lost else self.maybe_pause()

    cdef NoResult send_queued(self) except NoResult.EXC:
        """Give the kernel what it takes, within the budget. Raises OSError."""
        cdef size_t offered = 0
        cdef Py_ssize_t sent
        cdef Py_ssize_t total = 0
        while self.queued and total < WRITE_BUDGET:
            sent = self.send_batch(&offered)
            if sent < 0:
                return NoResult.OK
            self.take_sent(sent)
            if <size_t>sent < offered:
                break
            total += sent
        return NoResult.OK

    cdef Py_ssize_t send_batch(self, size_t *offered) except -2:
        """One system call: how much the kernel took of what it was offered; -1 if it is full."""
        cdef iovec vector[MAX_PIECES]
        cdef ssize_t sent
        cdef int n = self.fill_vector(vector, offered)
        if n == 1:
            sent = self.send_memory(<const char *>vector[0].iov_base, vector[0].iov_len)
        elif offered[0] <= JOIN_SIZE:
            # Into what nobody is receiving into at the moment.
            use_memory()
            join_pieces(self.scratch.memory, vector, n)
            sent = self.send_memory(self.scratch.memory, offered[0])
            leave_memory()
        else:
            sent = self.send_vector(vector, n)
        if sent < 0:
            if would_block():
                return -1
            PyErr_SetFromErrno(OSError)
        return sent

    # ---- The queue

    cdef NoResult queue(self, bytes piece, Py_ssize_t offset) except NoResult.EXC:
        """Queue a piece, of which `offset` bytes are sent; only the first may have such."""
        cdef list pieces
        code_may_run()
        if not PyBytes_CheckExact(piece):
            # One whose end runs no code of anybody's, in the middle of what is done with the queue.
            piece = PyBytes_FromStringAndSize(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        if type(self.pieces) is bytes:
            pieces = []
            # To make one may run code that writes, or drops the queue.
            if type(self.pieces) is bytes:
                pieces.append(self.pieces)
                self.pieces = pieces
        if self.pieces is None:
            self.pieces = piece
            self.offset = offset
        else:
            (<list>self.pieces).append(piece)
        self.queued += PyBytes_GET_SIZE(piece) - offset
        return NoResult.OK

    cdef int fill_vector(self, iovec *vector, size_t *offered) except -1:
        """Describe the beginning of the queue."""
        cdef Py_ssize_t skip = self.offset
        cdef bint alone = type(self.pieces) is bytes
        cdef list pieces = None if alone else <list>self.pieces
        cdef int n = 1 if alone else <int>min(len(pieces) - self.first, <Py_ssize_t>MAX_PIECES)
        cdef int i
        cdef bytes piece
        offered[0] = 0
        for i in range(n):
            piece = <bytes>self.pieces if alone else <bytes>pieces[self.first + i]
            vector[i].iov_base = PyBytes_AS_STRING(piece) + skip
            vector[i].iov_len = PyBytes_GET_SIZE(piece) - skip
            if vector[i].iov_len >= MAX_OFFER - offered[0]:
                vector[i].iov_len = MAX_OFFER - offered[0]
                offered[0] = MAX_OFFER
                return i + 1
            offered[0] += vector[i].iov_len
            skip = 0
        return n

    cdef NoResult take_sent(self, Py_ssize_t sent) except NoResult.EXC:
        """Take what was sent off the queue."""
        cdef list pieces
        cdef Py_ssize_t size
        if sent == self.queued:
            return self.drop_queue()
        self.queued -= sent
        if type(self.pieces) is bytes:
            self.offset += sent
            return NoResult.OK
        pieces = <list>self.pieces
        sent += self.offset
        while self.first < len(pieces):
            size = PyBytes_GET_SIZE(pieces[self.first])
            if sent < size:
                break
            sent -= size
            pieces[self.first] = b""
            self.first += 1
        self.offset = sent
        if self.first >= MANY_PIECES and 2 * self.first > len(pieces):
            del pieces[:self.first]
            self.first = 0
        return NoResult.OK

    cdef NoResult drop_queue(self) except NoResult.EXC:
        self.pieces = None
        self.queued = self.first = self.offset = 0
        return NoResult.OK

    # ---- What the transport does for it

    cdef ssize_t send_memory(self, const char *start, size_t size) except -2:
        return -1

    cdef ssize_t send_vector(self, iovec *vector, int count) noexcept:
        return -1

    cdef NoResult wait_writable(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult write_failed(self, object exception) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult finish_in_context(self, object failure) except NoResult.EXC:
        raise NotImplementedError

    # ---- What is asked and told, once that has left which waits

    def get_write_buffer_size(self):
        """The number of bytes that were written and have not been sent."""
        self.flush()
        return self.queued

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed."""
        self.flush()
        Flow.set_write_buffer_limits(self, high, low)

    # asyncio's private names, which its own sendfile and libraries read.

    @property
    def _conn_lost(self):
        return self.conn_lost

    @property
    def _buffer(self):
        if self.pieces is None or self.waiting:
            return []
        pieces = [self.pieces] if type(self.pieces) is bytes else self.pieces[self.first:]
        if self.offset:
            pieces[0] = pieces[0][self.offset:]
        return pieces


cloop_seal(<PyTypeObject *>Sender)


cdef NoResult send_at_end(object owner) except NoResult.EXC:
    """The turn has ended."""
    cdef Sender self = <Sender>owner
    cdef bytes piece
    cdef ssize_t sent
    self.in_at_end = False
    if not self.waiting:
        return NoResult.OK
    if self.conn_lost or not self.queued:
        self.waiting = False
        return NoResult.OK
    if type(self.pieces) is not bytes:
        return self.finish_in_context(None)
    # The usual case: nobody has to be told of anything.
    self.waiting = False
    piece = <bytes>self.pieces
    sent = self.send_memory(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    # While a pipe gave up the GIL another thread may have dropped it, or queued more.
    if sent == self.queued:
        return self.drop_queue()
    return self.sent_late(sent)
