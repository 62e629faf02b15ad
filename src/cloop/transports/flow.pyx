"""Write flow control; flow.pxd is the manual.

Derived from CPython's asyncio/transports.py (PSF License Agreement): defaults, messages, timing.
"""

from cpython.object cimport PyTypeObject
from cpython.pyport cimport PY_SSIZE_T_MAX

from cloop._c.pyapi cimport cloop_seal
from cloop.core.shared cimport code_may_run

cdef enum:
    DEFAULT_HIGH = 65536
    DEFAULT_LOW = 16384  # a quarter of it


cdef tuple water_marks(object high, object low, Py_ssize_t default_high):
    if high is None:
        high = default_high if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return int(min(high, PY_SSIZE_T_MAX)), int(min(low, PY_SSIZE_T_MAX))


cdef NoResult call_protocol(Reactor loop, object protocol, str method, object transport,
                            object shown) except NoResult.EXC:
    code_may_run()
    try:
        getattr(protocol, method)()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        loop.call_exception_handler({
            "message": f"protocol.{method}() failed",
            "exception": exc,
            "transport": transport,
            "protocol": shown,
        })
    return NoResult.OK


cdef class Flow:
    """The write side's water marks."""

    def __cinit__(self, *args, **kwargs):
        self.high = DEFAULT_HIGH
        self.low = DEFAULT_LOW

    def get_write_buffer_size(self):
        """The number of bytes that were written and have not been sent."""
        return self.queued

    def get_write_buffer_limits(self):
        """The low and the high water mark, in bytes."""
        return (self.low, self.high)

    def set_write_buffer_limits(self, high=None, low=None):
        """Set the water marks that decide when the protocol is paused and resumed.

        `high` is four times `low` by default, `low` a quarter of `high`, 64 KiB and 16 KiB where
        neither is given. Raises ValueError unless high >= low >= 0.
        """
        self.high, self.low = water_marks(high, low, DEFAULT_HIGH)
        self.maybe_pause()

    cdef NoResult pause_protocol(self) except NoResult.EXC:
        self.protocol_paused = True
        return self.tell_protocol("pause_writing")

    cdef NoResult resume_protocol(self) except NoResult.EXC:
        self.protocol_paused = False
        return self.tell_protocol("resume_writing")

    cdef NoResult tell_protocol(self, str method) except NoResult.EXC:
        return call_protocol(self.loop, self.protocol, method, self, self.protocol)

    # asyncio's private names, which its own sendfile and libraries read.

    @property
    def _loop(self):
        return self.loop

    @property
    def _protocol(self):
        return self.protocol

    @property
    def _protocol_paused(self):
        return self.protocol_paused

    @property
    def _high_water(self):
        return self.high

    @property
    def _low_water(self):
        return self.low


cloop_seal(<PyTypeObject *>Flow)
