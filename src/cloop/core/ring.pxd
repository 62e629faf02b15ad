"""Rings through live objects, which are not kept alive by them: a set of weak references at no cost.

The head lies in whoever wants to know the members, a node in each of these. A member takes itself out,
at the latest when it is freed; whoever has the head empties the ring when it is freed itself, since
members that die in the same collection may come after it.
"""

from cpython.object cimport PyObject

# As CPython's llist_node, so that a ring of cloop's nodes may be one of the interpreter's lists.
cdef struct Node:
    Node *next
    Node *previous

cdef inline void init_ring(Node *head) noexcept:
    head.next = head.previous = head

cdef inline void link_node(Node *head, Node *node) noexcept:
    node.previous = head.previous
    node.next = head
    head.previous.next = node
    head.previous = node

cdef inline void unlink_node(Node *node) noexcept:
    """Take a node out of its ring; does nothing where it is in none."""
    if node.next != NULL:
        node.previous.next = node.next
        node.next.previous = node.previous
        node.next = node.previous = NULL

cdef inline void empty_ring(Node *head) noexcept:
    while head.next != NULL and head.next != head:
        unlink_node(head.next)

# The object that a node lies in, `offset` bytes from its beginning.
cdef inline PyObject *owner_of(Node *node, Py_ssize_t offset) noexcept:
    return <PyObject *>(<char *>node - offset)

# The members, in the order in which they joined, as a list.
cdef list members_of(Node *head, Py_ssize_t offset)
