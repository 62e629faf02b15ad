"""The base class of pollers; poller.pxd is the contract."""

from cpython.object cimport PyTypeObject

from cloop._c.pyapi cimport cloop_seal


cdef class Poller:
    """Which file descriptors fired? `EpollPoller` and `KqueuePoller` are the answers."""

    cdef NoResult update(self, int fd, uint32_t gen, uint32_t old, uint32_t new) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult arm(self, int fd, uint32_t gen, uint32_t direction, bint known) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult make_lasting(self, int fd, uint32_t gen, uint32_t old,
                               uint32_t new) except NoResult.EXC:
        raise NotImplementedError

    cdef int wait(self, ns_t timeout_ns) except -1:
        raise NotImplementedError

    cdef void enter(self) noexcept:
        pass

    cdef void leave(self) noexcept:
        pass

    cdef NoResult wake(self) except NoResult.EXC:
        raise NotImplementedError

    cdef NoResult close(self) except NoResult.EXC:
        raise NotImplementedError

    # Children: never on a hot path.

    def watch_process(self, int pid):
        """Watch for the end of a child.

        Returns the descriptor that is readable as soon as some child is over (of no use but to be
        watched), or -1 where this poller can't do it.
        """
        return -1

    def take_ended(self):
        """The PIDs of the watched children that are over, each once."""
        return []

    # For the loop's owner and for `python -m cloop --info`; never on a hot path.

    def fileno(self):
        """The poller's own file descriptor, or -1 once closed."""
        return -1

    def features(self):
        """The kernel features in use, as a dict of name to text."""
        return {}


cloop_seal(<PyTypeObject *>Poller)
