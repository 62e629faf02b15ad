"""The wake-up descriptor: how signals end a wait.

The interpreter's C handler of a signal writes its number into a descriptor that somebody has set
(signal.set_wakeup_fd), and leaves the rest to the main thread. A loop that waits in the main thread
needs it: a signal that comes between the last look and the system call, or that the kernel delivers
to another thread, does not end the wait by itself.

A loop has a pipe for that, from its first run in the main thread on. Its writing end is in the
descriptor's place

* while the loop waits, and no longer: so that nobody's code ever finds it there. Who had the place
  has it again before anything runs, and gets the numbers that came meanwhile. From 3.13 on that costs
  no system call: the place is an int of the interpreter's. Before, it can only be set by a function
  that takes a look at the descriptor; so there ours stays for the whole run, unless somebody else had
  the place;
* all the time while the loop has handlers of its own (add_signal_handler), as in asyncio.

There is one wake-up descriptor in a process, whatever the number of loops, and only the main thread
uses it.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.ring cimport Node
from cloop.core.watch cimport WatchTable

# The calling thread is the main thread, as the one that forked is in the child.
cdef NoResult note_main_thread() except NoResult.EXC

@cython.final
cdef class Wakeup:
    cdef:
        WatchTable watches
        Node node           # in the ring of all that have a pipe
        int reader          # the pipe; -1 where there is none
        int writer
        int previous        # who had the place while ours is in it; -1: nobody
        object identity     # of the file that `previous` was, while the loop has handlers
        readonly object noted   # a Noted, for signal.signal; None until there are handlers
        bint made           # the descriptors are ours, or -1
        bint in_main        # the main thread runs the loop
        bint held           # the loop has handlers
        bint each_wait      # ours is to be in the place while the loop waits
        bint lasting        # it is there for the whole run
        bint known          # somebody may have taken ours for a previous one

        # The calling thread begins, or ends, to run the loop. Without descriptors left there is no
        # pipe, and the loop runs all the same.
        NoResult enter(self) except NoResult.EXC
        NoResult leave(self) except NoResult.EXC
        NoResult begin(self) except NoResult.EXC

        # Around a wait. Runs the handlers in Python of what came before, so it may raise, and then
        # has taken nothing.
        inline NoResult take(self) except NoResult.EXC:
            if self.each_wait:
                return self.take_place()
            return NoResult.OK

        inline NoResult give_back(self) except NoResult.EXC:
            if self.each_wait:
                return self.leave_place()
            return NoResult.OK

        NoResult take_place(self) except NoResult.EXC
        NoResult leave_place(self) except NoResult.EXC

        NoResult open_pipe(self) except NoResult.EXC
        NoResult watch_quietly(self) except NoResult.EXC
        bytes read_all(self)
        NoResult forward(self) except NoResult.EXC
        NoResult restore_place(self) except NoResult.EXC
        NoResult clear_place(self, int successor) except NoResult.EXC
        NoResult close_pipe(self) except NoResult.EXC

        # The loop is closed: give the place back and close the pipe.
        NoResult close(self) except NoResult.EXC
        # In a forked child: the same, without a trace in what is the parent's.
        NoResult forget(self) except NoResult.EXC
