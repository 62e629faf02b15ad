"""The reactor: run what is ready. The engine of one loop, without futures, tasks and transports.

See reactor.pyx for the order of a turn. Upper rooms push entries with `soon`, watch descriptors
through `watches`, and pass entries from other threads through `inbox`.
"""

from libc.stdint cimport uint32_t

from cloop._c.clock cimport monotonic_ns, ns_t
from cloop._c.pyapi cimport NoResult
from cloop.core.handle cimport Handle
from cloop.core.inbox cimport Inbox
from cloop.core.ready cimport Ready, run_t
from cloop.core.ring cimport Node
from cloop.core.timer cimport TimerHandle, TimerHeap
from cloop.core.wakeup cimport Wakeup
from cloop.core.watch cimport WatchTable
from cloop.poll.poller cimport Poller

# In nanoseconds: what is left for the end of a turn is done as soon as the entry has run in which the
# first of it has waited for so long. Writes that leave one by one, between pieces of Python, wake the
# peer for each: with a limit of 0.2 ms a request of 64 connections to aiohttp takes 13 % more CPU time.
cdef enum:
    LONGEST_WAIT = 1000000

# What becomes of a loop.
cdef enum:
    CLOSED = 1
    INHERITED = 2    # the copy in a forked child of a loop that was open: it works no more

# Ends the stay in a task: see Reactor.current.
ctypedef NoResult (*leave_t)(Reactor reactor) except NoResult.EXC

cdef class Reactor:
    cdef:
        Ready ready
        TimerHeap timers
        WatchTable watches
        Inbox inbox
        Wakeup wakeup
        Poller poller

        unsigned long thread       # ident of the thread that runs the loop; 0 while nobody does
        int closed                 # 0, CLOSED or INHERITED
        bint stopping
        bint debug
        # True where a subclass or the instance has its own call_soon, call_soon_threadsafe, call_at or
        # time: then every entry and every deadline goes through those, as in asyncio.
        bint own_call_soon
        bint own_call_soon_threadsafe
        bint own_call_at
        bint own_time
        # The same for the `select` of loop._selector; see core/selector.
        bint own_select
        object selector            # once made

        # Entries whose function is `sticky_run` may follow each other without the `leave` between:
        # the task that was entered last stays the current one until something else runs or the loop
        # may sleep. The upper room sets all three; `current` is None when nothing is entered.
        run_t sticky_run
        leave_t leave
        object current
        object current_handle      # the handle that runs, in debug mode
        Py_hash_t hash             # of the loop itself, as a key of asyncio's dicts

        # Entries that run when the turn's callbacks have run, before the poller waits: what is better
        # done once for all of them. Nothing may be added while `ending`, nor while nobody runs the
        # loop.
        Ready at_end
        ns_t end_by                # when they run in any case, between two entries
        bint ending

        dict kept                  # by one_of(): a class -> the loop's object of it
        Node tasks                 # the ring of tasks that are not done
        size_t turns               # so far
        object clock_resolution    # seconds: a timer that is due sooner than that runs
        ns_t early                 # that less the one nanosecond that is the clock's own

        public object slow_callback_duration   # seconds; debug mode reports what takes longer

        object __weakref__

        NoResult check_closed(self) except NoResult.EXC
        NoResult check_thread(self) except NoResult.EXC
        NoResult check_callback(self, object callback, str method) except NoResult.EXC
        bint in_own_thread(self) noexcept

        # Runs `run(owner)` in the next turn.
        inline NoResult soon(self, object owner, run_t run) except NoResult.EXC:
            if self.debug:
                self.check_thread()
            return self.ready.push(owner, run)

        # The same at the end of the turn.
        inline NoResult at_turn_end(self, object owner, run_t run) except NoResult.EXC:
            if self.at_end.count == 0:
                self.end_by = monotonic_ns() + LONGEST_WAIT
            return self.at_end.push(owner, run)

        # The same from any thread.
        NoResult soon_threadsafe(self, object owner, run_t run) except NoResult.EXC

        # A timer at a time in seconds of the loop's clock; the first keeps the object that it is given.
        TimerHandle timer_given(self, object when, object callback, tuple args, object context)
        TimerHandle timer_at(self, double when, object callback, tuple args, object context)

        NoResult turn(self) except NoResult.EXC
        ns_t until_first(self) except -1
        NoResult poll(self, ns_t timeout_ns) except NoResult.EXC
        NoResult expire(self) except NoResult.EXC
        NoResult run_ready(self) except NoResult.EXC
        NoResult run_ready_debug(self) except NoResult.EXC
        NoResult end_turn(self) except NoResult.EXC
        NoResult run_at_end(self) except NoResult.EXC
        # While the loop runs the collector is spared what is pending; then it knows all of it again.
        void untrack(self) noexcept
        void track_all(self) noexcept
        NoResult leave_raising(self) except NoResult.EXC

        NoResult check_not_a_transport(self, object fd) except NoResult.EXC
        # The handle by which a callback is called while a descriptor is ready.
        Handle add_watch(self, object file, uint32_t direction, object callback, tuple args)
        bint remove_watch(self, object file, uint32_t direction) except -1

        # The loop's own object of a class of an upper room, such as the memory that its transports share:
        # made when it is first asked for, by a call of the class with the loop, and gone with the loop. It
        # belongs to the loop's thread. Where a module needs one object for a loop, this is where it is.
        object one_of(self, object kind)

        NoResult release(self) except NoResult.EXC
