"""Socket addresses as Python has them, made without asking a socket object."""

from cloop._c.socket cimport sockaddr, socklen_t

# The address of the families that a server usually has (IPv4, IPv6, unix) as socket.getpeername()
# gives it. NotImplemented for any other family: ask the socket.
cdef object address_of(const sockaddr *address, socklen_t length)

# The address that the socket of this number is bound to; NotImplemented as above, and where the
# system has no answer. Connections of one server have one and the same object.
cdef object local_address(int fd)
