"""Buffers of other people's; buffers.pxd is the manual."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyObject_GetBuffer


cdef bint view_buffer(BaseTransport transport, object protocol, Py_buffer *view) except -1:
    cdef bint viewed = False
    cdef object buffer = None
    try:
        buffer = protocol.get_buffer(-1)
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        buffer = None
        transport.protocol_failed(exc, "Fatal error: protocol.get_buffer() call failed.")
    if buffer is None:
        return False
    try:
        PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE)
        viewed = True
    except BaseException:
        # As socket.recv_into() says it, whatever the buffer itself has said.
        transport.fatal_error(
            TypeError("recv_into() argument 1 must be read-write bytes-like object, not "
                      f"{type(buffer).__name__}"),
            "Fatal read error on socket transport")
    return viewed


cdef bint view_data(BaseTransport transport, object data, Py_buffer *view, str message) except -1:
    cdef bint viewed = False
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
        viewed = True
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        transport.fatal_error(exc, message)
    return viewed
