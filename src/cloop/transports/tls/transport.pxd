"""TlsTransport: what an application sees of a TLS connection.

It is a Sender (transports/sender) whose kernel is the machine (transports/tls/machine): what is written
goes there at once, or waits in the queue until the machine takes it. Nothing waits here for the end of the
turn, as records are queued for that by the transport below. All else it asks the machine.

As with asyncio's, the mark at which the protocol is paused is part of what pauses it; so `high` is one less
than the mark.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.transports.sender cimport Sender
from cloop.transports.tls.machine cimport TlsMachine

@cython.final
cdef class TlsTransport(Sender):
    cdef:
        TlsMachine machine

        dict __dict__
        object __weakref__

        cpdef write(self, data)
        NoResult set_marks(self, object high, object low) except NoResult.EXC
