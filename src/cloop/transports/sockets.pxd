"""Making, knowing and closing socket objects without the frames of Python that these have."""

from cloop._c.pyapi cimport NoResult

# socket.socket(family, type, proto, fd).
cdef object make_socket(int family, int type, int proto, int fd)

# socket.socket.close().
cdef NoResult close_socket(object sock) except NoResult.EXC

# Whether it truly is one, in whose struct the number of its descriptor can be read: isinstance() believes
# what the object says of itself.
cdef bint is_socket(object sock) noexcept
