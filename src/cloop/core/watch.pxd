"""The fd table: who waits for which descriptor, and who owns it.

For each descriptor number the interest the poller knows, a generation that grows whenever interest
ends, an entry (owner, function) for each direction, and the transport that claims the descriptor.
An event becomes ready entries here; one whose generation is old belongs to an earlier file of that
number and is dropped.
"""

cimport cython
from libc.stdint cimport uint32_t

from cloop._c.pyapi cimport NoResult
from cloop.core.ready cimport Ready, run_t
from cloop.poll.poller cimport Fired, Poller

# How the poller knows a descriptor's interest.
cdef enum Shots:
    LASTING    # until it is given up
    ARMED      # it ends with the next record
    SPENT      # it has ended; the kernel may keep the entry, which fires no more

cdef struct Watch:
    uint32_t gen
    uint32_t mask        # interest, as the poller was told
    Shots shots
    run_t reader         # meaningful where the mask has the bit
    run_t writer

@cython.final
cdef class WatchTable:
    cdef:
        Poller poller
        Watch *watches       # by descriptor
        int size             # descriptors there is room for
        # By 3 * descriptor: the reader's owner, the writer's owner, and a weak reference to the
        # transport that claims the descriptor; None where there is none.
        list owners
        readonly int count   # descriptors with interest
        int quiet            # of these, how many there is no need to look at while the loop is busy
        dict files           # descriptor -> the file object it was given as, kept open

        # Wait for a direction (READ or WRITE); replaces an earlier entry and returns its owner, or
        # None. Raises OSError where the kernel refuses, ValueError for a negative descriptor.
        object watch(self, int fd, uint32_t direction, object owner, run_t run)

        # The same for who waits for one event and does not care for more: of a descriptor that is
        # watched for nothing else, that costs one system call, and unwatch() after the event none.
        # Where it was too early (the system call says EAGAIN after all), rearm().
        object watch_once(self, int fd, uint32_t direction, object owner, run_t run)
        NoResult rearm(self, int fd) except NoResult.EXC

        # Stop waiting; returns the entry's owner, or None if there was none.
        object unwatch(self, int fd, uint32_t direction)

        # The owners of the reader's and of the writer's entry.
        tuple entries(self, int fd)

        # Turns a poller's record into ready entries.
        NoResult fire(self, Fired *fired, Ready ready) except NoResult.EXC

        # `transport` owns `fd` from now on; claim(fd, None) ends that.
        NoResult claim(self, int fd, object transport) except NoResult.EXC
        object claimant(self, int fd)

        NoResult reserve(self, int fd) except NoResult.EXC
        NoResult set_mask(self, int fd, uint32_t mask) except NoResult.EXC
        NoResult note_mask(self, Watch *watch, uint32_t mask) except NoResult.EXC
        object put_entry(self, int fd, uint32_t direction, object owner, run_t run)
