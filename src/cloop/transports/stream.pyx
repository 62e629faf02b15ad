"""StreamTransport; stream.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/selector_events.py (PSF License
Agreement).
"""

import sys
from asyncio import constants
from asyncio.log import logger
from asyncio.protocols import BufferedProtocol
from asyncio.streams import StreamReaderProtocol

cimport cython
cimport libc.errno as c_errno
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_SetFromErrno
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.string cimport memcpy

from cloop._c.pyapi cimport Py_INCREF, Py_XDECREF, cloop_hide_new
from cloop._c.socket cimport (
    MSG_NOSIGNAL,
    SHUT_WR,
    cloop_send_vector,
    iovec,
    recv,
    send,
    shutdown,
)
from cloop.core.ready cimport Ready, run_t
from cloop.core.reactor cimport Reactor
from cloop.core.shared cimport leave_memory, use_memory
from cloop.core.watch cimport WatchTable
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.base cimport run_readable
from cloop.transports.nodelay cimport set_no_delay
from cloop.transports.readiness cimport would_block
from cloop.transports.scratch cimport copied, scratch_of, stolen
from cloop.transports.sink cimport BytesSink

cdef enum:
    # A BufferedProtocol that fills its buffer is read again in the same event until it has got so
    # much, or was asked so often: then it is the turn of other connections.
    READ_BUDGET = 262144
    READ_TIMES = 16
    # A message is small if it is no longer.
    SMALL = 4096
    # What read_once() returns where recv() has failed, and where the sink has: then the connection has ended.
    FAILED = -1
    REFUSED = -2

# As it is, unless a program replaces it.
cdef object plain_data_received = StreamReaderProtocol.data_received
cdef object no_bytes = b""
cdef PyObject *nothing = <PyObject *>no_bytes
cdef bint old_writelines = sys.version_info < (3, 12)
# The texts changed in 3.14.
cdef str NOT_BYTES = (
    "data argument must be a bytes, bytearray, or memoryview object, not"
    if sys.version_info >= (3, 14) else "data argument must be a bytes-like object, not")


cdef Intake intake_of(object protocol):
    if (not isinstance(protocol, StreamReaderProtocol)
            or type(protocol).data_received is not plain_data_received
            or "data_received" in vars(protocol)):
        return None
    intake = getattr(protocol._stream_reader, "_intake", None)
    return <Intake>intake if isinstance(intake, Intake) else None


cdef Sink sink_of(object protocol):
    cdef Sink sink
    if isinstance(protocol, Sink):
        return <Sink>protocol
    sink = intake_of(protocol)
    if sink is not None:
        return sink
    return BufferSink() if isinstance(protocol, BufferedProtocol) else BytesSink()


cdef class StreamTransport(BaseTransport):
    """A transport over a connected stream socket."""

    max_size = 262144
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __cinit__(self, Reactor loop not None, sock, protocol, waiter=None, extra=None,
                  server=None, context=None, bint no_delay=False):
        self.scratch = scratch_of(loop)
        self.tcp = no_delay or set_no_delay(sock)
        self.set_up(loop, sock, protocol, waiter, extra, server, context)

    def __dealloc__(self):
        Py_XDECREF(self.early)

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.protocol = protocol
        self.sink = sink_of(protocol)
        return NoResult.OK

    # ---- Reading

    cdef run_t reader(self) noexcept:
        self.loop.watches.reads_early = run_early
        self.loop.watches.receive_early = receive_early
        return run_early

    cdef NoResult on_readable(self) except NoResult.EXC:
        # Both may be replaced while they run.
        cdef Sink sink = self.sink
        cdef object protocol = self.protocol
        cdef size_t size = 0
        cdef ssize_t n
        if self.closing:
            return NoResult.OK
        if self.early != NULL:
            return self.deliver_early()
        n = self.read_once(sink, protocol, &size)
        if n == 0:
            return self.read_eof()
        if n == FAILED:
            return self.read_failed("Fatal read error on socket transport")
        if n > 0 and <size_t>n == size and type(sink) is BufferSink:
            return self.read_again(<BufferSink>sink, protocol, n)
        return NoResult.OK

    cdef ssize_t read_once(self, Sink sink, object protocol, size_t *size) except -3:
        """One recv for the sink: how much came, 0 for the end, FAILED with errno, or REFUSED."""
        cdef char *memory
        cdef ssize_t n = REFUSED
        size[0] = 0
        try:
            memory = sink.room(protocol, self.scratch, size)
            n = recv(self.live_fd(), memory, size[0], 0)
            if n > 0:
                self.small = n <= SMALL
                sink.received(protocol, self.scratch, memory, n)
            else:
                sink.nothing_came(self.scratch, memory)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            n = REFUSED
            self.protocol_failed(exc, sink.blame())
        return n

    cdef NoResult read_again(self, BufferSink sink, object protocol,
                             Py_ssize_t total) except NoResult.EXC:
        """A BufferedProtocol's memory came back full: there may be more, which it gets within a budget."""
        cdef size_t size = 0
        cdef ssize_t n
        cdef int _
        for _ in range(READ_TIMES - 1):
            if total >= READ_BUDGET or self.closing or self.paused or self.protocol is not protocol:
                break
            n = self.read_once(sink, protocol, &size)
            if n == 0:
                return self.read_eof()
            if n == FAILED and not would_block():
                return self.read_failed("Fatal read error on socket transport")
            if n < <ssize_t>size:
                break
            total += n
        return NoResult.OK

    # ---- What was received before the turn's callbacks

    cdef void receive_early(self) noexcept:
        """Receive what is small, if anything is."""
        cdef WatchTable watches = self.loop.watches
        cdef char *memory = self.scratch.memory
        cdef ssize_t n
        if not self.small or self.paused or self.closing or not self.watched & READ:
            return
        if self.early != NULL or type(self.sink) is BufferSink:
            return
        use_memory()
        n = recv(self.live_fd(), memory, SMALL, 0)
        if n < 0 and would_block():
            leave_memory()
            return
        self.early_error = 0 if n >= 0 else c_errno.errno
        self.early = copied(memory, max(n, 0))
        leave_memory()
        if self.early == NULL:
            # What came is gone, which ends the connection.
            PyErr_Clear()
            self.early_error = c_errno.ENOMEM
            self.early = nothing
            Py_INCREF(nothing)
        watches.early_bytes -= max(n, 0)
        watches.early_times -= 1

    cdef NoResult deliver_early(self) except NoResult.EXC:
        cdef Sink sink = self.sink
        cdef object protocol = self.protocol
        cdef bytes data = <bytes>stolen(self.early)
        self.early = NULL
        if PyBytes_GET_SIZE(data) == 0:
            if self.early_error == 0:
                return self.read_eof()
            c_errno.errno = self.early_error
            return self.read_failed("Fatal read error on socket transport")
        if type(sink) is BufferSink:
            return self.fill_buffer(<BufferSink>sink, protocol, data)
        try:
            sink.received_bytes(protocol, self.scratch, data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.protocol_failed(exc, sink.blame())
        return NoResult.OK

    cdef NoResult fill_buffer(self, BufferSink sink, object protocol, bytes data) except NoResult.EXC:
        """For a BufferedProtocol that has come to be the protocol meanwhile."""
        cdef size_t size = 0
        cdef char *memory
        cdef Py_ssize_t n = 0
        try:
            memory = sink.room(protocol, self.scratch, &size)
            n = min(<Py_ssize_t>size, PyBytes_GET_SIZE(data))
            memcpy(memory, PyBytes_AS_STRING(data), n)
            sink.received(protocol, self.scratch, memory, n)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.protocol_failed(exc, sink.blame())
        if n < PyBytes_GET_SIZE(data) and not self.closing and self.early == NULL:
            # The rest has its turn, as what the kernel has.
            data = data[n:]
            Py_INCREF(<PyObject *>data)
            self.early = <PyObject *>data
            if not self.paused:
                self.later(run_early)
        return NoResult.OK

    def resume_reading(self):
        """Receive again."""
        BaseTransport.resume_reading(self)
        if self.early != NULL and not self.paused and not self.closing and self.made is None:
            self.later(run_early)

    cdef NoResult read_eof(self) except NoResult.EXC:
        cdef bint failed = False
        if self.loop.debug:
            logger.debug("%r received EOF", self)
        try:
            keep_open = self.protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            failed = True
            self.protocol_failed(exc, "Fatal error: protocol.eof_received() call failed.")
        if failed:
            return NoResult.OK
        if keep_open:
            # The protocol may write on; there is nothing more to receive.
            self.ended = True
            return self.unwatch(READ)
        return self.close_gently()

    # ---- Writing

    cpdef write(self, data):
        """Send bytes, a bytearray or a memoryview; what can't be sent now is queued."""
        cdef Py_buffer view
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"{NOT_BYTES} {type(data).__name__!r}")
        if self.eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if type(data) is bytes or isinstance(data, bytes):
            self.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            return
        if not data:
            return
        if self.conn_lost:
            self.count_lost_write()
            return
        if self.view_data(data, &view):
            try:
                self.put(None, <const char *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)

    cdef bint view_data(self, object data, Py_buffer *view) except -1:
        """Whether there is a view of it, for the caller to release; else the connection has ended."""
        cdef bint viewed = False
        try:
            PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
            viewed = True
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal_error(exc, "Fatal write error on socket transport")
        return viewed

    @cython.always_allow_keywords(True)
    def writelines(self, list_of_data):
        """Send several bytes-like objects, by one system call where nothing is queued."""
        if self.eof:
            raise RuntimeError(f"Cannot call {'write' if old_writelines else 'writelines'}() "
                               "after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to writelines; sendfile is in progress")
        if not list_of_data:
            return
        # Now: it may run code, which may change the list.
        self.make_room()
        # All of them first: one that is not bytes-like raises before anything is sent.
        cdef list pieces = list_of_data if type(list_of_data) is list else list(list_of_data)
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(pieces)):
            if not isinstance(pieces[i], bytes):
                pieces = [data if isinstance(data, bytes) else bytes(memoryview(data))
                          for data in pieces]
                break
        # Their sizes, of which a subclass may tell something else.
        for i in range(PyList_GET_SIZE(pieces)):
            total += PyBytes_GET_SIZE(pieces[i])
        if self.conn_lost:
            self.count_lost_write()
        elif total:
            self.put_pieces(pieces, total)

    cdef ssize_t send_memory(self, const char *start, size_t size) except -2:
        return send(self.live_fd(), start, size, MSG_NOSIGNAL)

    cdef ssize_t send_vector(self, iovec *vector, int count) noexcept:
        return cloop_send_vector(self.live_fd(), vector, count, MSG_NOSIGNAL)

    cdef NoResult on_writable(self) except NoResult.EXC:
        if self.conn_lost:
            return NoResult.OK
        try:
            self.send_queued()
        except OSError as exc:
            self.write_failed(exc)
        if self.conn_lost:
            return NoResult.OK
        # May write, close or abort.
        self.maybe_resume()
        if self.queued == 0:
            return self.drained()
        return NoResult.OK

    cdef NoResult write_failed(self, object exception) except NoResult.EXC:
        self.unwatch(WRITE)
        self.drop_queue()
        self.fatal_error(exception, "Fatal write error on socket transport")
        if self.empty_waiter is not None:
            self.empty_waiter.set_exception(exception)
        return NoResult.OK

    cdef NoResult drained(self) except NoResult.EXC:
        """Everything is sent: now comes what waited for that."""
        self.unwatch(WRITE)
        if self.empty_waiter is not None:
            self.empty_waiter.set_result(None)
        # What waited for that may have written more.
        if self.conn_lost or self.queued:
            return NoResult.OK
        if self.closing:
            self.conn_lost += 1
            return self.lose()
        if self.eof:
            return self.shut_down()
        return NoResult.OK

    def write_eof(self):
        """Shut the writing side down once everything is sent."""
        if self.closing or self.eof:
            return
        self.flush()
        self.eof = True
        if self.queued == 0:
            self.shut_down()

    def can_write_eof(self):
        """True: stream sockets can be half-closed."""
        return True

    cdef NoResult shut_down(self) except NoResult.EXC:
        if shutdown(self.live_fd(), SHUT_WR) < 0:
            PyErr_SetFromErrno(OSError)
        return NoResult.OK

    cdef NoResult release(self) except NoResult.EXC:
        # Before the socket is closed, which the waiter may be watching.
        cdef object waiter = self.empty_waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionError("Connection is closed by peer"))
        Py_XDECREF(self.early)
        self.early = NULL
        return BaseTransport.release(self)

    # ---- asyncio's private names, for sendfile

    def _make_empty_waiter(self):
        self.flush()
        if self.empty_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self.empty_waiter = self.loop.create_future()
        if self.queued == 0:
            self.empty_waiter.set_result(None)
        return self.empty_waiter

    def _wait_with(self, future):
        # A sendfile that waits for the socket: it fails if the connection is lost meanwhile.
        self.empty_waiter = future

    def _reset_empty_waiter(self):
        self.empty_waiter = None

    @property
    def _empty_waiter(self):
        return self.empty_waiter

    @property
    def _eof(self):
        return self.eof


cloop_hide_new(<PyTypeObject *>StreamTransport)


cdef NoResult run_early(object owner) except NoResult.EXC:
    return run_readable(owner)


cdef NoResult receive_early(object owner, Ready ready) except NoResult.EXC:
    (<StreamTransport>owner).receive_early()
    return ready.push(owner, run_early)
