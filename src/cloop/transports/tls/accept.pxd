"""TlsAcceptor: what a listener does with a connection that is to be TLS.

asyncio makes a task for each connection, which waits for the handshake, closes the transport when that
fails, and tells of it in debug mode. Here the acceptor does so, as the observer of the handshake: no object
for each of them. What the task gives besides is that asyncio.run(), which cancels all tasks at its end,
ends handshakes that are under way; so the acceptor knows them, and the loop knows the acceptors (api/serve).

A connection becomes a client of its server when its protocol is told of it, after the handshake. Those
that are not are ended with the server: nobody has to wait for them.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor
from cloop.transports.tls.machine cimport HandshakeObserver

@cython.final
cdef class TlsAcceptor(HandshakeObserver):
    cdef:
        Reactor loop
        object protocol_factory
        object sslcontext      # ssl.SSLContext
        object server
        object listening       # the socket that was listened on
        object handshake_timeout   # seconds
        object shutdown_timeout
        set under_way          # the machines whose handshake is not over
