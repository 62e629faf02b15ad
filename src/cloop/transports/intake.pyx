"""What a StreamReader has received; intake.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/streams.py (PSF License Agreement).
"""

import sys
import weakref
from asyncio.exceptions import IncompleteReadError, LimitOverrunError

cimport libc.errno as c_errno
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.pyport cimport PY_SSIZE_T_MAX
from libc.string cimport memchr, memcpy, memmove

from cloop._c.pyapi cimport CLOOP_DEBUG, CLOOP_HAS_GIL, Py_INCREF, Py_REFCNT, Py_XDECREF
from cloop.aio.future cimport FINISHED, PENDING, new_future
from cloop.core.counts cimport register, register_total
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.scratch cimport bytes_memory, copy_out, new_bytes, scratch_of, set_size, stolen
from cloop.transports.sink cimport MOST

cdef extern from *:
    """
    static inline int cloop_is_dead(PyObject *ref) {
    #if PY_VERSION_HEX >= 0x030E0000
      return PyWeakref_IsDead(ref);
    #elif PY_VERSION_HEX >= 0x030D0000
      PyObject *referent;
      int alive = PyWeakref_GetRef(ref, &referent);
      Py_XDECREF(referent);
      return alive < 0 ? -1 : !alive;
    #else
      return PyWeakref_GET_OBJECT(ref) == Py_None;
    #endif
    }
    """
    bint is_dead "cloop_is_dead"(object ref) except -1
    # Sets the pointer to NULL where it fails.
    int _PyBytes_Resize(PyObject **data, Py_ssize_t size) except -1

cdef extern from "<string.h>":
    # Of GNU, the BSDs and macOS.
    void *memmem(const void *in_, size_t size, const void *what, size_t what_size) nogil

cdef enum:
    # From this size on data is received straight into the block; less is copied there, for a block that fits.
    LARGE = 16384

cdef long live = 0
register("intakes", &live)
# Bytes that were looked at for a separator; and copied, or moved, as far as we know.
cdef long searched = 0, copied_bytes = 0
register_total("searched", &searched)
register_total("copied", &copied_bytes)

cdef bint takes_several_separators = sys.version_info >= (3, 13)
cdef str NOT_FOUND = "Separator is not found, and chunk exceed the limit"
cdef str TOO_LONG = "Separator is found, but chunk is longer than limit"


cdef inline void count_copied(Py_ssize_t size) noexcept:
    global copied_bytes
    if CLOOP_DEBUG:
        copied_bytes += size


cdef Py_ssize_t floor_of(object limit) except? -2:
    """What sizes are compared with instead of a limit, which may be a float."""
    if isinstance(limit, float):
        return PY_SSIZE_T_MAX if limit >= PY_SSIZE_T_MAX else int(limit)
    return clamped(limit, NULL)


cdef list sorted_separators(object separator):
    cdef list separators = [separator]
    if takes_several_separators and isinstance(separator, tuple):
        separators = sorted(separator, key=len)
        if not separators:
            raise ValueError("Separator should contain at least one element")
    if len(separators[0]) == 0:
        raise ValueError("Separator should be at least one-byte string")
    return separators


cdef class Intake(Sink):
    """What a StreamReader has received and not read yet."""

    def __cinit__(self, limit, loop):
        global live
        self.most = MOST
        self.need = 1
        self.set_limit(limit)
        self.set_loop(loop)
        if CLOOP_DEBUG:
            live += 1

    def __dealloc__(self):
        global live
        Py_XDECREF(self.block)
        if CLOOP_DEBUG:
            live -= 1

    def belong(self, reader):
        """Keep nothing once the reader is gone."""
        self.owner = weakref.ref(reader)

    cdef bint is_orphan(self) except -1:
        return self.owner is not None and is_dead(self.owner)

    def divert(self, owner=None, str method="data_received"):
        """What a program has put in the place of a method is to be called from now on, also by drain().

        What comes goes to that method of the owner's, if there is one. The protocol's stands before
        the reader's.
        """
        self.noticed |= REPLACED
        if owner is not None and (self.detour is None or method == "data_received"):
            self.detour = weakref.ref(owner)
            self.detour_method = method

    cdef NoResult pass_on(self, bytes data) except NoResult.EXC:
        owner = self.detour()
        if owner is not None:
            getattr(owner, self.detour_method)(data)
        return NoResult.OK

    cdef NoResult set_loop(self, object loop) except NoResult.EXC:
        self.loop = loop
        self.reactor = <Reactor>loop if isinstance(loop, Reactor) else None
        self.scratch = None if self.reactor is None else scratch_of(self.reactor)
        return NoResult.OK

    cdef NoResult set_limit(self, object limit) except NoResult.EXC:
        self.low = floor_of(limit)
        self.high = floor_of(2 * limit)
        self.limit = limit
        return NoResult.OK

    # ---- The block

    cdef bint settle(self) except -1:
        if self.shown is None:
            return True
        if Py_REFCNT(<PyObject *>self.shown) != 1 or not CLOOP_HAS_GIL:
            return False
        cdef bytearray shown = self.shown
        self.shown = None
        if PyByteArray_GET_SIZE(shown):
            self.append(PyByteArray_AS_STRING(shown), PyByteArray_GET_SIZE(shown))
        return True

    cdef bint open_block(self) except -1:
        return self.detour is None and self.settle()

    cdef inline Py_ssize_t size(self) noexcept:
        if self.shown is not None:
            return PyByteArray_GET_SIZE(self.shown)
        return self.end - self.start

    cdef inline const char *content(self) noexcept:
        if self.shown is not None:
            return PyByteArray_AS_STRING(self.shown)
        return bytes_memory(self.block) + self.start

    cdef char *reserve(self, Py_ssize_t room) except NULL:
        cdef Py_ssize_t size = self.end - self.start
        cdef Py_ssize_t capacity = size + room
        cdef bint own = self.block != NULL and Py_REFCNT(self.block) == 1 and CLOOP_HAS_GIL
        if own and self.end + room <= self.capacity:
            return bytes_memory(self.block) + self.end
        if own and capacity <= self.capacity and size <= self.start:
            # Nothing is moved more often than it is read past.
            count_copied(size)
            memmove(bytes_memory(self.block), bytes_memory(self.block) + self.start, size)
            # One that was fed may know its hash.
            set_size(self.block, self.capacity)
            self.start = 0
            self.end = size
            return bytes_memory(self.block) + size
        if size:
            # Twice as much, so that what there is is moved a few times only; but no more than what is
            # waited for.
            capacity = max(capacity, min(2 * size, self.need) if self.need > 1 else 2 * size)
        self.move(capacity)
        return bytes_memory(self.block) + self.end

    cdef NoResult move(self, Py_ssize_t capacity) except NoResult.EXC:
        """What is unread is in a block of this capacity, of our own."""
        cdef PyObject *block
        cdef Py_ssize_t size = self.end - self.start
        count_copied(size)
        if self.start == 0 and self.block != NULL and Py_REFCNT(self.block) == 1 and CLOOP_HAS_GIL:
            self.end = 0
            _PyBytes_Resize(&self.block, capacity)
        else:
            block = new_bytes(NULL, capacity)
            if size:
                memcpy(bytes_memory(block), bytes_memory(self.block) + self.start, size)
            Py_XDECREF(self.block)
            self.block = block
            self.start = 0
        self.capacity = capacity
        self.end = size
        return NoResult.OK

    cdef NoResult append(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef Py_ssize_t before
        count_copied(size)
        if not self.settle():
            before = PyByteArray_GET_SIZE(self.shown)
            PyByteArray_Resize(self.shown, before + size)
            memcpy(PyByteArray_AS_STRING(self.shown) + before, start, size)
        elif self.block == NULL:
            self.capacity = size
            if self.scratch is None:
                self.block = new_bytes(start, size)
            else:
                self.block = self.scratch.kept_copy(start, &self.capacity)
            self.end = size
        else:
            memcpy(self.reserve(size), start, size)
            self.end += size
        return NoResult.OK

    cdef NoResult drop(self) noexcept:
        """There is nothing unread in the block."""
        Py_XDECREF(self.block)
        self.block = NULL
        self.capacity = self.start = self.end = self.scanned = 0
        return NoResult.OK

    cdef bytes cut(self, Py_ssize_t size):
        cdef bytes data
        self.scanned = 0
        if size == 0:
            return b""
        if self.start or size < self.end:
            count_copied(size)
        if not self.settle():
            data = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(self.shown), size)
            del self.shown[:size]
            return data
        if self.start == 0 and size == self.end:
            return self.cut_block()
        data = PyBytes_FromStringAndSize(bytes_memory(self.block) + self.start, size)
        self.start += size
        if self.start == self.end:
            self.drop()
        return data

    cdef bytes cut_block(self):
        """All of the block, as it is."""
        cdef PyObject *block = self.block
        cdef Py_ssize_t size = self.end
        cdef Py_ssize_t capacity = self.capacity
        self.block = NULL
        self.drop()
        if capacity - size > size >> 3:
            # To be kept for long, perhaps.
            count_copied(size)
            _PyBytes_Resize(&block, size)
            return <bytes>stolen(block)
        if capacity > size:
            set_size(block, size)
        if self.scratch is not None:
            self.scratch.lend(block, capacity)
        return <bytes>stolen(block)

    # ---- What comes

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL:
        cdef Py_ssize_t room = self.last
        cdef Py_ssize_t wanted = self.wanted
        if size[0]:
            return self.reserve(size[0]) if self.open_block() else NULL
        if self.need > LARGE:
            room = self.most
            wanted = max(self.need - self.size(), LARGE)
        size[0] = self.most
        if wanted >= LARGE:
            # What a reader takes whole it gets as it is.
            size[0] = min(wanted, <Py_ssize_t>self.most)
        if room < LARGE or not self.open_block() or self.is_orphan():
            use_memory()
            return scratch.memory
        size[0] = min(<Py_ssize_t>size[0], room)
        return self.reserve(size[0])

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        if self.detour is not None:
            return self.pass_on(copy_out(start, size))
        if self.eof or self.is_orphan():
            leave_memory()
            if self.eof:
                raise AssertionError("feed_data after feed_eof")
            return self.drop()
        self.guess(size)
        if self.block != NULL and start == bytes_memory(self.block) + self.end:
            self.end += size
        else:
            try:
                self.append(start, size)
            finally:
                leave_memory()
        return self.arrived()

    cdef void nothing_came(self, Scratch scratch, const char *start) noexcept:
        cdef int error = c_errno.errno
        leave_memory()
        if self.start == self.end:
            # Nobody is to have memory reserved who waits for something to come.
            self.drop()
        c_errno.errno = error

    cdef void guess(self, Py_ssize_t size) noexcept:
        """How much may come next."""
        cdef Py_ssize_t room = LARGE
        if size >= self.last:
            # More than a power of two, and less than twice that.
            while room <= size and room < MOST:
                room *= 2
            self.last = room if size >= LARGE else 0
        elif 4 * size < self.last:
            self.last = self.last >> 1 if self.last > LARGE else 0

    cdef NoResult arrived(self) except NoResult.EXC:
        self.wake()
        return self.maybe_pause()

    cdef NoResult wake(self) except NoResult.EXC:
        cdef object waiter = self.waiter
        if waiter is None or (self.size() < self.need and not self.eof):
            return NoResult.OK
        self.waiter = None
        if type(waiter) is Future and (<Future>waiter).state == PENDING:
            return (<Future>waiter).finish(None)
        if not waiter.cancelled():
            waiter.set_result(None)
        return NoResult.OK

    cdef NoResult maybe_pause(self) except NoResult.EXC:
        if self.size() <= self.high or self.paused or self.transport is None:
            return NoResult.OK
        if self.waiter is not None:
            # It needs more.
            return NoResult.OK
        try:
            self.transport.pause_reading()
        except NotImplementedError:
            # It can't, so all there is is taken. It is not asked again.
            self.transport = None
        else:
            self.paused = True
        return NoResult.OK

    cdef inline NoResult maybe_resume(self) except NoResult.EXC:
        if self.paused and self.size() <= self.low:
            self.paused = False
            self.transport.resume_reading()
        return NoResult.OK

    def feed(self, data):
        """More has come: bytes-like, or what a bytearray can be extended by."""
        cdef Py_buffer view
        if self.eof:
            raise AssertionError("feed_data after feed_eof")
        if not data:
            return
        if type(data) is bytes and self.settle() and self.block == NULL:
            Py_INCREF(<PyObject *>data)
            self.block = <PyObject *>data
            self.capacity = self.end = PyBytes_GET_SIZE(data)
        else:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                more = bytearray()
                more.extend(data)
                data = more
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            try:
                self.append(<const char *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
        self.arrived()

    # ---- Reading: the data, or None where there is not enough and more may come

    cdef object read(self, Py_ssize_t most):
        """Up to `most` bytes."""
        if most == 0:
            return b""
        if self.size() == 0 and not self.eof:
            return None
        return self.take(most)

    cdef bytes take(self, Py_ssize_t most):
        """What there is, `most` bytes of it at most."""
        data = self.cut(min(self.size(), most))
        self.maybe_resume()
        return data

    cdef object readexactly(self, object n, Py_ssize_t wanted):
        """Exactly `n` bytes, which `wanted` is as a number of C's."""
        cdef Py_ssize_t size = self.size()
        if wanted == 0:
            return b""
        if size >= wanted:
            return self.take(wanted)
        if self.eof:
            raise IncompleteReadError(self.cut(size), n)
        return None

    cdef object readline(self):
        """Up to a newline; at the end of file what there is."""
        cdef Py_ssize_t size = self.size()
        cdef Py_ssize_t at
        if size > self.scanned or self.shown is not None:
            at = self.find(b"\n", 0 if self.shown is not None else self.scanned)
            if at > self.low:
                self.refuse_line(at, True)
            elif at >= 0:
                return self.take(at + 1)
            self.scanned = size
            if size > self.low:
                self.refuse_line(size, False)
        return self.cut(size) if self.eof else None

    cdef NoResult refuse_line(self, Py_ssize_t consumed, bint found) except NoResult.EXC:
        """Skip a line, or all of what may be the beginning of one, and say why."""
        try:
            raise LimitOverrunError(TOO_LONG if found else NOT_FOUND, consumed)
        except LimitOverrunError as exc:
            self.take(consumed + 1 if found else self.size())
            raise ValueError(exc.args[0])

    cdef object readuntil(self, list separators, Py_ssize_t *offset):
        """Up to the end of the first of the separators, which are sorted by length.

        None of them is looked for in the first `offset` bytes, which is moved on.
        """
        cdef Py_ssize_t size = self.size()
        cdef Py_ssize_t match_start = -1
        cdef Py_ssize_t match_end = -1
        cdef Py_ssize_t at
        if size - offset[0] >= len(separators[0]):
            for separator in separators:
                at = self.find(separator, offset[0])
                if at >= 0 and (match_end < 0 or at + len(separator) < match_end):
                    match_start = at
                    match_end = at + len(separator)
            if match_end < 0:
                # Of the longest one all but the last byte may be there.
                offset[0] = max(0, size + 1 - <Py_ssize_t>len(separators[len(separators) - 1]))
                if offset[0] > self.low:
                    raise LimitOverrunError(NOT_FOUND, offset[0])
            elif match_start > self.low:
                raise LimitOverrunError(TOO_LONG, match_start)
            else:
                return self.take(match_end)
        if self.eof:
            raise IncompleteReadError(self.cut(self.size()), None)  # the separators' code may have read
        return None

    cdef Py_ssize_t find(self, object separator, Py_ssize_t offset) except -2:
        """Where it begins, from `offset` on; -1 if it is not there."""
        cdef Py_buffer view
        if self.size() <= offset:
            return -1
        if type(separator) is bytes:
            return self.search(PyBytes_AS_STRING(separator), PyBytes_GET_SIZE(separator), offset)
        if not PyObject_CheckBuffer(separator):
            # The answer of a bytearray to what can't be found in one.
            return PyBytes_FromStringAndSize(self.content(), self.size()).find(separator, offset)
        PyObject_GetBuffer(separator, &view, PyBUF_SIMPLE)
        try:
            return self.search(<const char *>view.buf, view.len, offset)
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t search(self, const char *what, Py_ssize_t length, Py_ssize_t offset) noexcept:
        global searched
        cdef const char *content = self.content()
        cdef Py_ssize_t size = max(self.size() - offset, 0)
        cdef const char *found
        if length == 1:
            found = <const char *>memchr(content + offset, what[0], size)
        else:
            found = <const char *>memmem(content + offset, size, what, length)
        if CLOOP_DEBUG:
            searched += size if found == NULL else found - content - offset + length
        return -1 if found == NULL else found - content

    # ---- Waiting

    cdef object start_waiting(self, str method, Py_ssize_t need, Py_ssize_t wanted):
        """A future for the moment when there is more, or the end.

        Raises RuntimeError where somebody waits already; `method` is what it is called then.
        """
        cdef Future spare = self.spare
        if self.waiter is not None and not self.is_forgotten():
            raise RuntimeError(
                f"{method}() called while another coroutine is already waiting for incoming data")
        if self.eof:
            raise AssertionError("_wait_for_data after EOF")
        if self.exception is not None:
            # It was set after this reader had been woken with too little. Nothing will follow.
            raise self.exception
        # Else nothing would come.
        if self.paused:
            self.paused = False
            self.transport.resume_reading()
        self.spare = None
        if spare is not None and spare.loop is self.loop and spare.is_untouched():
            self.waiter = spare
        elif self.reactor is not None:
            self.waiter = new_future(self.reactor)
        else:
            self.waiter = self.loop.create_future()
        self.need = need
        self.wanted = wanted
        return self.waiter

    cdef bint is_forgotten(self) except -1:
        """Whether who waited is gone, with a task that nobody has run to its end."""
        return type(self.waiter) is Future and Py_REFCNT(<PyObject *>self.waiter) == 1 and CLOOP_HAS_GIL

    cdef NoResult keep(self, Future future) noexcept:
        """Keep a future, which nobody but the caller has any more, for the next wait."""
        if self.reactor is not None and future.state == FINISHED and not self.reactor.debug:
            future.state = PENDING
            future.result_ = None
            future.blocking = False
            self.spare = future
        return NoResult.OK

    cdef NoResult stop_waiting(self) noexcept:
        self.waiter = None
        self.need = 1
        self.wanted = 0
        return NoResult.OK

    # ---- asyncio's private names, for the reader that has them

    @property
    def _buffer(self):
        if self.shown is None:
            self.shown = bytearray(self.content()[:self.size()]) if self.block != NULL else bytearray()
            self.drop()
        return self.shown

    @_buffer.setter
    def _buffer(self, value):
        value = value if type(value) is bytearray else bytearray(value)
        self.drop()
        self.shown = value

    @property
    def _limit(self):
        return self.limit

    @_limit.setter
    def _limit(self, value):
        self.set_limit(value)

    @property
    def _loop(self):
        return self.loop

    @_loop.setter
    def _loop(self, value):
        self.set_loop(value)
