"""TlsBase; tls_base.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/sslproto.py (PSF License Agreement),
which contains code from uvloop (MIT License, Copyright (c) 2015-2021 MagicStack Inc.).
"""

import warnings
from asyncio import CancelledError, constants
from asyncio.log import logger
from asyncio.protocols import BufferedProtocol
from asyncio.sslproto import (
    SSLProtocol,
    _create_transport_context,
    _SSLProtocolTransport,
)

try:
    import ssl
    SSLError = ssl.SSLError
except ImportError:  # a Python that was built without OpenSSL
    ssl = None
    SSLError = OSError

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport CLOOP_DEBUG, PyContext_CopyCurrent
from cloop._c.pyapi cimport cloop_drop_instance_dict, cloop_seal, cloop_show
from cloop.core.counts cimport register
from cloop.core.reactor cimport Reactor
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.clients cimport attach
from cloop.transports.scratch cimport scratch_of
from cloop.transports.sink cimport MOST
from cloop.transports.stream cimport intake_of
from cloop.transports.tls_engine cimport WHOLE_RECORD, TlsEngine, new_engine, spent_engine
from cloop.transports.tls_flow cimport checked_timeout

cdef enum:
    # A BufferedProtocol's ciphertext waits in the engine, whose memory never shrinks.
    BUFFERED_MOST = 65536
    # With the record that the last ciphertext may have left over it fits into a spare object: joined
    # from several it would be in fresh memory each time.
    PLAIN_MOST = MOST - WHOLE_RECORD
    LOG_THRESHOLD = 5

cdef object asyncio_transport = _SSLProtocolTransport
# From 3.14.10 on the time for a shutdown ends with the connection, not with the peer's answer.
cdef bint timed_to_the_end = (
    "_check_shutdown_timeout" in SSLProtocol._on_shutdown_complete.__code__.co_names)
# And is_closing() asks the transport below.
cdef bint asks_below = hasattr(SSLProtocol, "_is_transport_closing")

cdef long live = 0
register("tls transports", &live)


def context_of(transport):
    """The contextvars.Context that the callbacks of a transport run in."""
    if isinstance(transport, TlsFlow):
        context = (<TlsFlow>transport).context
    else:
        context = getattr(transport, "_context", None)
    return PyContext_CopyCurrent() if context is None else context


cdef class TlsBase(TlsFlow):
    """What becomes of a TLS connection."""

    _start_tls_compatible = True

    def __cinit__(self, Reactor loop not None, protocol, sslcontext, waiter=None, bint server_side=False,
                  server_hostname=None, bint call_connection_made=True, ssl_handshake_timeout=None,
                  ssl_shutdown_timeout=None):
        global live
        if CLOOP_DEBUG:
            live += 1
        cloop_drop_instance_dict(self)
        # Nobody needs to be warned of what was never made.
        self.closed = True
        if type(self) is TlsBase:
            raise TypeError("TlsBase has no use by itself")
        if ssl is None:
            raise RuntimeError("stdlib ssl module not available")
        self.handshake_timeout = checked_timeout(
            ssl_handshake_timeout, "ssl_handshake_timeout", constants.SSL_HANDSHAKE_TIMEOUT)
        self.shutdown_timeout = checked_timeout(
            ssl_shutdown_timeout, "ssl_shutdown_timeout", constants.SSL_SHUTDOWN_TIMEOUT)
        self.sslcontext = sslcontext or _create_transport_context(server_side, server_hostname)
        self.server_side = server_side
        self.server_hostname = server_hostname if server_hostname and not server_side else None
        self.loop = loop
        self.scratch = scratch_of(loop)
        self.waiter = waiter
        self.known = INIT if call_connection_made else MADE
        self.use_protocol(protocol)
        self.engine = new_engine(self.sslcontext, server_side, self.server_hostname)
        self.closed = False
        # TlsTransport has no fields.
        cloop_show(self)

    def __dealloc__(self):
        global live
        if CLOOP_DEBUG:
            live -= 1

    def __del__(self):
        if not self.closed:
            self.closed = True
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self)

    @property
    def __class__(self):
        # As for transports/base: to isinstance() it is what asyncio's own is.
        return asyncio_transport

    def __repr__(self):
        cdef str state = "closed" if self.transport is None and self.closed else (
            "closing" if self.closed else "open")
        return f"<{type(self).__name__} {state} over {self.transport!r}>"

    # ---- The protocols above and below

    def get_protocol(self):
        """The protocol that is told of what happens."""
        return self.protocol

    def set_protocol(self, protocol):
        """Tell another protocol from now on."""
        self.use_protocol(protocol)

    cdef NoResult use_protocol(self, object protocol) except NoResult.EXC:
        self.protocol = protocol
        self.buffered = isinstance(protocol, BufferedProtocol) and hasattr(protocol, "get_buffer")
        self.most = BUFFERED_MOST if self.buffered else PLAIN_MOST
        self.keeps = False
        self.intake = intake_of(protocol)
        return NoResult.OK

    cdef NoResult wake(self, object exception) except NoResult.EXC:
        cdef object waiter = self.waiter
        self.waiter = None
        if waiter is None or waiter.cancelled():
            return NoResult.OK
        if exception is not None:
            waiter.set_exception(exception)
        else:
            waiter.set_result(None)
        return NoResult.OK

    def connection_made(self, transport):
        """The connection below is there: begin the handshake."""
        if self.protocol is None and self.conn_lost:
            # It was on its way to its end, which has come first.
            return
        self.transport = transport
        self.context = context_of(transport)
        if self.closed:
            # Closed before it began.
            self.force_close(None)
            return
        if type(transport) is StreamTransport:
            self.stream = <StreamTransport>transport
            self.straight = self.engine.direct
            # The kernel makes records for TCP only.
            self.offered = self.stream.tcp and self.engine.may_offer()
        if self.loop.debug:
            logger.debug("%r starts SSL handshake", self)
            self.began = self.loop.time()
        self.state = HANDSHAKE
        self.start_timer(self.handshake_timeout, self._check_handshake_timeout)
        self.shake_hands()

    def connection_lost(self, exc):
        """The connection below is over."""
        cdef object protocol = self.protocol
        cdef State state = self.state
        self.backlog = None
        self.backlog_size = 0
        self.engine.outgoing.read()
        self.conn_lost += 1
        self.closed = True
        self.state = UNWRAPPED
        try:
            if state != HANDSHAKE and (self.known == MADE or self.known == ENDED):
                self.known = LOST
                self.loop.call_soon(protocol.connection_lost, exc, context=self.context)
        finally:
            self.transport = self.stream = self.protocol = self.intake = self.context = None
            self.stop_timer()
            self.wake(exc)
            if self.file_waiter is not None and not self.file_waiter.done():
                self.file_waiter.set_exception(ConnectionError("Connection is closed by peer"))
            if self.unwanted:
                self.forget()

    cdef NoResult forget(self) except NoResult.EXC:
        """Let go of what was kept for get_extra_info()."""
        self.told = False
        self.sslcontext = self.peercert = None
        self.engine = spent_engine()
        return NoResult.OK

    # ---- What comes from below

    def data_received(self, data):
        """Ciphertext, from a transport that is not cloop's own."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.received(self, self.scratch, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except NULL:
        use_memory()
        size[0] = self.most
        return scratch.memory

    cdef str blame(self):
        return "Fatal error: protocol.buffer_updated() call failed."

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        if self.state == WRAPPED:
            return self.read(start, size)
        if self.state == FLUSHING:
            return self.flush(start, size)
        if self.state == UNWRAPPED:
            leave_memory()
            return NoResult.OK
        self.engine.feed(start, size)
        leave_memory()
        return self.go_on()

    cdef NoResult go_on(self) except NoResult.EXC:
        """Do what there is to do in this state."""
        if self.state == HANDSHAKE:
            return self.shake_hands()
        if self.state == WRAPPED:
            return self.read(NULL, 0)
        if self.state == FLUSHING:
            return self.flush(NULL, 0)
        if self.state == SHUTDOWN:
            return self.shut_down()
        return NoResult.OK

    def eof_received(self):
        """Nothing more comes from below. Returns a true value where that is not to be closed yet."""
        self.ended = True
        try:
            if self.loop.debug:
                logger.debug("%r received EOF", self)
            if self.state == HANDSHAKE:
                self.stop_timer()
                self.not_shaken(ConnectionResetError())
            elif self.state == WRAPPED:
                self.state = FLUSHING
                if self.reading_paused:
                    return True
                self.flush(NULL, 0)
            elif self.state == FLUSHING:
                self.write_backlog()
                self.state = SHUTDOWN
                self.shut_down()
            elif self.state == SHUTDOWN:
                self.shut_down()
        except Exception:
            if self.transport is not None:
                self.transport.close()
            raise
        if self.kernel and self.waits():
            return True

    cdef NoResult tell_end(self) except NoResult.EXC:
        """The peer sends nothing more."""
        if self.known != MADE:
            return NoResult.OK
        self.known = ENDED
        try:
            if self.protocol.eof_received():
                logger.warning("returning true from eof_received() has no effect when using ssl")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self.protocol_failed(exc, "Error calling eof_received()")
        return NoResult.OK

    # ---- Handshake

    cdef NoResult shake_hands(self) except NoResult.EXC:
        # Callbacks of the context's may run.
        cdef TlsEngine engine = self.engine
        cdef bint done = False
        if self.offered:
            engine.lend(self.stream.live_fd() if self.is_idle() else -1)
        try:
            done = engine.shake_hands()
        except SSLError as exc:
            self.stop_timer()
            self.not_shaken(exc)
        if self.offered:
            engine.lend(-1)
            if engine.kernel_encrypts():
                self.use_kernel()
        # It has failed, or a callback of the context's has ended it all.
        if self.state != HANDSHAKE:
            return NoResult.OK
        return self.shaken() if done else self.send_out()

    cdef NoResult shaken(self) except NoResult.EXC:
        cdef TlsEngine engine = self.engine
        cdef bint failed = False
        self.stop_timer()
        self.state = WRAPPED
        try:
            self.peercert = engine.peercert()
        except Exception as exc:
            failed = True
            self.not_shaken(exc)
        if failed:
            return NoResult.OK
        if self.began is not None:
            logger.debug("%r: SSL handshake took %.1f ms", self, (self.loop.time() - self.began) * 1e3)
        self.told = True
        if self.known == INIT:
            self.known = MADE
            if self.server is not None:
                attach(self.server, &self.stream.node, self.stream)
                self.stream.server = self.server
                self.server = None
            self.protocol.connection_made(self)
        self.wake(None)
        self.read(NULL, 0)
        # Also where the protocol has paused reading: the peer waits for the end of the handshake.
        return self.send_out()

    cdef bint is_idle(self) except -1:
        """Whether all that was passed on is with the kernel."""
        if self.stream is None or self.file_goes:
            return False
        self.stream.flush()
        return self.stream.queued == 0

    cdef NoResult use_kernel(self) except NoResult.EXC:
        self.kernel = True
        self.straight = False
        return NoResult.OK

    cdef NoResult not_shaken(self, object exception) except NoResult.EXC:
        self.state = UNWRAPPED
        if isinstance(exception, ssl.CertificateError):
            message = "SSL handshake failed on verifying the certificate"
        else:
            message = "SSL handshake failed"
        self.fatal_error(exception, message)
        return self.wake(exception)

    cdef NoResult start_timer(self, object seconds, object check) except NoResult.EXC:
        self.timer = self.loop.call_later(seconds, check, context=self.context)
        return NoResult.OK

    cdef NoResult stop_timer(self) except NoResult.EXC:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        return NoResult.OK

    def _check_handshake_timeout(self):
        if self.state == HANDSHAKE:
            self.fatal_error(
                ConnectionAbortedError(
                    f"SSL handshake is taking longer than {self.handshake_timeout} seconds: "
                    "aborting the connection"),
                "Fatal error on transport")

    # ---- The end

    def is_closing(self):
        """Whether the transport is closed or about to be."""
        if asks_below and not self.closed and self.transport is not None:
            return self.transport.is_closing()
        return self.closed

    def close(self):
        """Send what was written, then tell the peer and end the connection."""
        if not self.closed:
            self.closed = True
            self.start_shutdown()
            return
        # From the second time on nothing is asked of it any more, as with asyncio.
        self.unwanted = True
        if self.transport is None:
            self.forget()

    def write_eof(self):
        """Not possible with TLS."""
        raise NotImplementedError

    def can_write_eof(self):
        """False: TLS can't be half-closed."""
        return False

    def abort(self):
        """End the connection at once and drop what is queued."""
        self._force_close(None)

    cdef NoResult start_shutdown(self) except NoResult.EXC:
        if self.is_over():
            return NoResult.OK
        self.closed = True
        if self.state == HANDSHAKE:
            return self.force_close(None)
        self.state = FLUSHING
        self.start_timer(self.shutdown_timeout, self._check_shutdown_timeout)
        return self.flush(NULL, 0)

    cdef NoResult flush(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        self.read(start, size)
        # A callback may have ended it.
        if self.state != FLUSHING or (self.kernel and self.waits()):
            return NoResult.OK
        self.state = SHUTDOWN
        return self.shut_down()

    cdef NoResult shut_down(self) except NoResult.EXC:
        cdef TlsEngine engine = self.engine
        cdef bint done = False
        cdef bint failed = False
        if not self.ended:
            try:
                done = engine.shut_down()
            except SSLError as exc:
                failed = True
                self.end(exc)
            if failed:
                return NoResult.OK
            if not done:
                return self.send_out()
        self.send_out()
        if self.kernel and self.waits():
            return NoResult.OK
        self.tell_end()
        return self.end(None)

    cdef bint waits(self) except -1:
        """Whether something has to be sent before the end, or before the connection below is closed."""
        return self.stream is not None and (
            self.held or self.backlog is not None or self.engine.has_records())

    cdef NoResult end_after_backlog(self) except NoResult.EXC:
        if (self.state == FLUSHING or self.state == SHUTDOWN) and not self.waits():
            return self.go_on()
        return NoResult.OK

    cdef NoResult end(self, object exception) except NoResult.EXC:
        if exception is not None or not timed_to_the_end:
            self.stop_timer()
        if exception is not None:
            return self.fatal_error(exception, "Fatal error on transport")
        if self.transport is None:
            return NoResult.OK
        self.loop.call_soon(self.transport.close, context=self.context)
        if timed_to_the_end and self.timer is None:
            return self.start_timer(self.shutdown_timeout, self._check_shutdown_timeout)
        return NoResult.OK

    cdef bint is_over(self) except -1:
        return self.state != WRAPPED and self.state != HANDSHAKE

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        if self.conn_lost >= LOG_THRESHOLD:
            logger.warning("SSL connection is closed")
        self.conn_lost += 1
        return NoResult.OK

    def _check_shutdown_timeout(self):
        if (self.state == FLUSHING or self.state == SHUTDOWN) and self.transport is not None:
            self.transport._force_close(TimeoutError("SSL shutdown timed out"))

    cdef NoResult force_close(self, object exception) except NoResult.EXC:
        self.state = UNWRAPPED
        if self.transport is not None:
            self.transport._force_close(exception)
        return NoResult.OK

    cdef NoResult fatal_error(self, object exception, str message) except NoResult.EXC:
        if not isinstance(exception, OSError):
            return self.protocol_failed(exception, message)
        if self.transport is not None:
            if isinstance(exception, SSLError):
                self.send_alert()
            self.transport._force_close(exception)
        if self.loop.debug:
            logger.debug("%r: %s", self, message, exc_info=exception)
        return NoResult.OK

    cdef NoResult protocol_failed(self, object exception, str message) except NoResult.EXC:
        cdef object transport = self.transport
        if transport is not None:
            transport._force_close(exception)
        if not isinstance(exception, CancelledError):
            self.loop.call_exception_handler({
                "message": message,
                "exception": exception,
                "transport": transport,
                "protocol": self,
            })
        return NoResult.OK

    cdef NoResult read(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        if self.state != WRAPPED and self.state != FLUSHING:
            leave_memory()
            return NoResult.OK
        self.blamed = False
        try:
            self.read_on(start, size)
        except Exception as exc:
            if self.blamed:
                self.protocol_failed(exc, "Fatal error on SSL protocol")
            else:
                self.fatal_error(exc, "Fatal error on SSL protocol")
        return NoResult.OK

    def _go_on(self):
        self.go_on()

    def _do_read(self):
        self.read(NULL, 0)

    # What TlsTransport does.

    cdef NoResult read_on(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult write_backlog(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult send_alert(self) except NoResult.EXC:
        raise NotImplementedError

    # ---- What it is

    def get_extra_info(self, name, default=None):
        """What is known of TLS, else of the connection below."""
        extra = self._extra
        if name in extra:
            return extra[name]
        return default if self.transport is None else self.transport.get_extra_info(name, default)

    # asyncio's private names, which its own code, its tests and libraries use.

    @property
    def _extra(self):
        extra = {} if self.sslcontext is None else {"sslcontext": self.sslcontext}
        if self.told:
            sslobj = self.engine.sslobj
            extra.update(peercert=self.peercert, cipher=sslobj.cipher(), compression=sslobj.compression(),
                         ssl_object=sslobj)
        return extra

    def _force_close(self, exc):
        self.closed = True
        self.force_close(exc)

    def _disown(self):
        # There is no connection, and nobody to warn.
        self.closed = True

    @property
    def _sendfile_compatible(self):
        return (constants._SendfileMode.TRY_NATIVE if self.kernel
                else constants._SendfileMode.FALLBACK)

    @property
    def _sslcontext(self):
        return self.sslcontext

    @property
    def _server_side(self):
        return self.server_side

    @property
    def _server_hostname(self):
        return self.server_hostname


cloop_seal(<PyTypeObject *>TlsBase)
