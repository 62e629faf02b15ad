"""Rings through live objects, which are not kept alive by them: a set of weak references at no cost.

The head lies in whoever wants to know the members, a node in each of these. A member takes itself out,
at the latest when it is freed; whoever has the head empties the ring when it is freed itself, since
members that die in the same collection may come after it.
"""

from cpython.object cimport PyObject

cdef struct Node:
    Node *previous
    Node *next
    PyObject *object

cdef inline void init_ring(Node *head) noexcept:
    head.next = head.previous = head

cdef inline void link_node(Node *head, Node *node, object owner) noexcept:
    node.object = <PyObject *>owner
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

# The members, in the order in which they joined, as a list.
cdef list members_of(Node *head)
