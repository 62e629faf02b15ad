"""StreamTransport; stream.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/selector_events.py (PSF License
Agreement).
"""

import _socket
import socket
import sys
from asyncio import constants, protocols
from asyncio.log import logger

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno

from cloop._c.pyapi cimport Py_DECREF, cloop_take_exception
from cloop._c.socket cimport (
    AF_INET,
    AF_INET6,
    IPPROTO_TCP,
    MSG_NOSIGNAL,
    SHUT_WR,
    TCP_NODELAY,
    iovec,
    msghdr,
    recv,
    send,
    sendmsg,
    setsockopt,
    shutdown,
)
from cloop.core.reactor cimport Reactor
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.base cimport scratch_of

cdef extern from *:
    # NULL is looked at by hand: the exception stays set for callback_failed.
    PyObject *call_one "PyObject_CallOneArg"(object callable, object argument)
    # Returns NULL; declared as if it set nothing, for the same reason.
    PyObject *set_from_errno "PyErr_SetFromErrno"(PyObject *type)

cdef enum:
    # IOV_MAX is 1024 on every system we run on, and POSIX allows no fewer than 16; 512 entries are
    # 8 KiB of stack and more than a socket's buffer takes.
    MAX_PIECES = 512
    # A BufferedProtocol that fills its buffer is read again in the same event until it has got so
    # much, or was asked so often: then it is the turn of other connections.
    READ_BUDGET = 262144
    READ_TIMES = 16
    # Gone pieces are taken off the queue's list in batches of at least this many.
    MANY_PIECES = 256

cdef object BufferedProtocol = protocols.BufferedProtocol
cdef bint old_writelines = sys.version_info < (3, 12)
# The texts changed in 3.14.
cdef str NOT_BYTES = (
    "data argument must be a bytes, bytearray, or memoryview object, not"
    if sys.version_info >= (3, 14) else "data argument must be a bytes-like object, not")
# Past the properties of socket.socket, which make an enum member on each call.
cdef object plain_family = _socket.socket.family.__get__
cdef object plain_type = _socket.socket.type.__get__
cdef object plain_proto = _socket.socket.proto.__get__
cdef int STREAM = socket.SOCK_STREAM


cdef bint is_tcp(object sock, bint plain) except -1:
    if plain:
        return (plain_family(sock) in (AF_INET, AF_INET6) and plain_type(sock) == STREAM
                and plain_proto(sock) == IPPROTO_TCP)
    return (sock.family in (AF_INET, AF_INET6) and sock.type == STREAM
            and sock.proto == IPPROTO_TCP)


cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR


cdef object error_from_errno():
    """The OSError of errno, as an object."""
    set_from_errno(<PyObject *>OSError)
    return cloop_take_exception()


cdef class StreamTransport(BaseTransport):
    """A transport over a connected stream socket."""

    max_size = 262144
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __cinit__(self, Reactor loop not None, sock, protocol, waiter=None, extra=None,
                  server=None, context=None):
        cdef int one = 1
        self.scratch = scratch_of(loop)
        # Small writes go out without waiting for the peer to acknowledge earlier ones.
        if is_tcp(sock, isinstance(sock, _socket.socket)):
            setsockopt(sock.fileno(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        self.set_up(loop, sock, protocol, waiter, extra, server, context)

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.protocol = protocol
        self.data_received = self.get_buffer = self.buffer_updated = None
        if isinstance(protocol, BufferedProtocol):
            self.get_buffer = protocol.get_buffer
            self.buffer_updated = protocol.buffer_updated
        elif protocol is not None:
            self.data_received = getattr(protocol, "data_received", None)
        return NoResult.OK

    # ---- Reading

    cdef NoResult on_readable(self) except NoResult.EXC:
        if self.closing:
            return NoResult.OK
        if self.get_buffer is None:
            return self.read_data()
        return self.read_buffered()

    cdef NoResult read_data(self) except NoResult.EXC:
        cdef char *memory = self.scratch.memory
        cdef ssize_t n = recv(self.live_fd(), memory, self.scratch.size, 0)
        cdef PyObject *result
        if n <= 0:
            return self.read_failed() if n < 0 else self.read_eof()
        cdef bytes data = PyBytes_FromStringAndSize(memory, n)
        if self.data_received is None:
            return self.fatal_error(
                AttributeError(f"{type(self.protocol).__name__!r} object has no attribute "
                               "'data_received'"),
                "Fatal error: protocol.data_received() call failed.")
        result = call_one(self.data_received, data)
        if result == NULL:
            return self.callback_failed("Fatal error: protocol.data_received() call failed.")
        Py_DECREF(result)
        return NoResult.OK

    cdef NoResult read_buffered(self) except NoResult.EXC:
        """Receive into the protocol's buffer, again while it comes back full."""
        cdef object get_buffer = self.get_buffer
        cdef Py_ssize_t n
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t total = 0
        cdef int _
        cdef PyObject *result
        for _ in range(READ_TIMES):
            n = self.fill_buffer(get_buffer, &size)
            if n <= 0:
                return NoResult.OK
            result = call_one(self.buffer_updated, n)
            if result == NULL:
                return self.callback_failed(
                    "Fatal error: protocol.buffer_updated() call failed.")
            Py_DECREF(result)
            total += n
            if (n < size or total >= READ_BUDGET or self.closing or self.paused
                    or self.get_buffer is not get_buffer):
                break
        return NoResult.OK

    cdef Py_ssize_t fill_buffer(self, object get_buffer, Py_ssize_t *size) except -2:
        """One recv into the protocol's buffer: how much came, 0 if that was all for now."""
        cdef Py_buffer view
        cdef ssize_t n
        try:
            buffer = get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.fatal_error(exc, "Fatal error: protocol.get_buffer() call failed.")
            return 0
        try:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        except (TypeError, BufferError):
            # As socket.recv_into() says it.
            self.fatal_error(
                TypeError("recv_into() argument 1 must be read-write bytes-like object, not "
                          f"{type(buffer).__name__}"),
                "Fatal read error on socket transport")
            return 0
        size[0] = view.len
        n = recv(self.live_fd(), view.buf, view.len, 0)
        PyBuffer_Release(&view)
        if n == 0:
            self.read_eof()
        elif n < 0:
            self.read_failed()
            return 0
        return n

    cdef NoResult read_failed(self) except NoResult.EXC:
        if would_block():
            return NoResult.OK
        return self.fatal_error(error_from_errno(), "Fatal read error on socket transport")

    cdef NoResult read_eof(self) except NoResult.EXC:
        if self.loop.debug:
            logger.debug("%r received EOF", self)
        try:
            keep_open = self.protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            return self.fatal_error(exc, "Fatal error: protocol.eof_received() call failed.")
        if keep_open:
            # The protocol may write on; there is nothing more to receive.
            self.ended = True
            return self.unwatch(READ)
        return self.close_gently()

    # ---- Writing

    def write(self, data):
        """Send bytes, a bytearray or a memoryview; what can't be sent now is queued."""
        cdef Py_buffer view
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"{NOT_BYTES} {type(data).__name__!r}")
        if self.eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to write; sendfile is in progress")
        if isinstance(data, bytes):
            self.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            return
        if not data:
            return
        if self.conn_lost:
            self.count_lost_write()
            return
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except BufferError as exc:
            self.fatal_error(exc, "Fatal write error on socket transport")
            return
        try:
            self.put(None, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef ssize_t sent = 0
        if size == 0:
            return NoResult.OK
        if self.conn_lost:
            return self.count_lost_write()
        if self.queued == 0:
            sent = send(self.live_fd(), start, size, MSG_NOSIGNAL)
            if sent == size:
                return NoResult.OK
            if sent < 0:
                if not would_block():
                    return self.fatal_error(error_from_errno(),
                                            "Fatal write error on socket transport")
                sent = 0
            self.wait_writable()
        if whole is not None:
            self.queue(whole, sent)
        else:
            self.queue(PyBytes_FromStringAndSize(start + sent, size - sent), 0)
        return self.may_pause()

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        if self.conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("socket.send() raised exception.")
        self.conn_lost += 1
        return NoResult.OK

    cdef NoResult queue(self, bytes piece, Py_ssize_t offset) except NoResult.EXC:
        """Queue a piece, of which `offset` bytes are sent; only the first may have such."""
        if self.pieces is None:
            self.pieces = []
        if offset:
            self.offset = offset
        self.pieces.append(piece)
        self.queued += PyBytes_GET_SIZE(piece) - offset
        return NoResult.OK

    cdef NoResult wait_writable(self) except NoResult.EXC:
        self.writer_context = self.copy_context()
        return self.watch(WRITE)

    def writelines(self, list_of_data):
        """Send several bytes-like objects, by one system call where nothing is queued."""
        if self.eof:
            raise RuntimeError(f"Cannot call {'write' if old_writelines else 'writelines'}() "
                               "after write_eof()")
        if self.empty_waiter is not None:
            raise RuntimeError("unable to writelines; sendfile is in progress")
        if not list_of_data:
            return
        # All of them first: one that is not bytes-like raises before anything is sent.
        cdef list pieces = [data if isinstance(data, bytes) else bytes(memoryview(data))
                            for data in list_of_data]
        if self.conn_lost:
            self.count_lost_write()
            return
        cdef bint idle = self.queued == 0
        for piece in pieces:
            if piece:
                self.queue(<bytes>piece, 0)
        if self.queued == 0:
            return
        if idle:
            try:
                self.send_queued()
            except OSError as exc:
                self.write_failed(exc)
                return
            if self.queued:
                self.wait_writable()
        self.may_pause()

    cdef NoResult send_queued(self) except NoResult.EXC:
        """Give the kernel what it takes. Raises OSError."""
        cdef size_t offered = 0
        cdef Py_ssize_t sent
        while self.queued:
            sent = self.send_batch(&offered)
            if sent < 0:
                return NoResult.OK
            self.take_sent(sent)
            if <size_t>sent < offered:
                break
        return NoResult.OK

    cdef Py_ssize_t send_batch(self, size_t *offered) except -2:
        """One sendmsg: how much the kernel took of what it was offered; -1 if it is full."""
        cdef iovec vector[MAX_PIECES]
        cdef msghdr message
        cdef Py_ssize_t n = min(len(self.pieces) - self.first, <Py_ssize_t>MAX_PIECES)
        cdef Py_ssize_t i
        cdef Py_ssize_t skip = self.offset
        cdef bytes piece
        cdef ssize_t sent
        offered[0] = 0
        for i in range(n):
            piece = <bytes>self.pieces[self.first + i]
            vector[i].iov_base = PyBytes_AS_STRING(piece) + skip
            vector[i].iov_len = PyBytes_GET_SIZE(piece) - skip
            offered[0] += vector[i].iov_len
            skip = 0
        message.msg_name = message.msg_control = NULL
        message.msg_namelen = message.msg_controllen = message.msg_flags = 0
        message.msg_iov = vector
        message.msg_iovlen = n
        sent = sendmsg(self.live_fd(), &message, MSG_NOSIGNAL)
        if sent < 0:
            if would_block():
                return -1
            PyErr_SetFromErrno(OSError)
        return sent

    cdef NoResult take_sent(self, Py_ssize_t sent) except NoResult.EXC:
        """Take what was sent off the queue."""
        cdef list pieces = self.pieces
        cdef Py_ssize_t size
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

    cdef NoResult on_writable(self) except NoResult.EXC:
        if self.conn_lost:
            return NoResult.OK
        try:
            self.send_queued()
        except OSError as exc:
            return self.write_failed(exc)
        # May write, close or abort.
        self.may_resume()
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
        self.writer_context = None
        if self.empty_waiter is not None:
            self.empty_waiter.set_result(None)
        if self.conn_lost:
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
        return BaseTransport.release(self)

    # ---- asyncio's private names, for sendfile

    def _make_empty_waiter(self):
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

    @property
    def _buffer(self):
        pieces = [] if self.pieces is None else self.pieces[self.first:]
        if self.offset:
            pieces[0] = pieces[0][self.offset:]
        return pieces
