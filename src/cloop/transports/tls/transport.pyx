"""TlsTransport; transport.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/sslproto.py (PSF License Agreement),
which contains code from uvloop (MIT License, Copyright (c) 2015-2021 MagicStack Inc.).
"""

import warnings
from asyncio import constants
from asyncio.log import logger
from asyncio.sslproto import SSLProtocol, _SSLProtocolTransport

try:
    import ssl
except ImportError:  # a Python that was built without OpenSSL
    ssl = None

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport cloop_drop_instance_dict, cloop_hide_new, cloop_show
from cloop.core.reactor cimport Reactor
from cloop.transports.flow cimport call_protocol, water_marks
from cloop.transports.scratch cimport scratch_of

cdef enum:
    LOG_THRESHOLD = 5

cdef object asyncio_transport = _SSLProtocolTransport
cdef Py_ssize_t READ_HIGH = constants.FLOW_CONTROL_HIGH_WATER_SSL_READ * 1024
cdef Py_ssize_t WRITE_HIGH = constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE * 1024
# From 3.14.10 on is_closing() asks the transport below.
cdef bint asks_below = hasattr(SSLProtocol, "_is_transport_closing")


cdef object checked_timeout(object seconds, str name, object default):
    """A time-out in seconds, or the default for None. Raises ValueError where it is not positive."""
    if seconds is None:
        return default
    if seconds <= 0:
        raise ValueError(f"{name} should be a positive number, got {seconds}")
    return seconds


cdef bytes copy_of(object data):
    """Its bytes, which nobody can change."""
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<const char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef class TlsTransport(Sender):
    """A transport over TLS. Its `_ssl_protocol` is the protocol of the transport below."""

    _start_tls_compatible = True
    _sendfile_compatible = constants._SendfileMode.FALLBACK

    def __cinit__(self, Reactor loop not None, protocol, sslcontext, waiter=None, bint server_side=False,
                  server_hostname=None, bint call_connection_made=True, ssl_handshake_timeout=None,
                  ssl_shutdown_timeout=None):
        cloop_drop_instance_dict(self)
        if ssl is None:
            raise RuntimeError("stdlib ssl module not available")
        handshake_timeout = checked_timeout(
            ssl_handshake_timeout, "ssl_handshake_timeout", constants.SSL_HANDSHAKE_TIMEOUT)
        shutdown_timeout = checked_timeout(
            ssl_shutdown_timeout, "ssl_shutdown_timeout", constants.SSL_SHUTDOWN_TIMEOUT)
        self.loop = loop
        self.scratch = scratch_of(loop)
        self.protocol = protocol
        self.never_waits = True
        self.set_marks(None, None)
        self.machine = TlsMachine.__new__(
            TlsMachine, self, loop, sslcontext, waiter, server_side, server_hostname, call_connection_made,
            handshake_timeout, shutdown_timeout)
        cloop_show(self)

    def __del__(self):
        if not self.machine.closed:
            self.machine.closed = True
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self)

    @property
    def __class__(self):
        # As for transports/base: to isinstance() it is what asyncio's own is.
        return asyncio_transport

    def __repr__(self):
        below = self.machine.records.below
        cdef str state = "open" if not self.machine.closed else "closed" if below is None else "closing"
        return f"<{type(self).__name__} {state} over {below!r}>"

    def get_protocol(self):
        """The protocol that is told of what happens."""
        return self.protocol

    @cython.always_allow_keywords(True)
    def set_protocol(self, protocol):
        """Tell another protocol from now on."""
        self.protocol = protocol
        self.machine.use_sink(protocol)

    def get_extra_info(self, name, default=None):
        """What is known of TLS, else of the connection below."""
        extra = self.machine.extra_info()
        if name in extra:
            return extra[name]
        below = self.machine.records.below
        return default if below is None else below.get_extra_info(name, default)

    # ---- Reading

    def is_reading(self):
        """Whether data is being received: not while paused."""
        return not self.machine.reading_paused

    def pause_reading(self):
        """Deliver nothing more until resume_reading() is called."""
        self.machine.reading_paused = True

    def resume_reading(self):
        """Deliver again."""
        if self.machine.reading_paused:
            self.machine.reading_paused = False
            self.loop.call_soon(self.machine._go_on, context=self.machine.context)

    def set_read_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the transport below is paused and resumed."""
        self.machine.read_high, self.machine.read_low = water_marks(high, low, READ_HIGH)
        self.machine.control_reading()

    def get_read_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.machine.read_low, self.machine.read_high)

    def get_read_buffer_size(self):
        """The number of bytes that came and have not been decrypted."""
        return self.machine.records.engine.unread()

    # ---- Writing

    cpdef write(self, data):
        """Encrypt and send bytes, a bytearray or a memoryview."""
        cdef Py_buffer view
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
        if not data:
            return
        if self.machine.is_over():
            self.count_lost_write()
            return
        try:
            if type(data) is bytes:
                self.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            else:
                PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
                try:
                    self.put(None, <const char *>view.buf, view.len)
                finally:
                    PyBuffer_Release(&view)
            self.machine.go_on_writing()
        except Exception as exc:
            self.machine.fatal_error(exc, "Fatal error on SSL protocol")

    @cython.always_allow_keywords(True)
    def writelines(self, list_of_data):
        """Encrypt and send several bytes-like objects, each in records of its own."""
        if self.machine.is_over():
            self.count_lost_write()
            return
        # All of them first: what has no length raises here, as in asyncio.
        cdef list pieces = [data for data in list_of_data if len(data)]
        try:
            for piece in [copy_of(data) for data in pieces]:
                if piece:
                    self.queue(<bytes>piece, 0)
            self.machine.go_on_writing()
        except Exception as exc:
            self.machine.fatal_error(exc, "Fatal error on SSL protocol")

    cdef ssize_t send_memory(self, const char *start, size_t size) except -2:
        """How much the machine takes: none where it has to wait."""
        cdef Py_ssize_t made = 0
        cdef Py_ssize_t n = self.machine.encrypt(start, size, &made)
        self.machine.records.pass_on(&made)
        return n

    cdef NoResult send_queued(self) except NoResult.EXC:
        """What is queued, as far as the machine takes it, in one go."""
        cdef Py_ssize_t made = 0
        cdef Py_ssize_t offset, size, n
        cdef bytes piece
        while self.queued:
            piece = self.first_piece()
            offset = self.offset
            size = PyBytes_GET_SIZE(piece) - offset
            n = self.machine.encrypt(PyBytes_AS_STRING(piece) + offset, size, &made)
            # The queue goes with the connection.
            if self.queued:
                self.take_sent(n)
            if n < size:
                break
        return self.machine.records.pass_on(&made)

    cdef NoResult wait_writable(self) except NoResult.EXC:
        """The machine goes on of its own accord."""
        return NoResult.OK

    cdef NoResult count_lost_write(self) except NoResult.EXC:
        if self.conn_lost >= LOG_THRESHOLD:
            logger.warning("SSL connection is closed")
        self.conn_lost += 1
        return NoResult.OK

    cdef NoResult tell_protocol(self, str method) except NoResult.EXC:
        if self.protocol is None:
            return NoResult.OK
        return call_protocol(self.loop, self.protocol, method, self, self.machine)

    cdef NoResult set_marks(self, object high, object low) except NoResult.EXC:
        self.high, self.low = water_marks(high, low, WRITE_HIGH)
        self.high -= 1
        return NoResult.OK

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed."""
        self.set_marks(high, low)
        self.machine.go_on_writing()

    def get_write_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.low, self.high + 1)

    def can_write_eof(self):
        """False: TLS can't be half-closed."""
        return False

    def write_eof(self):
        """Not possible with TLS."""
        raise NotImplementedError

    # ---- The end

    def is_closing(self):
        """Whether the transport is closed or about to be."""
        below = self.machine.records.below
        if asks_below and not self.machine.closed and below is not None:
            return below.is_closing()
        return self.machine.closed

    def close(self):
        """Send what was written, then tell the peer and end the connection."""
        self.machine.close()

    def abort(self):
        """End the connection at once and drop what is queued."""
        self._force_close(None)

    # asyncio's private names, which its own code, its tests and libraries use.

    def _force_close(self, exc):
        self.machine.closed = True
        self.machine.force_close(exc)

    def _test__append_write_backlog(self, data):
        self.queue(bytes(data), 0)

    @property
    def _ssl_protocol(self):
        return self.machine

    @property
    def _context(self):
        return self.machine.context


# Programs look for "SSL" in the name of a transport's type.
(<PyTypeObject *>TlsTransport).tp_name = "cloop.transports.tls._SSLProtocolTransport"
cloop_hide_new(<PyTypeObject *>TlsTransport)
