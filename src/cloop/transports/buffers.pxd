"""Buffers of other people's, whose own code may fail: then the connection ends."""

from cloop.transports.base cimport BaseTransport

# A view of the memory that a BufferedProtocol offers, for the caller to release; whether there is one.
cdef bint view_buffer(BaseTransport transport, object protocol, Py_buffer *view) except -1

# The same of what is to be written, with the message for the error.
cdef bint view_data(BaseTransport transport, object data, Py_buffer *view, str message) except -1
