"""Flow: the water marks of what was written, as asyncio's _FlowControlMixin.

The room's lowest class: whoever keeps bytes back counts them in `queued`, calls `maybe_pause` when
that grows and `maybe_resume` when it shrinks. The protocol hears of it from inside those calls.
"""

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor

# asyncio's defaults for what is not given, checked: (high, low). Raises ValueError.
cdef tuple water_marks(object high, object low, Py_ssize_t default_high)

# Call a method without arguments; what it raises goes to the exception handler, with `transport` and
# `shown` as its protocol.
cdef NoResult call_protocol(Reactor loop, object protocol, str method, object transport,
                            object shown) except NoResult.EXC

cdef class Flow:
    cdef:
        # Both are None once the connection is lost and the protocol knows.
        Reactor loop
        object protocol

        Py_ssize_t queued      # bytes that were written and that the kernel has not taken
        Py_ssize_t high        # above it the protocol is paused
        Py_ssize_t low         # at it or below, a paused protocol is resumed
        bint protocol_paused

        NoResult pause_protocol(self) except NoResult.EXC
        NoResult resume_protocol(self) except NoResult.EXC
        NoResult tell_protocol(self, str method) except NoResult.EXC

        inline NoResult maybe_pause(self) except NoResult.EXC:
            if self.queued > self.high and not self.protocol_paused:
                return self.pause_protocol()
            return NoResult.OK

        inline NoResult maybe_resume(self) except NoResult.EXC:
            if self.protocol_paused and self.queued <= self.low:
                return self.resume_protocol()
            return NoResult.OK
