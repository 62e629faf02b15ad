"""What takes memory; receiver.pxd is the manual."""


cdef class Receiver:
    """A protocol that is given memory."""

    def __cinit__(self, *args, **kwargs):
        self.most = MOST

    cdef NoResult received(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        raise NotImplementedError
