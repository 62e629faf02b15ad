"""Pipe transports; pipe.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/unix_events.py (PSF License
Agreement).
"""

import _io
import os
import stat
import sys
from asyncio import constants, unix_events
from asyncio.log import logger

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from libc.errno cimport EIO
from posix.unistd cimport read

from cloop._c.pyapi cimport cloop_hide_new, cloop_seal
from cloop._c.socket cimport MSG_DONTWAIT, cloop_pipe_size, cloop_send_vector, iovec, recv, writev
from cloop.core.reactor cimport Reactor
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.base cimport run_connection_lost
from cloop.transports.readiness cimport would_block
from cloop.transports.intake cimport Intake
from cloop.transports.scratch cimport LEVELS, bytes_memory, capacity_of, scratch_of
from cloop.transports.sender cimport MAX_PIECES, Sender
from cloop.transports.sink cimport MOST, BytesSink, Sink
from cloop.transports.sockets cimport is_socket

cdef enum:
    # What a pipe of Linux holds, unless somebody has set another size.
    USUAL_SIZE = 65536
    # What it grows to: as much as one read takes.
    GROWN_SIZE = MOST
    # Found full so often, it grows.
    TIMES_FULL = 3
    # Of one loop at once: a user may have 64 MiB in pipes (/proc/sys/fs/pipe-user-pages-soft), beyond
    # which each new pipe holds 8 KiB only.
    MOST_GROWN = 16

cdef str READ_ERROR = "Fatal read error on pipe transport"
cdef object FileIO = _io.FileIO
cdef object TextIOWrapper = _io.TextIOWrapper
cdef tuple buffered_files = (_io.BufferedReader, _io.BufferedWriter, _io.BufferedRandom)
cdef object asyncio_read_transport = unix_events._UnixReadPipeTransport
cdef object asyncio_write_transport = unix_events._UnixWritePipeTransport

# Watching the writing end for reading tells when the reader has gone; but not everywhere.
cdef bint no_news_of_fifos = sys.platform.startswith("aix")
# There the writing end of a FIFO with a name is readable whenever data is in it, and silent when
# the reader closes. asyncio takes account of it in late releases of 3.14 and from 3.15 on; without
# it each message would end the connection:
# https://github.com/python/cpython/issues/145030
cdef bint false_news_of_named_fifos = sys.platform in (
    "darwin", "ios", "tvos", "watchos", "sunos5")


cdef object holder_of(object pipe):
    """The object in whose struct the descriptor's number is, or None.

    It has to be the one that closes it: then the number there is -1 once it is closed.
    """
    if isinstance(pipe, TextIOWrapper):
        pipe = pipe.buffer
    if isinstance(pipe, buffered_files):
        pipe = pipe.raw
    if is_socket(pipe) or (PyObject_TypeCheck(pipe, <PyTypeObject *>FileIO) and pipe.closefd):
        return pipe
    return None


def made_for_child(transport, bint may_grow):
    """We have made it, for a child: nobody else here writes to it. If it `may_grow` we may resize it."""
    cdef PipeTransport pipe
    if isinstance(transport, PipeTransport):
        pipe = <PipeTransport>transport
        pipe.never_waits = False
        pipe.may_grow = (may_grow and pipe.kind == FIFO
                         and cloop_pipe_size(pipe.live_fd(), 0) == USUAL_SIZE)


def receive_into(transport, Intake intake or None):
    """Have an intake take what comes instead of the protocol, until that is replaced; None for none.

    Returns whether that is so.
    """
    cdef ReadPipeTransport pipe
    if type(transport) is not ReadPipeTransport or (<ReadPipeTransport>transport).kind != FIFO:
        return False
    pipe = <ReadPipeTransport>transport
    if intake is None:
        pipe.sink = BytesSink()
    else:
        pipe.sink = intake
        if pipe.may_grow:
            # No more memory than can be filled.
            intake.most = USUAL_SIZE
    return True


@cython.final
cdef class Absent:
    """Hides an inherited method that asyncio's class does not have."""

    cdef str name

    def __cinit__(self, str name not None):
        self.name = name

    def __get__(self, instance, owner):
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")


cdef class GrownPipes:
    """How many pipes of a loop are larger by our doing."""

    def __cinit__(self, Reactor loop not None):
        pass


cdef class PipeTransport(BaseTransport):
    """What both directions have."""

    def __cinit__(self, *args, **kwargs):
        if type(self) is PipeTransport:
            raise TypeError("PipeTransport has no use by itself")

    cdef NoResult take_socket(self, Reactor loop, object pipe) except NoResult.EXC:
        cdef int fd = pipe.fileno()
        self.scratch = scratch_of(loop)
        self.never_waits = True
        status = os.fstat(fd)
        mode = status.st_mode
        if stat.S_ISFIFO(mode):
            self.kind = FIFO
            self.named = status.st_nlink > 0
        elif stat.S_ISSOCK(mode):
            self.kind = SOCKET
        elif stat.S_ISCHR(mode):
            self.kind = DEVICE
        else:
            raise self.refusal()
        os.set_blocking(fd, False)
        self.fd = fd
        holder = holder_of(pipe)
        if holder is not None:
            self.sock = holder
            self.plain = True
        if self.live_fd() != fd:
            self.sock = pipe
            self.plain = False
        self.pipe = pipe
        return NoResult.OK

    cdef object refusal(self):
        raise NotImplementedError

    cdef list describe(self):
        raise NotImplementedError

    cdef NoResult name_ends(self, object extra) except NoResult.EXC:
        self.extra = {} if extra is None else dict(extra)
        self.extra["pipe"] = self.pipe
        return NoResult.OK

    cdef NoResult found_full(self, bint full) except NoResult.EXC:
        self.times_full = self.times_full + 1 if full else 0
        if self.times_full < TIMES_FULL:
            return NoResult.OK
        self.may_grow = False
        cdef GrownPipes pipes = <GrownPipes>self.loop.one_of(GrownPipes)
        if pipes.count < MOST_GROWN and cloop_pipe_size(self.live_fd(), GROWN_SIZE) >= 0:
            pipes.count += 1
            self.account = pipes
        return NoResult.OK

    # ---- The end

    cdef NoResult force_close(self, object exception) except NoResult.EXC:
        self.flush()
        if self.losing:
            return NoResult.OK
        self.closing = True
        self.drop_queue()
        self.unwatch(WRITE)
        self.unwatch(READ)
        return self.schedule_loss(exception)

    cdef NoResult schedule_loss(self, object exception) except NoResult.EXC:
        """Unlike the base's this leaves conn_lost alone: it counts failed and vain writes only."""
        if self.losing:
            return NoResult.OK
        self.lost_reason = exception
        self.later(run_connection_lost)
        self.losing = True
        return NoResult.OK

    cdef NoResult give_up(self) except NoResult.EXC:
        self.closing = self.losing = True
        return self.drop_queue()

    cdef NoResult close_file(self) except NoResult.EXC:
        cdef object pipe = self.pipe
        self.pipe = self.sock = None
        if self.account is not None:
            self.account.count -= 1
            self.account = None
        if pipe is not None:
            pipe.close()
        return NoResult.OK

    # ---- What it is

    def __repr__(self):
        info = [type(self).__name__]
        if self.pipe is None:
            info.append("closed")
        elif self.closing:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self.pipe is None:
            info.append("closed")
        elif self.loop is None or self.loop.closed:
            info.append("open")
        else:
            info += self.describe()
        return f"<{' '.join(info)}>"

    # asyncio's private names.

    @property
    def _pipe(self):
        return self.pipe

    @_pipe.setter
    def _pipe(self, pipe):
        # Set to None by who has taken the file back.
        self.flush()
        self.pipe = self.sock = pipe
        self.plain = False

    @property
    def _fileno(self):
        return self.fd


cdef class ReadPipeTransport(PipeTransport):
    """The reading end."""

    max_size = 262144
    abort = Absent("abort")
    get_write_buffer_size = Absent("get_write_buffer_size")
    get_write_buffer_limits = Absent("get_write_buffer_limits")
    set_write_buffer_limits = Absent("set_write_buffer_limits")

    def __cinit__(self, Reactor loop not None, pipe, protocol, waiter=None, extra=None):
        self.set_up(loop, pipe, protocol, waiter, extra, None, None)

    @property
    def __class__(self):
        return asyncio_read_transport

    cdef object refusal(self):
        return ValueError("Pipe transport is for pipes/sockets only.")

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.protocol = protocol
        self.sink = BytesSink()
        return NoResult.OK

    cdef ssize_t read_some(self, char *memory, size_t size) noexcept:
        cdef int fd = self.live_fd()
        cdef ssize_t n
        if self.kind == SOCKET:
            return recv(fd, memory, size, MSG_DONTWAIT)
        if self.kind == FIFO:
            # The kernel has just said that there is something.
            return read(fd, memory, size)
        with nogil:
            n = read(fd, memory, size)
        return n

    cdef NoResult on_readable(self) except NoResult.EXC:
        # Both may be replaced while it runs.
        cdef Sink sink = self.sink
        cdef object protocol = self.protocol
        cdef size_t size = 0
        cdef char *memory
        cdef ssize_t n
        if self.kind == DEVICE:
            return self.read_device()
        memory = sink.room(protocol, self.scratch, &size)
        n = self.read_some(memory, size)
        if n <= 0:
            sink.nothing_came(self.scratch, memory)
            return self.read_eof() if n == 0 else self.read_failed(READ_ERROR)
        if self.may_grow:
            self.found_full(n >= USUAL_SIZE)
            if self.account is not None and type(sink) is Intake:
                (<Intake>sink).most = GROWN_SIZE
        # What it raises is reported and the transport lives on.
        return sink.received(protocol, self.scratch, memory, n)

    cdef NoResult read_device(self) except NoResult.EXC:
        """The same, into memory of its own: the call gives up the GIL, and others use the loop's."""
        cdef PyObject *own = self.scratch.take(LEVELS)
        cdef ssize_t n = self.read_some(bytes_memory(own), capacity_of(LEVELS))
        cdef bytes data = None
        try:
            if n > 0:
                data = PyBytes_FromStringAndSize(bytes_memory(own), n)
        finally:
            self.scratch.give(LEVELS, own)
        if n <= 0:
            return self.read_eof() if n == 0 else self.read_failed(READ_ERROR)
        return self.sink.received_bytes(self.protocol, self.scratch, data)

    cdef NoResult read_eof(self) except NoResult.EXC:
        if self.loop.debug:
            logger.info("%r was closed by peer", self)
        self.closing = True
        self.unwatch(READ)
        # Whatever it returns or raises, connection_lost follows.
        self.loop.call_soon(self.protocol.eof_received, context=self.context)
        return self.schedule_loss(None)

    cdef bint is_expected(self, object exception) except -1:
        # A terminal whose other side is closed.
        return isinstance(exception, OSError) and exception.errno == EIO

    cdef NoResult close_gently(self) except NoResult.EXC:
        return NoResult.OK if self.closing else self.force_close(None)

    cdef list describe(self):
        return ["polling" if self.watched & READ and not self.paused else "idle"]


cdef class WritePipeTransport(PipeTransport):
    """The writing end."""

    def __cinit__(self, Reactor loop not None, pipe, protocol, waiter=None, extra=None):
        self.set_up(loop, pipe, protocol, waiter, extra, None, None)

    @property
    def __class__(self):
        return asyncio_write_transport

    cdef object refusal(self):
        return ValueError("Pipe transport is only for pipes, sockets and character devices")

    cdef NoResult name_ends(self, object extra) except NoResult.EXC:
        # Where it would tell nothing of the reader, or where data may come in, nothing is watched
        # for reading.
        self.paused = self.kind == DEVICE or (
            self.kind == FIFO
            and (no_news_of_fifos or (false_news_of_named_fifos and self.named)))
        return PipeTransport.name_ends(self, extra)

    cdef NoResult on_readable(self) except NoResult.EXC:
        """The reader has gone."""
        self.flush()
        if self.loop.debug:
            logger.info("%r was closed by peer", self)
        return self.force_close(BrokenPipeError() if self.queued else None)

    def is_closing(self):
        """Whether the transport is closed or about to be."""
        # A reader that has gone is found out by the write.
        self.flush()
        return self.closing

    # asyncio's class has these from Transport, which implements neither.

    def is_reading(self):
        """Raises NotImplementedError: nothing is read."""
        raise NotImplementedError

    def pause_reading(self):
        """Raises NotImplementedError: nothing is read."""
        raise NotImplementedError

    def resume_reading(self):
        """Raises NotImplementedError: nothing is read."""
        raise NotImplementedError

    # ---- Writing

    @cython.always_allow_keywords(True)
    def write(self, data):
        """Write bytes, a bytearray or a memoryview; what the pipe does not take now is queued."""
        cdef Py_buffer view
        cdef bint viewed = False
        if isinstance(data, bytes):
            self.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            return
        if not isinstance(data, (bytearray, memoryview)):
            raise AssertionError(repr(data))
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            viewed = True
        except BufferError as exc:
            self.flush()
            self.conn_lost += 1
            self.fatal_error(exc, "Fatal write error on pipe transport")
        if viewed:
            try:
                self.put(None, <const char *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)

    @cython.always_allow_keywords(True)
    def writelines(self, list_of_data):
        """Write several bytes-like objects as one."""
        self.write(b"".join(list_of_data))

    cdef NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC:
        if size and self.closing:
            return self.count_lost_write()
        return Sender.put(self, whole, start, size)

    cdef ssize_t send_memory(self, const char *start, size_t size) except -2:
        cdef iovec vector
        vector.iov_base = <char *>start
        vector.iov_len = size
        return self.send_vector(&vector, 1)

    cdef ssize_t send_vector(self, iovec *vector, int count) noexcept:
        cdef int fd = self.live_fd()
        cdef ssize_t n
        if self.kind == SOCKET:
            return cloop_send_vector(fd, vector, count, MSG_DONTWAIT)
        with nogil:
            n = writev(fd, vector, count)
        return n

    cdef Py_ssize_t send_batch(self, size_t *offered) except -2:
        """As the Sender's, without the loop's memory, which other threads would find in use."""
        cdef iovec vector[MAX_PIECES]
        cdef int n = self.fill_vector(vector, offered)
        # The call may give up the GIL, and another thread then abort(): the pieces stay for its time.
        _kept = self.pieces if type(self.pieces) is bytes else self.pieces[self.first:self.first + n]
        cdef ssize_t sent = self.send_vector(vector, n)
        if sent < 0 and not would_block():
            PyErr_SetFromErrno(OSError)
        return sent if self.queued else -1

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        if self.conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
        self.conn_lost += 1
        return NoResult.OK

    cdef NoResult on_writable(self) except NoResult.EXC:
        if self.queued:
            try:
                self.send_queued()
            except OSError as exc:
                self.write_failed(exc)
            if self.losing:
                return NoResult.OK
            if self.may_grow:
                self.found_full(self.queued >= USUAL_SIZE)
            if self.queued:
                # The protocol is resumed only when nothing is left.
                return NoResult.OK
        self.unwatch(WRITE)
        # May write, close or abort.
        self.maybe_resume()
        if self.closing and not self.queued and not self.losing:
            self.losing = True
            return self.lose()
        return NoResult.OK

    cdef NoResult write_failed(self, object exception) except NoResult.EXC:
        self.conn_lost += 1
        self.drop_queue()
        return self.fatal_error(exception, "Fatal write error on pipe transport")

    # ---- The end

    def can_write_eof(self):
        """True: closing the pipe is its end of file."""
        return True

    def write_eof(self):
        """Close the pipe once everything is written; the same as close()."""
        self.close_gently()

    cdef NoResult close_gently(self) except NoResult.EXC:
        self.flush()
        if self.closing:
            return NoResult.OK
        self.closing = True
        if self.queued:
            # The reader is watched on: it may go before it has taken everything.
            return NoResult.OK
        self.unwatch(READ)
        return self.schedule_loss(None)

    cdef list describe(self):
        return ["polling" if self.watched & WRITE else "idle", f"bufsize={self.refused()}"]


cloop_seal(<PyTypeObject *>PipeTransport)
cloop_hide_new(<PyTypeObject *>ReadPipeTransport)
cloop_hide_new(<PyTypeObject *>WritePipeTransport)
