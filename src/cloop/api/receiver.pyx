"""Receiver; receiver.pxd is the manual."""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from cloop._c.pyapi cimport Py_DECREF
from cloop._c.socket cimport MSG_DONTWAIT, cloop_socket_number, iovec, msghdr, recv, recvmsg
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.readiness cimport would_block
from cloop.transports.scratch cimport bytes_memory, copy_out, new_bytes, scratch_of, stolen

cdef extern from *:
    int resize_bytes "_PyBytes_Resize"(PyObject **data, Py_ssize_t size) except -1

cdef enum:
    # Received bytes that are worth an object of their own before they come.
    LARGE = 16384


cdef class Receiver:
    """What the sock_ methods of a loop receive with."""

    def __cinit__(self, Reactor loop not None):
        self.scratch = scratch_of(loop)

    cdef bytes receive(self, object sock, Py_ssize_t size):
        cdef char *memory = self.scratch.memory
        cdef ssize_t n
        if self.expected >= LARGE and size >= LARGE:
            return self.receive_large(sock, size)
        use_memory()
        n = recv(cloop_socket_number(sock), memory, size, MSG_DONTWAIT)
        if n >= 0:
            if n >= LARGE:
                self.expected = n
            return copy_out(memory, n)
        leave_memory()
        if not would_block():
            PyErr_SetFromErrno(OSError)
        return None

    cdef bytes receive_large(self, object sock, Py_ssize_t size):
        """The same straight into an object as large as what came lately, which saves copying it.

        What comes beyond goes into the loop's buffer, so that a datagram is not cut short.
        """
        cdef char *memory = self.scratch.memory
        cdef Py_ssize_t room = min(size, self.expected)
        cdef PyObject *data = new_bytes(NULL, room)
        cdef iovec vector[2]
        cdef msghdr message
        cdef ssize_t n
        memset(&message, 0, sizeof(message))
        vector[0].iov_base = bytes_memory(data)
        vector[0].iov_len = room
        vector[1].iov_base = memory
        vector[1].iov_len = size - room
        message.msg_iov = vector
        message.msg_iovlen = 1 if size == room else 2
        n = recvmsg(cloop_socket_number(sock), &message, MSG_DONTWAIT)
        if n < 0:
            Py_DECREF(data)
            if not would_block():
                PyErr_SetFromErrno(OSError)
            return None
        if n != room:
            # Sets `data` to NULL where it fails.
            resize_bytes(&data, n)
        if n > room:
            memcpy(bytes_memory(data) + room, memory, n - room)
            self.expected = n
        else:
            self.expected -= (room - n) >> 2
        return <bytes>stolen(data)
