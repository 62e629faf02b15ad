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
from cloop.poll.poller cimport READ, WRITE, Fired, Poller

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

# Beside READ and WRITE: whose slot the claim on a descriptor is in.
cdef enum:
    CLAIM = 4

# Where WatchTable.owners has who waits for a direction.
cdef inline Py_ssize_t slot_of(int fd, uint32_t direction) noexcept nogil:
    return 3 * <Py_ssize_t>fd + (direction >> 1)

cdef enum:
    # What is received before the callbacks of one turn: bytes, and transports.
    EARLY_BYTES = 65536
    EARLY_TIMES = 256

# Receives what is small as soon as the poller tells of it, and pushes the entry that hands it over; where
# there is nothing small, the entry that receives.
ctypedef NoResult (*early_t)(object owner, Ready ready) except NoResult.EXC

@cython.final
cdef class WatchTable:
    cdef:
        Poller poller
        # Entries for reading with the first of these functions are not pushed, but their owners given to
        # the second one; set by transports/stream. As long as that has not received too much in this turn,
        # which it counts here; the reactor gives each turn what is due to it.
        run_t reads_early
        early_t receive_early
        Py_ssize_t early_bytes
        int early_times
        Watch *watches       # by descriptor
        int size             # descriptors there is room for
        # By slot_of(): the reader's owner, the writer's owner, and a weak reference to the transport that
        # claims the descriptor; None where there is none. No other module looks here.
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

        # Who waits for a direction of any number, or None.
        inline object owner_of(self, int fd, uint32_t direction):
            if fd < 0 or fd >= self.size:
                return None
            return self.owners[slot_of(fd, direction)]

        # Whether that is `owner`. Whoever has closed a descriptor behind its owner's back has given away its
        # number, and another one may wait there now.
        inline bint holds(self, int fd, uint32_t direction, object owner) noexcept:
            return 0 <= fd < self.size and self.owners[slot_of(fd, direction)] is owner

        # Stop waiting if it is `owner` who waits.
        inline NoResult unwatch_own(self, int fd, uint32_t direction, object owner) except NoResult.EXC:
            if self.holds(fd, direction, owner):
                self.unwatch(fd, direction)
            return NoResult.OK

        # The same wherever it waits.
        NoResult unwatch_all_of(self, object owner) except NoResult.EXC

        # The owners of the reader's and of the writer's entry.
        inline tuple entries(self, int fd):
            return self.owner_of(fd, READ), self.owner_of(fd, WRITE)

        # What the poller knows a descriptor's interest as; of a number that is watched.
        inline uint32_t interest(self, int fd) noexcept:
            return self.watches[fd].mask

        # Whether a poller's record is of what the number stands for now.
        inline bint is_current(self, Fired *fired) noexcept:
            return fired.fd < self.size and self.watches[fired.fd].gen == fired.gen

        # What the descriptor was given as: a file object, or its number.
        object file_of(self, int fd)

        # Turns a poller's record into ready entries.
        NoResult fire(self, Fired *fired, Ready ready) except NoResult.EXC

        # `transport` owns `fd` from now on; claim(fd, None) ends that.
        NoResult claim(self, int fd, object transport) except NoResult.EXC
        object claimant(self, int fd)

        NoResult reserve(self, int fd) except NoResult.EXC
        NoResult set_mask(self, int fd, uint32_t mask) except NoResult.EXC
        NoResult note_mask(self, Watch *watch, uint32_t mask) except NoResult.EXC
        object put_entry(self, int fd, uint32_t direction, object owner, run_t run)
