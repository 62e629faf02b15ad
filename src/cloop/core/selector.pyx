"""Selector; selector.pxd is the manual."""

import selectors

cimport cython
from cpython.object cimport PyObject_GenericSetAttr

from cloop._c.clock cimport ns_from_seconds, ns_t
from cloop.poll.poller cimport Fired


cdef class Selector:
    """The loop's poller, as tools look at asyncio's selectors."""

    def __cinit__(self, Reactor loop not None):
        self.loop = loop

    def select(self, timeout=None):
        """Wait `timeout` seconds at most, without limit for None, and have run what fired.

        Returns that as (key, events), as selectors.BaseSelector does. Raises RuntimeError in another
        thread than the loop's, or if that is closed.
        """
        cdef Reactor loop = self.loop
        cdef ns_t timeout_ns = -1
        cdef Fired *fired
        cdef int i, n
        cdef list found = []
        loop.check_closed()
        loop.check_thread()
        if timeout is not None:
            timeout_ns = max(ns_from_seconds(timeout), 0)
        if timeout_ns != 0 and not loop.inbox.fall_asleep():
            timeout_ns = 0
        try:
            n = loop.poller.wait(timeout_ns)
        finally:
            loop.inbox.awake()
        for i in range(n):
            fired = &loop.poller.fired[i]
            if loop.watches.is_current(fired):
                found.append((self.key_of(fired.fd), fired.mask & loop.watches.interest(fired.fd)))
            loop.watches.fire(fired, loop.ready)
        return found

    def get_map(self):
        """What is watched: a dict of descriptor to selectors.SelectorKey."""
        return {fd: self.key_of(fd) for fd in self.loop.watches.snapshot()}

    @cython.always_allow_keywords(True)
    def get_key(self, fileobj):
        """The SelectorKey of a file or descriptor. Raises KeyError if it is not watched."""
        cdef object fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd not in self.loop.watches.snapshot():
            raise KeyError(f"{fileobj!r} is not registered")
        return self.key_of(fd)

    def fileno(self):
        """The poller's descriptor."""
        return self.loop.poller.fileno()

    cdef object key_of(self, int fd):
        cdef object owners = self.loop.watches.entries(fd)
        cdef int mask = self.loop.watches.interest(fd)
        return selectors.SelectorKey(self.loop.watches.file_of(fd), fd, mask, owners)

    def __setattr__(self, name, value):
        PyObject_GenericSetAttr(self, name, value)
        note_select(self)

    def __delattr__(self, name):
        if name not in vars(self):
            raise AttributeError(name)
        del vars(self)[name]
        note_select(self)


cdef NoResult note_select(Selector self) except NoResult.EXC:
    if self.loop.selector is self:
        self.loop.own_select = "select" in vars(self)
    return NoResult.OK


cdef object selector_of(Reactor loop):
    if loop.closed:
        return None
    if loop.selector is None:
        loop.selector = Selector.__new__(Selector, loop)
    return loop.selector


cdef NoResult set_selector(Reactor loop, object selector) except NoResult.EXC:
    loop.selector = selector
    if isinstance(selector, Selector):
        return note_select(<Selector>selector)
    loop.own_select = selector is not None
    return NoResult.OK
