"""The clients of servers; clients.pxd is the manual."""

import weakref
from asyncio import base_events

from cpython.object cimport PyObject

from cloop.core.ring cimport empty_ring, init_ring, link_node, members_of, unlink_node

cdef object Server = base_events.Server
# The server is told which transport it is from 3.13 on.
cdef bint takes_transport = Server._attach.__code__.co_argcount == 2


cdef class ClientSet:
    """A set of weak references to transports, as Server uses one."""

    def __cinit__(self):
        init_ring(&self.head)

    def __dealloc__(self):
        empty_ring(&self.head)

    def add(self, transport):
        """Add one that is not cloop's."""
        if self.foreign is None:
            self.foreign = weakref.WeakSet()
        self.foreign.add(transport)

    def discard(self, transport):
        """Remove one that add() has added."""
        if self.foreign is not None:
            self.foreign.discard(transport)

    def copy(self):
        """The transports, as a list."""
        members = members_of(&self.head, self.offset)
        return members if self.foreign is None else members + list(self.foreign)

    def __iter__(self):
        return iter(self.copy())

    def __contains__(self, transport):
        return transport in self.copy()

    def __len__(self):
        return len(self.copy())


cdef bint is_known(object server, object clients) except -1:
    """Whether the server's _attach and _detach do what we take them to do."""
    return type(server) is Server and type(clients) is ClientSet


cdef NoResult attach(object server, Node *node, object transport) except NoResult.EXC:
    if not takes_transport:
        server._attach()
        return NoResult.OK
    clients = getattr(server, "_clients", None)
    if is_known(server, clients) and server._sockets is not None:
        (<ClientSet>clients).offset = <char *>node - <char *><PyObject *>transport
        link_node(&(<ClientSet>clients).head, node)
    else:
        server._attach(transport)
    return NoResult.OK


cdef NoResult detach(object server, Node *node, object transport) except NoResult.EXC:
    cdef ClientSet clients
    if not takes_transport:
        server._detach()
        return NoResult.OK
    known = getattr(server, "_clients", None)
    if node.next == NULL or not is_known(server, known):
        unlink_node(node)
        server._detach(transport)
        return NoResult.OK
    unlink_node(node)
    clients = <ClientSet>known
    if clients.head.next == &clients.head and server._sockets is None and not len(clients):
        server._wakeup()
    return NoResult.OK
