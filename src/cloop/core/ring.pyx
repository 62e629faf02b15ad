"""Rings; ring.pxd is the manual."""

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)


cdef list members_of(Node *head, Py_ssize_t offset):
    cdef Node *node
    cdef list found
    # Keeping one may make the list grow, which may run the collector and so change the ring: count
    # first, make room, then fill it in one go.
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t size = 0
    node = head.next
    while node != head:
        size += 1
        node = node.next
    found = [None] * size
    node = head.next
    while node != head and i < size:
        # One that is being freed is not to be had any more.
        if Py_REFCNT(owner_of(node, offset)) > 0:
            found[i] = <object>owner_of(node, offset)
        i += 1
        node = node.next
    return [member for member in found if member is not None]
