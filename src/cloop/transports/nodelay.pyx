"""TCP_NODELAY, which asyncio sets on TCP connections since 3.6; nodelay.pxd is the manual."""

import _socket
import socket

from cloop._c.socket cimport AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, setsockopt
from cloop.transports.sockets cimport is_socket

# Past the properties of socket.socket, which make an enum member on each call.
cdef object plain_family = _socket.socket.family.__get__
cdef object plain_type = _socket.socket.type.__get__
cdef object plain_proto = _socket.socket.proto.__get__
cdef int STREAM = socket.SOCK_STREAM


cdef bint is_tcp(object sock, bint plain) except -1:
    # 0 is the family's own protocol. asyncio takes it for none; but a listening socket that was made
    # by socket.socket() has it, and with it all that it accepts.
    if plain:
        return (plain_family(sock) in (AF_INET, AF_INET6) and plain_type(sock) == STREAM
                and plain_proto(sock) in (0, IPPROTO_TCP))
    return (sock.family in (AF_INET, AF_INET6) and sock.type == STREAM
            and sock.proto in (0, IPPROTO_TCP))


cdef bint set_no_delay(object sock) except -1:
    """Small writes go out without waiting for the peer to acknowledge earlier ones; True if so."""
    cdef int one = 1
    if not is_tcp(sock, is_socket(sock)):
        return False
    return setsockopt(sock.fileno(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0
