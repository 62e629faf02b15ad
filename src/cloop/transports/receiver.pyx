"""What takes memory; receiver.pxd is the manual."""

from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport cloop_seal
from cloop.core.shared cimport leave_memory


cdef class Receiver:
    """What is given memory."""

    def __cinit__(self, *args, **kwargs):
        self.most = MOST
        self.method = "buffer_updated"

    cdef char *room(self, char *shared, size_t *size) except NULL:
        size[0] = self.most
        return shared

    cdef NoResult received(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        leave_memory()
        raise NotImplementedError


cloop_seal(<PyTypeObject *>Receiver)
