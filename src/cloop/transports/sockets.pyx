"""Socket objects; sockets.pxd is the manual."""

import _socket
import socket

from cpython.object cimport PyObject_TypeCheck, PyTypeObject

cdef object plain_socket = _socket.socket
cdef object socket_class = socket.socket
cdef object plain_close = _socket.socket.close
cdef object plain_init = _socket.socket.__init__
# Whether what is below does all that the class's __init__ and close() do.
cdef bint knows_slots = socket.socket.__slots__ == ["__weakref__", "_io_refs", "_closed"]


cdef object make_socket(int family, int type, int proto, int fd):
    if not knows_slots:
        return socket_class(family, type, proto, fd)
    sock = socket_class.__new__(socket_class)
    plain_init(sock, family, type, proto, fd)
    sock._io_refs = 0
    sock._closed = False
    return sock


cdef NoResult close_socket(object sock) except NoResult.EXC:
    if type(sock) is not socket_class or not knows_slots:
        sock.close()
    else:
        sock._closed = True
        if sock._io_refs <= 0:
            plain_close(sock)
    return NoResult.OK


cdef bint is_socket(object sock) noexcept:
    return PyObject_TypeCheck(sock, <PyTypeObject *>plain_socket)
