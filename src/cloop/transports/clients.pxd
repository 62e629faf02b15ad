"""The transports of a server, known weakly: what the running version's Server keeps as `_clients`.

asyncio has a WeakSet there (from 3.13 on), whose bookkeeping in Python is a good part of what it costs
to accept and to end a connection. This is a ring through the transports themselves.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.ring cimport Node

@cython.final
cdef class ClientSet:
    cdef:
        Node head
        Py_ssize_t offset      # of a transport's node within it
        object foreign         # a WeakSet of what somebody else has attached; None until then

# What a transport has its server do: _attach and _detach, without a frame of Python where `server` is
# asyncio's own Server with a ClientSet. `node` is the transport's.
cdef NoResult attach(object server, Node *node, object transport) except NoResult.EXC
cdef NoResult detach(object server, Node *node, object transport) except NoResult.EXC
