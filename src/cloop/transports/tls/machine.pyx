"""TlsMachine; machine.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/sslproto.py (PSF License Agreement),
which contains code from uvloop (MIT License, Copyright (c) 2015-2021 MagicStack Inc.).
"""

from asyncio import CancelledError, constants
from asyncio.log import logger
from asyncio.sslproto import SSLProtocol, _create_transport_context

try:
    import ssl
    SSLError = ssl.SSLError
except ImportError:  # a Python that was built without OpenSSL
    ssl = None
    SSLError = OSError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport CLOOP_DEBUG, cloop_hide_new, cloop_seal, cloop_show
from cloop.core.counts cimport register
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.flow cimport water_marks
from cloop.transports.scratch cimport scratch_of
from cloop.transports.sink cimport MOST, BufferSink
from cloop.transports.stream cimport sink_of
from cloop.transports.tls.engine cimport AGAIN, RECORD, REFUSED, WHOLE_RECORD, new_engine, spent_engine
from cloop.transports.tls.records cimport FULL, Records, context_of

cdef enum:
    # What is received at once. A BufferedProtocol's ciphertext waits in the engine, whose memory never
    # shrinks.
    BUFFERED_MOST = 65536
    # With the record that the last ciphertext may have left over it fits into a spare object.
    PLAIN_MOST = MOST - WHOLE_RECORD
    # Of read_some(): the protocol has raised something, and the connection ends.
    FAILED = 2
    # What is asked for where next to nothing has come: an end is not seen with no room at all.
    LEAST = 64

cdef Py_ssize_t READ_HIGH = constants.FLOW_CONTROL_HIGH_WATER_SSL_READ * 1024
# From 3.14.10 on the time for a shutdown ends with the connection, not with the peer's answer.
cdef bint timed_to_the_end = (
    "_check_shutdown_timeout" in SSLProtocol._on_shutdown_complete.__code__.co_names)

cdef long live = 0
register("tls transports", &live)


cdef class HandshakeObserver:
    """Who is told of the end of a handshake."""

    cdef NoResult shaken(self, TlsMachine machine) except NoResult.EXC:
        return NoResult.OK

    cdef NoResult handshake_over(self, TlsMachine machine, object transport, object protocol,
                                 object exception) except NoResult.EXC:
        return NoResult.OK


cloop_seal(<PyTypeObject *>HandshakeObserver)


cdef class TlsMachine(Sink):
    """The states of a TLS connection: a protocol to the transport below, and its sink."""

    def __cinit__(self, Sender above not None, Reactor loop not None, sslcontext, waiter,
                  bint server_side, server_hostname, bint call_connection_made, handshake_timeout,
                  shutdown_timeout):
        global live
        self.counted = True
        if CLOOP_DEBUG:
            live += 1
        # Nobody needs to be warned of what was never made.
        self.closed = True
        self.handshake_timeout = handshake_timeout
        self.shutdown_timeout = shutdown_timeout
        self.sslcontext = sslcontext or _create_transport_context(server_side, server_hostname)
        self.server_side = server_side
        self.server_hostname = server_hostname if server_hostname and not server_side else None
        self.loop = loop
        self.waiter = waiter
        self.known = INIT if call_connection_made else MADE
        self.read_high, self.read_low = water_marks(None, None, READ_HIGH)
        self.above = above
        self.use_sink(above.protocol)
        self.records = Records()
        self.records.scratch = scratch_of(loop)
        self.records.engine = new_engine(self.sslcontext, server_side, self.server_hostname)
        self.closed = False
        cloop_show(self)

    def __dealloc__(self):
        global live
        if CLOOP_DEBUG and self.counted:
            live -= 1

    cdef NoResult use_sink(self, object protocol) except NoResult.EXC:
        self.sink = sink_of(protocol)
        if type(self.sink) is BufferSink:
            (<BufferSink>self.sink).receiver = "read() argument 2"
        return NoResult.OK

    # ---- What the transport below tells

    def connection_made(self, transport):
        """The connection below is there: begin the handshake."""
        if self.above is None:
            # It was on its way to its end, which has come first.
            return
        self.records.set_below(transport)
        self.context = context_of(transport)
        if self.closed:
            # Closed before it began.
            self.force_close(None)
            return
        if self.loop.debug:
            logger.debug("%r starts SSL handshake", self)
            self.began = self.loop.time()
        self.state = HANDSHAKE
        self.start_timer(self.handshake_timeout, self._check_handshake_timeout)
        self.shake_hands()

    def connection_lost(self, exc):
        """The connection below is over."""
        cdef Sender above = self.above
        cdef State state = self.state
        cdef object protocol
        if above is None:
            return
        protocol = above.protocol
        above.conn_lost += 1
        above.drop_queue()
        self.records.engine.take_all()
        self.closed = True
        self.state = UNWRAPPED
        try:
            if state != HANDSHAKE and (self.known == MADE or self.known == ENDED):
                self.known = LOST
                self.loop.call_soon(protocol.connection_lost, exc, context=self.context)
        finally:
            self.above = above.protocol = None
            self.records.set_below(None)
            self.sink = self.context = None
            self.stop_timer()
            self.wake(above, protocol, exc)
            if self.unwanted:
                self.forget()

    def data_received(self, data):
        """Ciphertext, from a transport that is not cloop's own."""
        self.received_bytes(self, self.records.scratch, bytes(data))

    cdef char *room(self, object protocol, Scratch scratch, size_t *size) except? NULL:
        if size[0]:
            return NULL
        use_memory()
        size[0] = BUFFERED_MOST if type(self.sink) is BufferSink else PLAIN_MOST
        return scratch.memory

    cdef str blame(self):
        return "Fatal error: protocol.buffer_updated() call failed."

    cdef NoResult received(self, object protocol, Scratch scratch, const char *start,
                           Py_ssize_t size) except NoResult.EXC:
        if self.state == HANDSHAKE or self.state == SHUTDOWN:
            self.records.feed(&start, &size)
            return self.go_on()
        return self.flush(start, size) if self.state == FLUSHING else self.read(start, size)

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
                self.go_on_writing()
                self.state = SHUTDOWN
                self.shut_down()
            elif self.state == SHUTDOWN:
                self.shut_down()
        except Exception:
            if self.records.below is not None:
                self.records.below.close()
            raise

    def pause_writing(self):
        """The transport below has enough for now."""
        self.records.below_full = True

    def resume_writing(self):
        """The transport below takes more."""
        self.records.below_full = False
        self.go_on_writing()

    # ---- Writing

    cdef NoResult go_on_writing(self) except NoResult.EXC:
        """Have what waits sent, as far as that can be now, and the application pause or go on."""
        cdef Sender above = self.above
        self.records.send_out()
        if above is None:
            return NoResult.OK
        try:
            if above.queued and self.takes_plaintext():
                above.send_queued()
        except Exception as exc:
            self.fatal_error(exc, "Fatal error on SSL protocol")
        if not above.protocol_paused:
            return above.maybe_pause()
        # While the transport below is full, little here says nothing: it may have been full before we came.
        return NoResult.OK if self.records.below_full else above.maybe_resume()

    # ---- Reading

    cdef NoResult read(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        """Decrypt what there is, and go on with what may have waited for that."""
        cdef int status = AGAIN
        if not WRAPPED <= self.state <= FLUSHING:
            leave_memory()
            return NoResult.OK
        try:
            if self.reading_paused or self.records.at_work:
                self.records.feed(&start, &size)
            else:
                status = self.read_all(start, size)
            if status != FAILED:
                self.go_on_writing()
                self.control_reading()
        except Exception as exc:
            leave_memory()
            self.fatal_error(exc, "Fatal error on SSL protocol")
        return NoResult.OK

    cdef int read_all(self, const char *start, Py_ssize_t size) except -2:
        # There is less plaintext than ciphertext; but of a record that is read in parts nobody says
        # how much is left.
        cdef Py_ssize_t least = LEAST
        cdef int status = FULL
        while status == FULL and not self.reading_paused and WRAPPED <= self.state <= FLUSHING:
            status = self.read_some(&start, &size, max(size + self.records.engine.unread(), least))
            least = RECORD
        if status == 0:
            self.tell_end()
            self.start_shutdown()
        return status

    cdef int read_some(self, const char **start, Py_ssize_t *size, Py_ssize_t expected) except -2:
        """Decrypt into one memory of the sink's, which gets that: as decrypt(), or FAILED."""
        cdef Sink sink = self.sink
        cdef object protocol = self.above.protocol
        cdef bint buffered = type(sink) is BufferSink
        cdef size_t capacity = expected
        cdef Py_ssize_t filled = 0
        cdef char *memory = NULL
        cdef int status = FAILED
        cdef bytes data = None
        if buffered:
            # Its protocol is asked first, and may do anything.
            self.records.feed(start, size)
            (<BufferSink>sink).hint = self.records.engine.unread()
        try:
            if buffered or self.records.engine.direct:
                memory = sink.room(protocol, self.records.scratch, &capacity)
            if memory == NULL:
                data = PyBytes_FromStringAndSize(NULL, capacity)
            self.records.at_work = True
            status = self.records.decrypt(memory if memory != NULL else PyBytes_AS_STRING(data), capacity,
                                          start, size, &filled)
            if status == REFUSED:
                if memory != NULL:
                    data = PyBytes_FromStringAndSize(memory, filled)
                    sink.nothing_came(self.records.scratch, memory)
                    memory = NULL
                # Raises something as a rule, and then what came before is lost, as with asyncio.
                status = self.records.engine.read_again()
            self.records.at_work = False
            if status == FULL and buffered:
                self.loop.call_soon(self._do_read, context=self.context)
                status = AGAIN
            if memory == NULL:
                if filled:
                    sink.received_bytes(protocol, self.records.scratch, data[:filled])
            elif filled:
                sink.received(protocol, self.records.scratch, memory, filled)
            else:
                sink.nothing_came(self.records.scratch, memory)
        except BaseException as exc:
            if self.records.at_work:
                self.records.at_work = False
                if memory != NULL:
                    sink.nothing_came(self.records.scratch, memory)
                raise
            if not isinstance(exc, Exception):
                raise
            status = FAILED
            self.protocol_failed(exc, "Fatal error on SSL protocol")
        return status

    cdef NoResult control_reading(self) except NoResult.EXC:
        """Receive nothing more while what waits to be read is above the mark."""
        cdef Py_ssize_t size = self.records.engine.unread()
        if self.records.below is None:
            return NoResult.OK
        if size >= self.read_high and not self.below_paused:
            self.below_paused = True
            self.records.below.pause_reading()
        elif size <= self.read_low and self.below_paused:
            self.below_paused = False
            self.records.below.resume_reading()
        return NoResult.OK

    cdef NoResult tell_end(self) except NoResult.EXC:
        """The peer sends nothing more."""
        if self.known != MADE:
            return NoResult.OK
        self.known = ENDED
        try:
            if self.above.protocol.eof_received():
                logger.warning("returning true from eof_received() has no effect when using ssl")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self.protocol_failed(exc, "Error calling eof_received()")
        return NoResult.OK

    # ---- Handshake

    cdef NoResult shake_hands(self) except NoResult.EXC:
        cdef bint done = False
        try:
            # Callbacks of the context's may run.
            done = self.records.engine.shake_hands()
        except SSLError as exc:
            self.stop_timer()
            self.not_shaken(exc)
        # It has failed, or a callback of the context's has ended it all.
        if self.state != HANDSHAKE:
            return NoResult.OK
        return self.shaken() if done else self.records.send_out()

    cdef NoResult shaken(self) except NoResult.EXC:
        cdef Sender above = self.above
        cdef bint done = False
        self.stop_timer()
        self.state = WRAPPED
        try:
            self.peercert = self.records.engine.peercert()
            done = True
        except Exception as exc:
            self.not_shaken(exc)
        if not done:
            return NoResult.OK
        if self.began is not None:
            logger.debug("%r: SSL handshake took %.1f ms", self, (self.loop.time() - self.began) * 1e3)
        self.told = True
        if self.known == INIT:
            self.known = MADE
            if isinstance(self.waiter, HandshakeObserver):
                (<HandshakeObserver>self.waiter).shaken(self)
            above.protocol.connection_made(above)
        self.wake(above, None, None)
        return self.read(NULL, 0)

    cdef NoResult not_shaken(self, object exception) except NoResult.EXC:
        cdef Sender above = self.above
        self.state = UNWRAPPED
        if isinstance(exception, ssl.CertificateError):
            message = "SSL handshake failed on verifying the certificate"
        else:
            message = "SSL handshake failed"
        self.fatal_error(exception, message)
        return self.wake(above, None if above is None else above.protocol, exception)

    cdef NoResult wake(self, object transport, object protocol, object exception) except NoResult.EXC:
        cdef object waiter = self.waiter
        self.waiter = None
        if isinstance(waiter, HandshakeObserver):
            return (<HandshakeObserver>waiter).handshake_over(self, transport, protocol, exception)
        if waiter is None or waiter.cancelled():
            return NoResult.OK
        if exception is not None:
            waiter.set_exception(exception)
        else:
            waiter.set_result(None)
        return NoResult.OK

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

    cdef NoResult close(self) except NoResult.EXC:
        """The application wants no more of it."""
        if not self.closed:
            self.closed = True
            return self.start_shutdown()
        # From the second time on nothing is asked of it any more, as with asyncio.
        self.unwanted = True
        return self.forget() if self.records.below is None else NoResult.OK

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
        if self.state != FLUSHING:
            return NoResult.OK
        self.state = SHUTDOWN
        return self.shut_down()

    cdef NoResult shut_down(self) except NoResult.EXC:
        cdef bint done = self.ended, failed = False
        try:
            done = done or self.records.engine.shut_down()
        except SSLError as exc:
            failed = True
            self.end(exc)
        if failed:
            return NoResult.OK
        self.records.send_out()
        if not done:
            return NoResult.OK
        self.tell_end()
        return self.end(None)

    cdef NoResult end(self, object exception) except NoResult.EXC:
        if exception is not None or not timed_to_the_end:
            self.stop_timer()
        if exception is not None:
            return self.fatal_error(exception, "Fatal error on transport")
        if self.records.below is None:
            return NoResult.OK
        self.loop.call_soon(self.records.below.close, context=self.context)
        if timed_to_the_end and self.timer is None:
            return self.start_timer(self.shutdown_timeout, self._check_shutdown_timeout)
        return NoResult.OK

    def _check_shutdown_timeout(self):
        if (self.state == FLUSHING or self.state == SHUTDOWN) and self.records.below is not None:
            self.records.below._force_close(TimeoutError("SSL shutdown timed out"))

    cdef NoResult forget(self) except NoResult.EXC:
        """Let go of what was kept for get_extra_info()."""
        self.told = False
        self.sslcontext = self.peercert = None
        self.records.engine = spent_engine()
        return NoResult.OK

    cdef NoResult force_close(self, object exception) except NoResult.EXC:
        self.state = UNWRAPPED
        if self.records.below is not None:
            self.records.below._force_close(exception)
        return NoResult.OK

    cdef NoResult fatal_error(self, object exception, str message) except NoResult.EXC:
        if not isinstance(exception, OSError):
            return self.protocol_failed(exception, message)
        if self.records.below is not None:
            if isinstance(exception, SSLError):
                self.records.send_alert()
            self.records.below._force_close(exception)
        if self.loop.debug:
            logger.debug("%r: %s", self, message, exc_info=exception)
        return NoResult.OK

    cdef NoResult protocol_failed(self, object exception, str message) except NoResult.EXC:
        cdef object below = self.records.below
        if below is not None:
            below._force_close(exception)
        if not isinstance(exception, CancelledError):
            self.loop.call_exception_handler({
                "message": message,
                "exception": exception,
                "transport": below,
                "protocol": self,
            })
        return NoResult.OK

    cdef object extra_info(self):
        """What get_extra_info() knows of TLS."""
        extra = {} if self.sslcontext is None else {"sslcontext": self.sslcontext}
        if self.told:
            sslobj = self.records.engine.sslobj
            extra.update(peercert=self.peercert, cipher=sslobj.cipher(), compression=sslobj.compression(),
                         ssl_object=sslobj)
        return extra

    # What api/tls does besides.

    def _feed(self, data):
        # Ciphertext that somebody else has received.
        cdef bytes whole = bytes(data)
        self.records.engine.feed(PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))

    def _stay_paused(self, bint told):
        # The transport below has said pause_writing() before we came; `told` is whether to our protocol.
        self.records.below_full = True
        if self.above is not None:
            self.above.protocol_paused = told

    def _disown(self):
        # There is no connection, and nobody to warn.
        self.closed = True

    def _go_on(self):
        self.go_on()

    def _do_read(self):
        self.read(NULL, 0)

    # asyncio's private names, which its own code, its tests and libraries use.

    @property
    def _loop(self):
        return self.loop

    @property
    def _app_protocol(self):
        return None if self.above is None else self.above.protocol

    @property
    def _app_transport(self):
        return self.above

    @property
    def _app_reading_paused(self):
        return self.reading_paused

    @property
    def _sslobj(self):
        return self.records.engine.sslobj

    @property
    def _transport(self):
        return self.records.below

    @property
    def _extra(self):
        return self.extra_info()

    @property
    def _sslcontext(self):
        return self.sslcontext

    @property
    def _server_side(self):
        return self.server_side

    @property
    def _server_hostname(self):
        return self.server_hostname


cloop_hide_new(<PyTypeObject *>TlsMachine)
