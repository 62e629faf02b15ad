"""Sinks; sink.pxd is the manual.

Derived in its rules and messages from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

cimport libc.errno as c_errno
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport Py_DECREF, cloop_seal
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.scratch cimport LEVELS, bytes_at, bytes_memory, capacity_of, copied, level_for, set_size

cdef extern from *:
    # NULL is looked at by hand: there is something to be given back first. Looked up for each call, as
    # asyncio does: protocols replace their own methods, and keeping one saves nothing.
    PyObject *call_method "PyObject_CallMethodOneArg"(object self, object name, object argument)

# So many messages are copied out after one that the protocol has kept. Some are kept now and then, as
# by a write that waits for the end of its turn.
cdef enum:
    TO_COPY = 64

cdef str READ_ERROR = "Fatal read error on socket transport"


cdef class Sink:
    """What takes the bytes that a transport receives."""

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL:
        raise NotImplementedError

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        leave_memory()
        raise NotImplementedError

    cdef void nothing_came(self, Scratch scratch, const char *start) noexcept:
        leave_memory()

    cdef NoResult received_bytes(self, object protocol, Scratch scratch, bytes data) except NoResult.EXC:
        return self.received(protocol, scratch, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef str blame(self):
        return "Fatal error: protocol.data_received() call failed."


cloop_seal(<PyTypeObject *>Sink)


cdef class BytesSink(Sink):
    """data_received() of a Protocol."""

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL:
        if size[0]:
            self.level = max(level_for(size[0]), 1)
        if self.level:
            size[0] = capacity_of(self.level)
            return bytes_memory(scratch.take(self.level))
        use_memory()
        size[0] = scratch.size
        return scratch.memory

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        cdef int level = self.level
        cdef PyObject *spare = NULL
        cdef PyObject *data
        if self.to_copy:
            self.to_copy -= 1
        else:
            self.guess(size)
        if level:
            spare = bytes_at(start)
            if 4 * size >= capacity_of(level) and not self.to_copy:
                set_size(spare, size)
                return self.deliver(protocol, scratch, spare, level)
        data = copied(start, size)
        leave_memory()
        if spare != NULL:
            scratch.give(level, spare)
        if data == NULL:
            raise MemoryError
        return self.deliver(protocol, scratch, data, 0)

    cdef void nothing_came(self, Scratch scratch, const char *start) noexcept:
        if self.level:
            scratch.give(self.level, bytes_at(start))
        else:
            leave_memory()

    cdef NoResult received_bytes(self, object protocol, Scratch scratch, bytes data) except NoResult.EXC:
        protocol.data_received(data)
        return NoResult.OK

    cdef void guess(self, Py_ssize_t n) noexcept:
        """Choose the level for what comes after a message of `n` bytes."""
        cdef Py_ssize_t size = capacity_of(self.level)
        if self.level == 0 or 4 * n < size:
            self.level = level_for(n)
        elif n == size and self.level < LEVELS:
            # There may be more: all the room next time.
            self.level = 0

    cdef NoResult deliver(self, object protocol, Scratch scratch, PyObject *data,
                          int level) except NoResult.EXC:
        """Give the protocol an object, and that back to where it is from."""
        cdef PyObject *result = call_method(protocol, "data_received", <object>data)
        if level == 0:
            Py_DECREF(data)
        elif not scratch.give(level, data):
            self.to_copy = TO_COPY
            self.level = 0
        if result == NULL:
            return NoResult.EXC
        Py_DECREF(result)
        return NoResult.OK


cdef class BufferSink(Sink):
    """The memory of a BufferedProtocol."""

    def __cinit__(self):
        self.hint = -1
        self.receiver = "recv_into() argument 1"

    def __dealloc__(self):
        self.release()

    cdef void release(self) noexcept:
        """Of the view, if there is one. May run code in Python; errno stays as it is."""
        cdef int error = c_errno.errno
        PyBuffer_Release(&self.view)
        c_errno.errno = error

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL:
        # Somebody's get_buffer() may have this transport read.
        self.release()
        self.at = "get_buffer"
        buffer = protocol.get_buffer(self.hint)
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        self.at = None
        self.view_buffer(buffer)
        size[0] = self.view.len
        return <char *>self.view.buf

    cdef NoResult view_buffer(self, object buffer) except NoResult.EXC:
        cdef bint viewed = False
        try:
            PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE)
            viewed = True
        except BaseException:
            pass
        if not viewed:
            # Whatever the buffer itself has said.
            raise TypeError(f"{self.receiver} must be read-write bytes-like object, not "
                            f"{type(buffer).__name__}")
        return NoResult.OK

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        self.release()
        self.at = "buffer_updated"
        protocol.buffer_updated(size)
        return NoResult.OK

    cdef void nothing_came(self, Scratch scratch, const char *start) noexcept:
        self.release()

    cdef str blame(self):
        return READ_ERROR if self.at is None else f"Fatal error: protocol.{self.at}() call failed."
