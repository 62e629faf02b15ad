"""BaseTransport; base.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/selector_events.py (PSF License
Agreement).
"""

import socket
import warnings
from asyncio import constants, selector_events, trsock
from asyncio.log import logger

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.errno cimport EBADF, EPERM
from libc.stdint cimport uint32_t
from libc.string cimport strerror

from cloop._c.pyapi cimport (
    CLOOP_DEBUG,
    PyContext_Copy,
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyThreadState,
    PyThreadState_Get,
    Py_DECREF,
    cloop_drop_instance_dict,
    cloop_seal,
    cloop_set_exception,
    cloop_show,
    cloop_take_exception,
)
from cloop.core.counts cimport register
from cloop.core.handle cimport new_handle, report
from cloop.core.snapshot cimport call_one_with, enter_context, leave_context
from cloop.core.shared cimport code_may_run
from cloop.core.step cimport new_step
from cloop.poll.poller cimport READ, WRITE
from cloop.core.ring cimport unlink_node
from cloop.transports.addr cimport local_address
from cloop.transports.clients cimport attach, detach
from cloop.transports.sockets cimport close_socket, is_socket
from cloop.transports.readiness cimport drop_errors, error_from_errno, in_a_moment, would_block

ctypedef NoResult (*quiet_step_t)(BaseTransport self) noexcept

cdef long live = 0
register("transports", &live)

cdef object socket_class = socket.socket
cdef object TransportSocket = trsock.TransportSocket
cdef object asyncio_transport = selector_events._SelectorSocketTransport


def is_claimed(Reactor loop not None, sock):
    """Whether a transport that is not closing has the socket's descriptor."""
    number = sock.fileno()
    # What only passes for a socket, in somebody's tests, is nobody's.
    if not isinstance(number, int):
        return False
    owner = loop.watches.claimant(number)
    return owner is not None and not owner.is_closing()


cdef class BaseTransport(Sender):
    """What every transport over a descriptor has."""

    def __cinit__(self):
        global live
        if type(self) is BaseTransport:
            raise TypeError("BaseTransport has no use by itself")
        cloop_drop_instance_dict(self)
        self.fd = -1
        if CLOOP_DEBUG:
            live += 1

    def __dealloc__(self):
        global live
        unlink_node(&self.node)
        if CLOOP_DEBUG:
            live -= 1

    @property
    def __class__(self):
        # asyncio.Transport has slots, so no extension type can inherit from it; being one to
        # isinstance() is what users need. This is the class of those over a stream socket.
        return asyncio_transport

    cdef NoResult set_up(self, Reactor loop, object sock, object protocol, object waiter,
                         object extra, object server, object context) except NoResult.EXC:
        """Take the socket over, schedule connection_made, and show the transport: nothing may follow.

        If it raises, the socket is the caller's as before.
        """
        loop.check_closed()
        self.loop = loop
        self.context = PyContext_CopyCurrent() if context is None else context
        self.use_protocol(protocol)
        self.made = protocol.connection_made
        self.waiter = waiter
        try:
            self.take_socket(loop, sock)
            self.name_ends(extra)
            if server is not None:
                attach(server, &self.node, self)
                self.server = server
            self.later(run_connection_made)
            cloop_show(self)
        except BaseException:
            self.disclaim()
            self.sock = None
            if self.server is not None:
                detach(self.server, &self.node, self)
            raise
        return NoResult.OK

    cdef NoResult take_socket(self, Reactor loop, object sock) except NoResult.EXC:
        cdef int fd = sock.fileno()
        owner = loop.watches.claimant(fd)
        if owner is not None and not owner.is_closing():
            raise RuntimeError(f"File descriptor {sock!r} is used by transport {owner!r}")
        loop.watches.claim(fd, self)
        self.fd = fd
        self.plain = is_socket(sock) and cloop_socket_number(sock) == fd
        self.sock = sock
        return NoResult.OK

    cdef NoResult disclaim(self) except NoResult.EXC:
        if self.loop.watches.claimant(self.fd) is self:
            self.loop.watches.claim(self.fd, None)
        return NoResult.OK

    cdef NoResult name_ends(self, object extra) except NoResult.EXC:
        cdef object sockname = NotImplemented
        # A subclass may have a name of its own making.
        if type(self.sock) is socket_class:
            sockname = local_address(self.live_fd())
        if sockname is NotImplemented:
            try:
                sockname = self.sock.getsockname()
            except OSError:
                sockname = None
        self.sockname = sockname
        if extra is not None and "peername" in extra:
            self.peername = extra["peername"]
        else:
            try:
                self.peername = self.sock.getpeername()
            except OSError:
                pass
        if extra is not None and len(extra) > 1:
            self.extra = dict(extra)
            self.extra.update(self.own_extra())
        return NoResult.OK

    cdef NoResult later(self, run_t run) except NoResult.EXC:
        self.loop.check_closed()
        if self.loop.own_call_soon:
            self.loop.call_soon(new_step(self, run))
            return NoResult.OK
        return self.loop.soon(self, run)

    # ---- Watches

    cdef NoResult watch(self, uint32_t direction) except NoResult.EXC:
        if self.watched & direction:
            return NoResult.OK
        cdef int fd = self.live_fd()
        self.loop.check_closed()
        if fd < 0:
            raise OSError(EBADF, strerror(EBADF).decode())
        self.loop.watches.watch(fd, direction, self,
                                self.reader() if direction == READ else run_writable)
        self.watched |= direction
        return NoResult.OK

    cdef run_t reader(self) noexcept:
        return run_readable

    cdef NoResult unwatch(self, uint32_t direction) except NoResult.EXC:
        if not self.watched & direction:
            return NoResult.OK
        self.watched &= ~direction
        if self.loop.closed:
            return NoResult.OK
        return self.loop.watches.unwatch_own(self.fd, direction, self)

    cdef NoResult watch_or_end(self, uint32_t direction) except NoResult.EXC:
        """Watch, and end the connection where the system can't (ENOSPC): else it would be deaf for good."""
        try:
            self.watch(direction)
        except OSError as exc:
            self.loop.call_exception_handler({
                "message": "Can't watch a transport's descriptor",
                "exception": exc,
                "transport": self,
                "protocol": self.protocol,
            })
            # A device that can't be polled, and what somebody has closed, is left as asyncio leaves it.
            if exc.errno not in (EPERM, EBADF):
                self.force_close(exc)
        return NoResult.OK

    cdef NoResult wait_writable(self) except NoResult.EXC:
        return self.watch_or_end(WRITE)

    cdef NoResult finish_in_context(self, object failure) except NoResult.EXC:
        # Where it will be in any case: nothing else has ended the connection.
        self.lost_reason = failure
        return run_step(self, finish_step, "_write_ready", ())

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        if self.conn_lost >= constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES:
            logger.warning("socket.send() raised exception.")
        self.conn_lost += 1
        return NoResult.OK

    cdef NoResult on_readable(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult on_writable(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult read_failed(self, str message) except NoResult.EXC:
        if would_block():
            drop_errors(self.live_fd())
            return NoResult.OK
        return self.fatal_error(error_from_errno(), message)

    def is_reading(self):
        """Whether data is being received: not while paused, nor once closing."""
        return not self.closing and not self.paused

    def pause_reading(self):
        """Receive nothing more until resume_reading() is called."""
        # The watch stays until something arrives: most pauses are over by then.
        if self.closing or self.paused:
            return
        self.paused = True
        if self.loop.debug:
            logger.debug("%r pauses reading", self)

    def resume_reading(self):
        """Receive again."""
        if self.closing or not self.paused:
            return
        self.loop.check_closed()
        self.paused = False
        # Between the constructor and connection_made it is not time yet.
        if self.made is None and not self.ended:
            self.watch(READ)
        if self.loop.debug:
            logger.debug("%r resumes reading", self)

    # ---- The protocol

    def get_protocol(self):
        """The protocol that is told of what happens."""
        return self.protocol

    @cython.always_allow_keywords(True)
    def set_protocol(self, protocol):
        """Tell another protocol from now on."""
        self.flush()
        self.use_protocol(protocol)

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.protocol = protocol
        return NoResult.OK

    cdef NoResult begin(self) except NoResult.EXC:
        """What follows connection_made: read, and wake who waits for the connection."""
        cdef object waiter = self.waiter
        self.made = self.waiter = None
        try:
            if not self.closing and not self.paused:
                self.watch_or_end(READ)
        finally:
            if waiter is not None and not waiter.cancelled():
                waiter.set_result(None)
        return NoResult.OK

    # ---- The end

    def is_closing(self):
        """Whether the transport is closed or about to be."""
        return self.closing

    def close(self):
        """Send what is queued, then end the connection; connection_lost(None) follows."""
        self.close_gently()

    def abort(self):
        """End the connection at once and drop what is queued."""
        self.force_close(None)

    cdef NoResult close_gently(self) except NoResult.EXC:
        self.flush()
        if self.closing:
            return NoResult.OK
        self.closing = True
        self.unwatch(READ)
        if self.queued:
            return NoResult.OK
        self.unwatch(WRITE)
        return self.schedule_loss(None)

    cdef NoResult force_close(self, object exception) except NoResult.EXC:
        self.flush()
        if self.conn_lost:
            return NoResult.OK
        self.drop_queue()
        self.unwatch(WRITE)
        self.closing = True
        self.unwatch(READ)
        return self.schedule_loss(exception)

    cdef NoResult schedule_loss(self, object exception) except NoResult.EXC:
        self.conn_lost += 1
        self.lost_reason = exception
        return self.later(run_connection_lost)

    cdef bint is_expected(self, object exception) except -1:
        return isinstance(exception, OSError)

    cdef NoResult fatal_error(self, object exception, str message) except NoResult.EXC:
        code_may_run()
        if self.is_expected(exception):
            if self.loop.debug:
                logger.debug("%r: %s", self, message, exc_info=exception)
            return self.force_close(exception)
        return self.protocol_failed(exception, message)

    cdef NoResult protocol_failed(self, object exception, str message) except NoResult.EXC:
        self.loop.call_exception_handler({
            "message": message,
            "exception": exception,
            "transport": self,
            "protocol": self.protocol,
        })
        return self.force_close(exception)

    cdef NoResult lose(self) except NoResult.EXC:
        """Tell the protocol, then let go of everything."""
        cdef object reason = self.lost_reason
        if self.closed:
            return NoResult.OK
        self.lost_reason = None
        try:
            self.protocol.connection_lost(reason)
        finally:
            self.release()
        return NoResult.OK

    cdef NoResult release(self) except NoResult.EXC:
        cdef object server = self.server
        self.flush()
        self.closed = True
        self.unwatch(READ)
        self.unwatch(WRITE)
        self.disclaim()
        self.loop = None
        self.server = self.context = None
        self.use_protocol(None)
        try:
            self.close_file()
        finally:
            if server is not None:
                detach(server, &self.node, self)
        return NoResult.OK

    cdef NoResult close_file(self) except NoResult.EXC:
        return close_socket(self.sock)

    def __del__(self):
        if self.sock is None or self.closed or self.loop is None:
            return
        try:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
        finally:
            # Other finalizers of the same garbage may use it.
            self.give_up()
            self.release()

    cdef NoResult give_up(self) except NoResult.EXC:
        """Be as one whose connection_lost is scheduled."""
        self.closing = True
        self.conn_lost += 1
        return self.drop_queue()

    cdef NoResult report_step(self, Reactor loop, object callback, tuple args,
                              object context) except NoResult.EXC:
        """The exception that is set goes to the exception handler, as from call_soon(callback)."""
        cdef object exception = cloop_take_exception()
        cdef object handle = new_handle(loop, callback, args, context)
        cloop_set_exception(exception)
        return report(loop, callback, args, handle)

    # ---- What it is

    def get_extra_info(self, name, default=None):
        """What is known of the connection: 'socket', 'sockname', 'peername', and by kind more."""
        self.flush()
        if self.extra is not None:
            return self.extra.get(name, default)
        if name == "peername":
            return self.peername
        if name == "sockname":
            return self.sockname
        if name == "socket":
            return self.view_socket()
        return default

    def view_socket(self):
        """The socket, wrapped so that nobody can close it."""
        if self.socket_view is None:
            self.socket_view = TransportSocket(self.sock)
        return self.socket_view

    def own_extra(self):
        return {"socket": self.view_socket(), "sockname": self.sockname, "peername": self.peername}

    def __repr__(self):
        info = [type(self).__name__]
        if self.sock is None or self.closed:
            info.append("closed")
        elif self.closing:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self.loop is not None and not self.loop.closed:
            reading = self.watched & READ and not self.paused
            writing = self.watched & WRITE
            info.append("read=polling" if reading else "read=idle")
            info.append(f"write=<{'polling' if writing else 'idle'}, bufsize={self.refused()}>")
        return f"<{' '.join(info)}>"

    # asyncio's private names, which its own TLS and streams and libraries use.

    def _force_close(self, exc):
        self.force_close(exc)

    def _read_ready(self):
        if not self.closed:
            self.on_readable()

    def _write_ready(self):
        if not self.closed:
            self.on_writable()

    def _fatal_error(self, exc, message="Fatal error on transport"):
        if self.loop is not None:
            self.fatal_error(exc, message)

    def _call_connection_lost(self, exc):
        if not self.closed:
            self.give_up()
            self.lost_reason = exc
            self.lose()

    @property
    def _extra(self):
        if self.extra is None:
            self.extra = self.own_extra()
        return self.extra

    @property
    def _sock(self):
        return None if self.closed else self.sock

    @property
    def _sock_fd(self):
        return self.fd

    @property
    def _context(self):
        return self.context

    @property
    def _server(self):
        return self.server

    @property
    def _closing(self):
        return self.closing

    @property
    def _paused(self):
        return self.paused

    @property
    def _protocol_connected(self):
        return True


cloop_seal(<PyTypeObject *>BaseTransport)


# ---- What the reactor runs

cdef NoResult run_connection_made(object owner) except NoResult.EXC:
    cdef BaseTransport self = <BaseTransport>owner
    if self.closed:
        return NoResult.OK
    cdef PyObject *failed_in
    try:
        if call_one_with(self.context, self.made, self, &failed_in) < 0:
            Py_DECREF(failed_in)  # the same context
            self.report_step(self.loop, self.made, (self,), self.context)
    finally:
        self.begin()
    return NoResult.OK


cdef NoResult run_connection_lost(object owner) except NoResult.EXC:
    cdef BaseTransport self = <BaseTransport>owner
    if self.closed:
        return NoResult.OK
    return run_step(self, lose_step, "_call_connection_lost", (self.lost_reason,))


cdef NoResult run_readable(object owner) except NoResult.EXC:
    cdef BaseTransport self = <BaseTransport>owner
    if self.paused or not self.watched & READ:
        # An event that was on its way, or the first since pause_reading().
        return self.unwatch(READ)
    return run_step(self, read_step, "_read_ready", ())


cdef NoResult run_writable(object owner) except NoResult.EXC:
    cdef BaseTransport self = <BaseTransport>owner
    if not self.watched & WRITE:
        return NoResult.OK
    return run_step(self, write_step, "_write_ready", ())


cdef NoResult read_step(BaseTransport self) except NoResult.EXC:
    return self.on_readable()


cdef NoResult write_step(BaseTransport self) except NoResult.EXC:
    cdef Py_ssize_t queued = self.queued
    self.on_writable()
    if queued and self.queued == queued and self.watched & WRITE and not drop_errors(self.live_fd()):
        # Writable, but nothing could be written.
        self.unwatch(WRITE)
        in_a_moment(self.loop, self, watch_again)
    return NoResult.OK


cdef NoResult watch_again(object owner) except NoResult.EXC:
    cdef BaseTransport self = <BaseTransport>owner
    return self.watch(WRITE) if self.queued and not self.conn_lost else NoResult.OK


cdef NoResult finish_step(BaseTransport self) except NoResult.EXC:
    cdef object failure = self.lost_reason
    self.lost_reason = None
    return self.finish_send(failure)


cdef NoResult lose_step(BaseTransport self) except NoResult.EXC:
    return self.lose()


cdef NoResult run_step(BaseTransport self, step_t step, str name, tuple args) except NoResult.EXC:
    cdef Reactor loop = self.loop
    cdef object context = self.context
    cdef NoResult result = NoResult.EXC
    cdef object exception
    # That of the thread that calls, whichever it is: a Step may be called outside of a turn.
    cdef PyThreadState *state = PyThreadState_Get()
    if enter_context(state, context) < 0:
        # A turn within one of its own callbacks.
        cloop_take_exception()
        context = PyContext_Copy(context)
        PyContext_Enter(context)
    result = (<quiet_step_t>step)(self)
    if leave_context(state, context) < 0:
        result = NoResult.EXC
    if result == NoResult.OK:
        return NoResult.OK
    exception = cloop_take_exception()
    callback = getattr(self, name)
    cloop_set_exception(exception)
    return self.report_step(loop, callback, args, context)
