"""When small writes leave: at once, or with the others of their turn.

Each send to a peer on the same machine that sleeps wakes it, which costs as much as a handful of
sends, more on a virtual machine; and to a peer on another one, each is a packet of its own. Where
a turn answers many peers, it is cheaper to let the answers go together at its end. There are two
ways, both of which begin only where the program's own past shows that they pay:

* Held: the data is the kernel's as soon as write() returns (MSG_MORE), and a push at the end of the
  turn sends it. A process that blocks or ends inside its callback has lost nothing: the kernel
  sends by itself, after 200 ms at most. The push is one more system call, which costs more than it
  spares where the peers are awake anyway; and whether they are depends on them, on the machine and
  on the program. So it is tried: now and then the two ways take turns for a few windows of
  sends, and the other way is taken from then on where a message took clearly less CPU time. Each
  trial that it loses doubles the time to the next.
* Gathered: a protocol that makes many small writes in each turn has them queued and sent by one
  system call. Streams are left out, since StreamWriter.write() promises to try at once.
"""

cimport cython

from cloop._c.clock cimport ns_t
from cloop._c.socket cimport CLOOP_MSG_MORE
from cloop.core.reactor cimport Reactor

cdef enum:
    # Sends in a window, at least: it ends with a turn, since what is held is paid for at its end.
    WINDOW = 256
    # Windows in a trial; every other one is held where sends are plain, and plain where they are held.
    TRIAL = 8
    # Windows from one trial to the next: at first, and at most.
    FIRST_PAUSE = 8
    LAST_PAUSE = 1024
    # The other way has won where a message took less than this share (per cent) of the time.
    WIN_PERCENT = 93
    # With messages that take longer than this, who waits for the end of the turn waits too long.
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
        bint holds         # sends are held, in this window
        int left           # windows of the trial under way, this one included; 0: there is none
        int pause          # windows from the last trial to the next
        int windows        # until the next
        int sends          # in this window
        ns_t since         # the thread's CPU time at the beginning of this window
        ns_t usual         # what a message took in the trial, the windows added up
        ns_t other
        size_t turn        # of the last send

        # One more send.
        inline void count(self, Reactor loop) noexcept:
            if self.sends >= WINDOW and self.turn != loop.turns:
                self.end_window()
            self.turn = loop.turns
            self.sends += 1

        void end_window(self) noexcept
        void end_trial(self) noexcept

        # The flag for a send of `size` bytes that is about to be made.
        inline int flag_for(self, Reactor loop, Py_ssize_t size) noexcept:
            if self.holds and loop.ready.count and size <= HOLD_SIZE:
                return CLOOP_MSG_MORE if loop.in_own_thread() and not loop.ending else 0
            return 0
