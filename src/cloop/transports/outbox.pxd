"""When small writes leave: at once, or with the others of their turn.

Each send to a peer on the same machine that sleeps wakes it, which costs as much as a handful of
sends, more on a virtual machine; and to a peer on another one, each is a packet of its own. Where
a turn answers many peers, it is cheaper to let the answers go together at its end. There are two
ways, both of which begin only where the program's own past shows that they pay:

* Held: the data is the kernel's as soon as write() returns (MSG_MORE), and a push at the end of the
  turn sends it. A process that blocks or ends inside its callback has lost nothing: the kernel
  sends by itself, after 200 ms at most. The push is one more system call, about 0.3 us, so this is
  done only where a message costs much more, and only while other callbacks wait to run.
* Gathered: a protocol that makes many small writes in each turn has them queued and sent by one
  system call. Streams are left out, since StreamWriter.write() promises to try at once.
"""

cimport cython

from cloop._c.clock cimport monotonic_ns, ns_t
from cloop._c.socket cimport CLOOP_MSG_MORE
from cloop.core.reactor cimport Reactor

cdef enum:
    # Sends from one look at the clock to the next, and how long one may take then for the sends to
    # be held: below, the push is too much of it; above, the wake is too little, and who waits for
    # the end of the turn waits too long.
    SAMPLE = 64
    HOLD_FROM_NS = 8000
    HOLD_TO_NS = 200000
    # What is larger goes out at once.
    HOLD_SIZE = 16384

    # A protocol is taken to make many writes after so many turns with so many each.
    MANY_TURNS = 3
    MANY_WRITES = 2
    # Gathered data is sent when it is this much.
    GATHER_SIZE = 65536

@cython.final
cdef class Outbox:
    cdef:
        bint holds         # the loop's messages cost what makes it worth while
        int sends          # since `since`
        ns_t since

        # One more send.
        inline void count(self) noexcept:
            self.sends += 1
            if self.sends >= SAMPLE:
                self.sample()

        void sample(self) noexcept

        # The flag for a send of `size` bytes that is about to be made.
        inline int flag_for(self, Reactor loop, Py_ssize_t size) noexcept:
            if self.holds and loop.ready.count and size <= HOLD_SIZE:
                return CLOOP_MSG_MORE if loop.in_own_thread() and not loop.ending else 0
            return 0
