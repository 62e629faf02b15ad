"""StreamTransport; stream.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/selector_events.py (PSF License
Agreement).
"""

import sys
from asyncio import constants
from asyncio.log import logger

cimport libc.errno as c_errno
from cpython.buffer cimport PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport Py_DECREF, cloop_hide_new
from cloop._c.socket cimport (
    MSG_NOSIGNAL,
    SHUT_WR,
    cloop_push,
    cloop_send_vector,
    iovec,
    recv,
    send,
    shutdown,
)
from cloop.core.reactor cimport Reactor
from cloop.core.shared cimport leave_memory, use_memory
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.base cimport error_from_errno, run_step, would_block
from cloop.transports.buffers cimport view_buffer, view_data
from cloop.transports.nodelay cimport set_no_delay
from cloop.transports.outbox cimport GATHER_SIZE, HOLD_SIZE, MANY_TURNS, MANY_WRITES
from cloop.transports.intake cimport receiver_of
from cloop.transports.scratch cimport LEVELS, bytes_memory, capacity_of, copied, copy_out
from cloop.transports.scratch cimport level_for, scratch_of, set_size
from cloop.transports.flow cimport MAX_PIECES, Flow, join_list, join_pieces

cdef extern from *:
    # NULL is looked at by hand: the exception stays set for callback_failed. Looked up for each
    # call, as asyncio does: protocols replace their own methods, and keeping one saves nothing.
    PyObject *call_method "PyObject_CallMethodOneArg"(object self, object name, object argument)

cdef enum:
    # A BufferedProtocol that fills its buffer is read again in the same event until it has got so
    # much, or was asked so often: then it is the turn of other connections.
    READ_BUDGET = 262144
    READ_TIMES = 16
    # The same for many small pieces that wait, which a peer may take as fast as we send them.
    WRITE_BUDGET = 262144
    # Pieces that are no more than this together are copied together: for each the kernel takes
    # longer to look at than we to copy it.
    JOIN_SIZE = 8192

cdef bint old_writelines = sys.version_info < (3, 12)
# The texts changed in 3.14.
cdef str NOT_BYTES = (
    "data argument must be a bytes, bytearray, or memoryview object, not"
    if sys.version_info >= (3, 14) else "data argument must be a bytes-like object, not")


cdef class StreamTransport(BaseTransport):
    """A transport over a connected stream socket."""

    max_size = 262144
    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.TRY_NATIVE

    def __cinit__(self, Reactor loop not None, sock, protocol, waiter=None, extra=None,
                  server=None, context=None, bint no_delay=False):
        self.scratch = scratch_of(loop)
        self.outbox = self.scratch.outbox
        self.may_hold = no_delay or set_no_delay(sock)
        self.set_up(loop, sock, protocol, waiter, extra, server, context)

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.settle()
        self.protocol = protocol
        self.scratch.know(protocol)
        self.buffered = self.scratch.buffered
        self.receiver = receiver_of(self.scratch, protocol)
        self.may_gather = not self.scratch.streams
        self.many_turns = 0
        return NoResult.OK

    # ---- Reading

    cdef NoResult on_readable(self) except NoResult.EXC:
        if self.closing:
            return NoResult.OK
        if self.receiver is not None:
            return self.read_memory()
        return self.read_buffered() if self.buffered else self.read_data()

    cdef NoResult read_data(self) except NoResult.EXC:
        cdef int level = 0
        cdef PyObject *data = NULL
        cdef ssize_t n = self.receive(&data, &level)
        cdef NoResult result
        if n <= 0:
            return self.read_eof() if n == 0 else self.read_failed("Fatal read error on socket transport")
        result = self.deliver(<object>data)
        if level == 0:
            Py_DECREF(data)
        elif not self.scratch.give(level, data):
            self.keeps = True
            self.level = 0
        return result

    cdef ssize_t receive(self, PyObject **data, int *level) except -2:
        """One recv: how much came. If something did, `data` is a new reference to a bytes object of
        it, a spare one of `level` or, where that is 0, one of its own."""
        cdef Scratch scratch = self.scratch
        cdef char *memory = scratch.memory
        cdef Py_ssize_t size = scratch.size
        cdef PyObject *spare = NULL
        cdef int used = self.level
        if used:
            spare = scratch.take(used)
            memory = bytes_memory(spare)
            size = capacity_of(used)
        else:
            use_memory()
        cdef ssize_t n = recv(self.live_fd(), memory, size, 0)
        if n > 0 and not self.keeps:
            self.guess(n)
        if used and 4 * n >= size:
            set_size(spare, n)
            data[0] = spare
            level[0] = used
            return n
        if n > 0:
            data[0] = copied(memory, n)
        leave_memory()
        if used:
            scratch.give(used, spare)
        if n > 0 and data[0] == NULL:
            raise MemoryError
        return n

    cdef void guess(self, Py_ssize_t n) noexcept:
        """Choose the level for what comes after a message of `n` bytes."""
        cdef Py_ssize_t size = capacity_of(self.level)
        if self.level == 0 or 4 * n < size:
            self.level = level_for(n)
        elif n == size and self.level < LEVELS:
            # There may be more: all the room next time.
            self.level = 0

    cdef NoResult deliver(self, object data) except NoResult.EXC:
        # May be replaced while it runs.
        cdef object protocol = self.protocol
        cdef PyObject *result = call_method(protocol, "data_received", data)
        if result == NULL:
            return self.callback_failed("Fatal error: protocol.data_received() call failed.")
        Py_DECREF(result)
        return NoResult.OK

    cdef NoResult read_buffered(self) except NoResult.EXC:
        """Receive into the protocol's buffer, again while it comes back full."""
        cdef object protocol = self.protocol
        cdef Py_ssize_t n
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t total = 0
        cdef int _
        cdef PyObject *result
        for _ in range(READ_TIMES):
            n = self.fill_buffer(protocol, &size, total == 0)
            if n <= 0:
                return NoResult.OK
            result = call_method(protocol, "buffer_updated", n)
            if result == NULL:
                return self.callback_failed(
                    "Fatal error: protocol.buffer_updated() call failed.")
            Py_DECREF(result)
            total += n
            if (n < size or total >= READ_BUDGET or self.closing or self.paused
                    or self.protocol is not protocol):
                break
        return NoResult.OK

    cdef Py_ssize_t fill_buffer(self, object protocol, Py_ssize_t *size, bint first) except -2:
        """One recv into the protocol's buffer: how much came, 0 if that was all for now."""
        cdef Py_buffer view
        cdef ssize_t n
        cdef int error
        if not view_buffer(self, protocol, &view):
            return 0
        size[0] = view.len
        n = recv(self.live_fd(), view.buf, view.len, 0)
        error = c_errno.errno
        # May run code in Python.
        PyBuffer_Release(&view)
        c_errno.errno = error
        if n == 0:
            self.read_eof()
        elif n < 0:
            if first or not would_block():
                self.read_failed("Fatal read error on socket transport")
            return 0
        return n

    cdef NoResult read_memory(self) except NoResult.EXC:
        """One recv for a protocol that takes what came out of the shared memory."""
        # May be replaced while it runs.
        cdef Receiver receiver = self.receiver
        cdef size_t size = 0
        cdef char *memory = receiver.room(self.scratch.memory, &size)
        if memory == self.scratch.memory:
            use_memory()
        cdef ssize_t n = recv(self.live_fd(), memory, size, 0)
        if n <= 0:
            leave_memory()
            return self.read_eof() if n == 0 else self.read_failed("Fatal read error on socket transport")
        try:
            receiver.received(memory, n)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self.protocol_failed(exc, f"Fatal error: protocol.{receiver.method}() call failed.")
        return NoResult.OK

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
        if view_data(self, data, &view, "Fatal write error on socket transport"):
            try:
                self.put(None, <const char *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)

    cdef NoResult put(self, bytes whole, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef ssize_t sent = 0
        if size == 0:
            return NoResult.OK
        if self.conn_lost:
            leave_memory()
            return self.count_lost_write()
        self.make_room()
        if self.queued or self.gathers(size):
            return self.put_behind(whole, start, size)
        sent = send(self.live_fd(), start, size, self.send_flags(size))
        if sent == size:
            leave_memory()
            return NoResult.OK
        if sent < 0:
            if not would_block():
                leave_memory()
                return self.fatal_error(error_from_errno(),
                                        "Fatal write error on socket transport")
            sent = 0
        if whole is None:
            # At once: it may be memory that others use as well.
            whole = copy_out(start + sent, size - sent)
            sent = 0
        self.queue(whole, sent)
        self.wait_writable()
        return self.may_pause()

    cdef NoResult put_behind(self, bytes whole, const char *start,
                             Py_ssize_t size) except NoResult.EXC:
        """Queue what comes after what is queued, or what is gathered."""
        if whole is None:
            whole = copy_out(start, size)
        self.queue(whole, 0)
        if not self.gathered:
            return self.may_pause()
        self.writes += 1
        if self.queued > GATHER_SIZE or self.queued > self.high:
            return self.send_gathered()
        return NoResult.OK

    cdef bint gathers(self, Py_ssize_t size) except -1:
        """Count a write; whether it and what follows in this turn are gathered."""
        cdef Reactor loop = self.loop
        if self.turn == loop.turns:
            self.writes += 1
        else:
            self.many_turns = self.many_turns + 1 if self.writes >= MANY_WRITES else 0
            self.turn = loop.turns
            self.writes = 1
        if self.many_turns < MANY_TURNS or not self.may_gather or size > HOLD_SIZE:
            return False
        if loop.ending or not loop.in_own_thread():
            return False
        self.gathered = True
        self.run_at_end()
        return True

    cdef int send_flags(self, Py_ssize_t size) except -1:
        """Those for a send of `size` bytes, which is about to be made."""
        cdef int more
        if not self.may_hold:
            return MSG_NOSIGNAL
        self.outbox.count(self.loop)
        more = self.outbox.flag_for(self.loop, size)
        self.held = more != 0
        if more:
            self.run_at_end()
        return MSG_NOSIGNAL | more

    cdef NoResult run_at_end(self) except NoResult.EXC:
        if not self.at_end:
            self.loop.at_end.push(self, send_kept)
            self.at_end = True
        return NoResult.OK

    cdef NoResult send_gathered(self) except NoResult.EXC:
        self.gathered = self.held = False
        if self.conn_lost:
            return NoResult.OK
        try:
            self.send_queued()
            if self.queued:
                self.wait_writable()
        except (OSError, MemoryError) as exc:
            # The caller of write() is gone.
            self.write_failed(exc)
        return NoResult.OK if self.conn_lost else self.may_pause()

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

    cdef NoResult put_pieces(self, list pieces, Py_ssize_t total) except NoResult.EXC:
        cdef bint idle = self.queued == 0
        if idle and total <= JOIN_SIZE and self.send_joined(pieces, total):
            return NoResult.OK
        for piece in pieces:
            if isinstance(piece, bytes) and PyBytes_GET_SIZE(piece):
                self.queue(<bytes>piece, 0)
        if self.gathered and (self.queued > GATHER_SIZE or self.queued > self.high):
            return self.send_gathered()
        if idle:
            try:
                self.send_queued()
            except OSError as exc:
                self.write_failed(exc)
            if self.conn_lost:
                return NoResult.OK
            if self.queued:
                self.wait_writable()
        return self.may_pause()

    cdef bint send_joined(self, list pieces, Py_ssize_t total) except -1:
        """Send small pieces as one: whether they are sent, or lost with the connection.

        Else the kernel has taken none of them.
        """
        cdef int flags = self.send_flags(total)
        use_memory()
        join_list(self.scratch.memory, pieces)
        cdef ssize_t sent = send(self.live_fd(), self.scratch.memory, total, flags)
        if 0 < sent < total:
            self.queue(copy_out(self.scratch.memory + sent, total - sent), 0)
            self.wait_writable()
            self.may_pause()
            return True
        leave_memory()
        if sent == total:
            return True
        if would_block():
            return False
        self.fatal_error(error_from_errno(), "Fatal write error on socket transport")
        return True

    cdef NoResult send_queued(self) except NoResult.EXC:
        """Give the kernel what it takes, within the budget. Raises OSError."""
        cdef size_t offered = 0
        cdef Py_ssize_t sent
        cdef Py_ssize_t total = 0
        cdef int flags = self.send_flags(self.queued)
        while self.queued and total < WRITE_BUDGET:
            sent = self.send_batch(&offered, flags)
            if sent < 0:
                return NoResult.OK
            self.take_sent(sent)
            if <size_t>sent < offered:
                break
            total += sent
        return NoResult.OK

    cdef Py_ssize_t send_batch(self, size_t *offered, int flags) except -2:
        """One sendmsg: how much the kernel took of what it was offered; -1 if it is full."""
        cdef iovec vector[MAX_PIECES]
        cdef ssize_t sent
        cdef int n = self.gather(vector, offered)
        if n > 1 and offered[0] <= JOIN_SIZE:
            # Into what nobody is receiving into at the moment.
            use_memory()
            join_pieces(self.scratch.memory, vector, n)
            sent = send(self.live_fd(), self.scratch.memory, offered[0], flags)
            leave_memory()
            return self.sent_or_full(sent)
        sent = cloop_send_vector(self.live_fd(), vector, n, flags)
        return self.sent_or_full(sent)

    cdef Py_ssize_t sent_or_full(self, ssize_t sent) except -2:
        if sent < 0:
            if would_block():
                return -1
            PyErr_SetFromErrno(OSError)
        return sent

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
        self.settle()
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
        self.settle()
        # Before the socket is closed, which the waiter may be watching.
        cdef object waiter = self.empty_waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionError("Connection is closed by peer"))
        return BaseTransport.release(self)

    # ---- What was gathered is sent before anything else is done or told

    def get_write_buffer_size(self):
        """The number of bytes that were written and have not been sent."""
        self.settle()
        return self.queued

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed."""
        self.settle()
        Flow.set_write_buffer_limits(self, high, low)

    def get_extra_info(self, name, default=None):
        """What is known of the connection: 'socket', 'sockname', 'peername', and by kind more."""
        self.settle()
        return BaseTransport.get_extra_info(self, name, default)

    cdef NoResult close_gently(self) except NoResult.EXC:
        self.settle()
        return BaseTransport.close_gently(self)

    cdef NoResult force_close(self, object exception) except NoResult.EXC:
        self.settle()
        return BaseTransport.force_close(self, exception)

    # ---- asyncio's private names, for sendfile

    def _make_empty_waiter(self):
        self.settle()
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


cdef NoResult gathered_step(BaseTransport self) except NoResult.EXC:
    return (<StreamTransport>self).send_gathered()


cdef NoResult send_kept(object owner) except NoResult.EXC:
    """Send what was gathered in the turn that ends, or push what the kernel has held."""
    cdef StreamTransport self = <StreamTransport>owner
    self.at_end = False
    if self.gathered:
        # May have to pause the protocol.
        return run_step(self, gathered_step, "_write_ready", ())
    if self.held:
        self.held = False
        if not self.closed:
            cloop_push(self.live_fd())
    return NoResult.OK
