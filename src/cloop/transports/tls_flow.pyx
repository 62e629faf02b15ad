"""TlsFlow; tls_flow.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/sslproto.py (PSF License Agreement),
which contains code from uvloop (MIT License, Copyright (c) 2015-2021 MagicStack Inc.).
"""

from asyncio import constants

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport cloop_seal
from cloop.transports.flow cimport call_protocol, water_marks

cdef Py_ssize_t READ_HIGH = constants.FLOW_CONTROL_HIGH_WATER_SSL_READ * 1024
cdef Py_ssize_t WRITE_HIGH = constants.FLOW_CONTROL_HIGH_WATER_SSL_WRITE * 1024


cdef object checked_timeout(object seconds, str name, object default):
    if seconds is None:
        return default
    if seconds <= 0:
        raise ValueError(f"{name} should be a positive number, got {seconds}")
    return seconds


cdef class TlsFlow(Sink):
    """Flow control in both directions."""

    def __cinit__(self, *args, **kwargs):
        if type(self) is TlsFlow:
            raise TypeError("TlsFlow has no use by itself")
        self.read_high, self.read_low = water_marks(None, None, READ_HIGH)
        self.write_high, self.write_low = water_marks(None, None, WRITE_HIGH)

    # ---- Reading

    def is_reading(self):
        """Whether data is being received: not while paused."""
        return not self.reading_paused

    def pause_reading(self):
        """Deliver nothing more until resume_reading() is called."""
        self.reading_paused = True

    def resume_reading(self):
        """Deliver again."""
        if self.reading_paused:
            self.reading_paused = False
            self.loop.call_soon(self._go_on, context=self.context)

    cdef NoResult control_reading(self) except NoResult.EXC:
        """Receive nothing more while what waits to be read is above the mark."""
        cdef Py_ssize_t size = self.engine.unread()
        if self.transport is None:
            return NoResult.OK
        if size >= self.read_high and not self.below_paused:
            self.below_paused = True
            self.transport.pause_reading()
        elif size <= self.read_low and self.below_paused:
            self.below_paused = False
            self.transport.resume_reading()
        return NoResult.OK

    def set_read_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the transport below is paused and resumed."""
        self.read_high, self.read_low = water_marks(high, low, READ_HIGH)
        self.control_reading()

    def get_read_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.read_low, self.read_high)

    def get_read_buffer_size(self):
        """The number of bytes that came and have not been decrypted."""
        return self.engine.unread()

    # ---- Writing

    def pause_writing(self):
        """The transport below has enough for now."""
        self.below_full = True

    def resume_writing(self):
        """The transport below takes more."""
        if self.held:
            return
        self.below_full = False
        self.send_out()
        if self.kernel:
            self.end_after_backlog()

    cdef Py_ssize_t unsent(self) except -1:
        return self.engine.unsent() + self.backlog_size

    cdef NoResult control_writing(self) except NoResult.EXC:
        cdef Py_ssize_t size = self.unsent()
        if self.protocol is None:
            return NoResult.OK
        if size >= self.write_high and not self.writing_paused:
            self.writing_paused = True
            return self.tell_writing("pause_writing")
        # While the transport below is full, little here says nothing: it may have been full before we came.
        if size <= self.write_low and self.writing_paused and not self.below_full:
            self.writing_paused = False
            return self.tell_writing("resume_writing")
        return NoResult.OK

    cdef NoResult tell_writing(self, str method) except NoResult.EXC:
        return call_protocol(self.loop, self.protocol, method, self, self)

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed."""
        self.write_high, self.write_low = water_marks(high, low, WRITE_HIGH)
        self.control_writing()

    def get_write_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.write_low, self.write_high)

    def get_write_buffer_size(self):
        """The number of bytes that were written and have not been passed on."""
        return self.unsent()

    def _stay_paused(self, bint told):
        # The transport below has said pause_writing() before we came; `told` is whether to our protocol.
        self.below_full = True
        self.writing_paused = told

    cdef NoResult send_out(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult end_after_backlog(self) except NoResult.EXC:
        raise NotImplementedError

    # asyncio's private names: for its sendfile, and for who asks its `_ssl_protocol`, which this is.

    @property
    def _protocol_paused(self):
        return self.writing_paused

    @property
    def _app_reading_paused(self):
        return self.reading_paused

    def _feed(self, data):
        # Ciphertext that somebody else has received.
        cdef bytes whole = bytes(data)
        self.engine.feed(PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))

    def _test__append_write_backlog(self, data):
        if self.backlog is None:
            self.backlog = []
        self.backlog.append(bytes(data))
        self.backlog_size += len(data)

    @property
    def _loop(self):
        return self.loop

    # In asyncio two objects have these, the transport and its `_ssl_protocol`.

    @property
    def _ssl_protocol(self):
        return self

    @property
    def _app_protocol(self):
        return self.protocol

    @property
    def _app_transport(self):
        return None if self.protocol is None else self

    @property
    def _sslobj(self):
        return self.engine.sslobj

    @property
    def _transport(self):
        return self.transport


cloop_seal(<PyTypeObject *>TlsFlow)
