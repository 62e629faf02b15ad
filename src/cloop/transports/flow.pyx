"""Write flow control; flow.pxd is the manual.

Derived from CPython's asyncio/transports.py (PSF License Agreement): defaults, messages, timing.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyTypeObject
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.string cimport memcpy

from cloop._c.pyapi cimport cloop_seal
from cloop.core.shared cimport code_may_run

cdef enum:
    DEFAULT_HIGH = 65536
    DEFAULT_LOW = 16384  # a quarter of it
    # Gone pieces are taken off the queue's list in batches of at least this many.
    MANY_PIECES = 256


cdef tuple water_marks(object high, object low, Py_ssize_t default_high):
    if high is None:
        high = default_high if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return int(min(high, PY_SSIZE_T_MAX)), int(min(low, PY_SSIZE_T_MAX))


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


cdef NoResult call_protocol(Reactor loop, object protocol, str method, object transport,
                            object shown) except NoResult.EXC:
    code_may_run()
    try:
        getattr(protocol, method)()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        loop.call_exception_handler({
            "message": f"protocol.{method}() failed",
            "exception": exc,
            "transport": transport,
            "protocol": shown,
        })
    return NoResult.OK


cdef class Flow:
    """The write side's water marks."""

    def __cinit__(self, *args, **kwargs):
        self.high = DEFAULT_HIGH
        self.low = DEFAULT_LOW

    def get_write_buffer_size(self):
        """The number of bytes that were written and have not been sent."""
        return self.queued

    def get_write_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.low, self.high)

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed.

        `high` is four times `low` by default, `low` a quarter of `high`, 64 KiB and 16 KiB where
        neither is given. Raises ValueError unless high >= low >= 0.
        """
        self.high, self.low = water_marks(high, low, DEFAULT_HIGH)
        self.may_pause()

    cdef NoResult pause_protocol(self) except NoResult.EXC:
        self.protocol_paused = True
        return self.tell_protocol("pause_writing")

    cdef NoResult resume_protocol(self) except NoResult.EXC:
        self.protocol_paused = False
        return self.tell_protocol("resume_writing")

    cdef NoResult tell_protocol(self, str method) except NoResult.EXC:
        return call_protocol(self.loop, self.protocol, method, self, self.protocol)

    # ---- The queue

    cdef NoResult queue(self, bytes piece, Py_ssize_t offset) except NoResult.EXC:
        """Queue a piece, of which `offset` bytes are sent; only the first may have such."""
        cdef list pieces
        code_may_run()
        if self.pieces is None:
            pieces = []
            # To make one may run code that writes: what that has queued stays.
            if self.pieces is None:
                self.pieces = pieces
        if not PyBytes_CheckExact(piece):
            # One whose end runs no code of anybody's, in the middle of what is done with the queue.
            piece = PyBytes_FromStringAndSize(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        if offset:
            self.offset = offset
        self.pieces.append(piece)
        self.queued += PyBytes_GET_SIZE(piece) - offset
        return NoResult.OK

    cdef int gather(self, iovec *vector, size_t *offered) except -1:
        """Describe the beginning of the queue."""
        cdef int n = <int>min(len(self.pieces) - self.first, <Py_ssize_t>MAX_PIECES)
        cdef int i
        cdef Py_ssize_t skip = self.offset
        cdef bytes piece
        offered[0] = 0
        for i in range(n):
            piece = <bytes>self.pieces[self.first + i]
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
        cdef list pieces = self.pieces
        cdef Py_ssize_t size
        if sent == self.queued:
            return self.drop_queue()
        self.queued -= sent
        sent += self.offset
        while self.first < len(pieces):
            size = PyBytes_GET_SIZE(pieces[self.first])
            if sent < size:
                break
            sent -= size
            pieces[self.first] = b""
            self.first += 1
        self.offset = sent
        if self.first == len(pieces):
            pieces.clear()
            self.first = 0
        elif self.first >= MANY_PIECES and 2 * self.first > len(pieces):
            del pieces[:self.first]
            self.first = 0
        return NoResult.OK

    cdef NoResult drop_queue(self) except NoResult.EXC:
        if self.pieces is not None:
            self.pieces.clear()
        self.queued = self.first = self.offset = 0
        return NoResult.OK

    # asyncio's private names, which its own sendfile and libraries read.

    @property
    def _loop(self):
        return self.loop

    @property
    def _protocol(self):
        return self.protocol

    @property
    def _protocol_paused(self):
        return self.protocol_paused

    @property
    def _high_water(self):
        return self.high

    @property
    def _low_water(self):
        return self.low

    @property
    def _buffer(self):
        pieces = [] if self.pieces is None else self.pieces[self.first:]
        if self.offset:
            pieces[0] = pieces[0][self.offset:]
        return pieces


cloop_seal(<PyTypeObject *>Flow)
