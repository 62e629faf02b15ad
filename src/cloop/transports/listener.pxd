"""Listener: accepts the connections of a listening socket and makes a transport for each.

A listener is in the fd table as itself, which keeps it alive while it listens. The server, which
owns the socket, stops it through stop_listening() before it closes the socket.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport sockaddr, socklen_t
from cloop.core.reactor cimport Reactor

@cython.final
cdef class Listener:
    cdef:
        Reactor loop
        object sock
        int fd
        object protocol_factory
        object server              # told of each transport; may be None
        # Instead of a plain transport, for TLS: called with (socket, peer's address, context, whether
        # the socket has TCP_NODELAY set).
        object accept
        object context             # copied for each connection
        int batch                  # connections that one event accepts at most
        bint listening             # in the fd table
        int budget                 # connections that the next event accepts at most
        bint more                  # the last one used it up
        size_t last_turn           # of the loop, in which that was
        bint no_delay              # accepted sockets have TCP_NODELAY set

        # For the sockets of connections.
        int family
        int type
        int proto

        NoResult start(self) except NoResult.EXC
        NoResult stop(self) except NoResult.EXC
        NoResult accept_batch(self) except NoResult.EXC
        NoResult refused(self) except NoResult.EXC
        NoResult admit(self, int fd, const sockaddr *address, socklen_t length) except NoResult.EXC
        NoResult connect(self, object sock, object peername, object context) except NoResult.EXC

# Tells of an accepted connection that was not to be, for the lack of a protocol, of a transport or of TLS.
# asyncio does so in debug mode only.
cdef NoResult report_not_made(Reactor loop, object exception, object protocol,
                              object transport) except NoResult.EXC
