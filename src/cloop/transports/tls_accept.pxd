"""TlsAcceptor: what a listener does with a connection that is to be TLS.

asyncio makes a task for each connection, which waits for the handshake, closes the transport when that
fails, and tells of it in debug mode. Here an Admission does so, in the place of the future that the
task waits for: an object that costs a fraction of a task, future and coroutine. What the task gives
besides is that asyncio.run(), which cancels all tasks at its end, ends handshakes that are under way;
so the loop knows the admissions, and ends them when it is shut down.

A connection becomes a client of its server when its protocol is told of it, after the handshake. Those
that are not are ended with the server: nobody has to wait for them.
"""

cimport cython

from cloop.core.reactor cimport Reactor
from cloop.core.ring cimport Node

@cython.final
cdef class TlsAcceptor:
    cdef:
        Reactor loop
        object protocol_factory
        object sslcontext      # ssl.SSLContext
        object server
        object listening       # the socket that was listened on
        object handshake_timeout   # seconds
        object shutdown_timeout

@cython.final
cdef class Admission:
    cdef:
        TlsAcceptor acceptor
        object protocol
        object transport       # a TlsTransport, until the handshake is over
        Node node              # in the ring of those that are not

        bint is_client(self) noexcept
