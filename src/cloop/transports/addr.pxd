"""Socket addresses as Python has them, made and read without asking a socket object."""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport sockaddr, sockaddr_storage, socklen_t

# The address of the families that a server usually has (IPv4, IPv6, unix) as socket.getpeername()
# gives it. NotImplemented for any other family: ask the socket.
cdef object address_of(const sockaddr *address, socklen_t length)

# The address that the socket of this number is bound to; NotImplemented as above, and where the
# system has no answer. Connections of one server have one and the same object.
cdef object local_address(int fd)
# The other way round, for a socket of `family`: 0 where that takes more than reading numbers (a
# host's name, a family not in the above) or is an error; then the socket has to do it, and say it.
cdef socklen_t read_address(int family, object name, sockaddr_storage *address) except? 1

cdef struct Peer:
    sockaddr_storage address
    socklen_t length           # 0: none

# The peers of one socket: names that were made and read lately, so that whoever answers a peer, or
# is asked by few, does the conversion once. A name is found again by its identity, so only what
# nobody can change is kept: exact tuples, str, bytes, int.
@cython.final
cdef class Peers:
    cdef:
        int family
        # Received from: at first one, and a table of fixed size once there is a second.
        Peer *known
        list names             # theirs, or None
        size_t mask            # entries - 1
        size_t last            # the entry that was used last
        # Sent to.
        Peer chosen
        object chosen_name

        NoResult reserve(self, size_t count) except NoResult.EXC

        # None for length 0, as socket.recvfrom() has it.
        object name_of(self, const sockaddr_storage *address, socklen_t length)

        # NULL as read_address has 0. Good until the next call.
        const Peer *find(self, object name) except? NULL

cdef Peers new_peers(int family)
