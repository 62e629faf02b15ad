"""The reactor: one turn of the loop, and the scheduling calls of asyncio's event loop.

One turn, in this order:

1. How long to wait: not at all if anything is ready; else until the first deadline.
2. Wait. Each descriptor that fired puts its entries into the ready deque; then come the entries
   that other threads posted.
3. Every timer that is due moves to the ready deque, in the order of (deadline, insertion).
4. What the deque held when this step began is run. What that adds waits for the next turn.
5. What the callbacks left to be done once for all of them, such as sending what they wrote.

This is the order of asyncio's BaseEventLoop._run_once. A turn with something ready and no
descriptor watched makes no system call: what other threads posted is seen in memory.

Derived in its rules and messages from CPython's asyncio/base_events.py and selector_events.py
(PSF License Agreement).
"""

from asyncio import base_events, coroutines
from asyncio.tasks import Task

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from libc.limits cimport INT_MAX
from libc.math cimport isnan
from libc.stdint cimport uint32_t

from cloop._c.clock cimport monotonic_ns, ns_from_seconds
from cloop._c.pyapi cimport (
    Py_DECREF,
    Py_None,
    Py_REFCNT,
    PyContext_CopyCurrent,
    PyErr_CheckSignals,
    PyThread_get_thread_ident,
    cloop_hide,
    cloop_seal,
    cloop_set_exception,
    cloop_take_exception,
    cloop_track,
)
from cloop.core.handle cimport (
    caller_stack,
    drop,
    has_posted_handles,
    keep_context,
    new_handle,
    new_posted_handle,
    run_handle,
    run_posted,
)
from cloop.core.ring cimport empty_ring, init_ring
from cloop.core.step cimport handle_of, is_replaced, may_be_replaced, run_replaced
from cloop.core.timer cimport seconds_of, untracked_timer
from cloop.core.untracked cimport release_handle, untracked_handle
from cloop.core.watch cimport EARLY_BYTES, EARLY_TIMES
from cloop.poll.poller cimport READ, WRITE

# A loop that is never idle gives up the GIL once in so many turns, so that other threads run even
# where no callback executes bytecode.
cdef enum:
    TURNS_PER_BREATH = 256

# The same function called without a check after it: run_ready looks at the result itself, so that
# the owner is released on either way without a try.
ctypedef NoResult (*quiet_run_t)(object owner) noexcept

cdef object iscoroutine = coroutines.iscoroutine
# 3.14 deprecates the public one and has a private one of its own.
cdef object iscoroutinefunction = getattr(
    coroutines, "_iscoroutinefunction", coroutines.iscoroutinefunction)


cdef class Reactor:
    """The engine of one loop; `BaseLoop` makes it asyncio's."""

    def __cinit__(self, *args, **kwargs):
        # BaseLoop makes it whole and shows it: nothing here may fail, for then that has no fields.
        cloop_hide(self)
        init_ring(&self.tasks)
        if type(self) is Reactor:
            raise TypeError("Reactor has no use by itself")

    def __dealloc__(self):
        empty_ring(&self.tasks)

    # ---- Scheduling

    def time(self):
        """The time in seconds, as time.monotonic()."""
        return <double>monotonic_ns() / 1e9

    def call_soon(self, callback, *args, context=None):
        """Run callback(*args) in the next turn, after what is scheduled already.

        `context` is the contextvars.Context to run it in; a copy of the current one by default.
        Returns a Handle. Raises RuntimeError if the loop is closed.
        """
        self.check_closed()
        if self.debug:
            self.check_thread()
            self.check_callback(callback, "call_soon")
        cdef Handle handle = make_handle(self, callback, args, context)
        if self.debug:
            handle.origin = caller_stack()
        self.ready.push(handle, run_handle)
        return handle

    def call_soon_threadsafe(self, callback, *args, context=None):
        """As call_soon, from any thread and from signal handlers."""
        self.check_closed()
        if self.debug:
            self.check_callback(callback, "call_soon_threadsafe")
        cdef Handle handle
        if has_posted_handles:
            handle = new_posted_handle(self, callback, args, context, tracked=self.thread == 0)
        else:
            handle = make_handle(self, callback, args, context)
        if self.debug:
            handle.origin = caller_stack()
        self.soon_threadsafe(handle, run_posted if has_posted_handles else run_handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        """Run callback(*args) once, `delay` seconds from now; at once if it is not positive.

        Returns a TimerHandle. Raises TypeError for a delay that is no number.
        """
        if delay is None:
            raise TypeError("delay must not be None")
        if self.own_call_at:
            return self.call_at(self.time() + delay, callback, *args, context=context)
        cdef bint common = (type(delay) is float or type(delay) is int) and not self.own_time
        cdef double seconds = 0
        if common:
            seconds = <double>monotonic_ns() / 1e9 + seconds_of(delay)
        else:
            when = self.time() + delay
        self.check_closed()
        if self.debug:
            self.check_thread()
            self.check_callback(callback, "call_later")
        if common:
            return self.timer_at(seconds, callback, args, context)
        return self.timer_given(when, callback, args, context)

    def call_at(self, when, callback, *args, context=None):
        """As call_later, at the time `when` in seconds of the loop's clock."""
        if when is None:
            raise TypeError("when cannot be None")
        self.check_closed()
        if self.debug:
            self.check_thread()
            self.check_callback(callback, "call_at")
        return self.timer_given(when, callback, args, context)

    cdef TimerHandle timer_given(self, object when, object callback, tuple args, object context):
        cdef TimerHandle handle = self.timer_at(seconds_of(when), callback, args, context)
        if type(when) is not float:
            handle.given = when
        return handle

    cdef TimerHandle timer_at(self, double when, object callback, tuple args, object context):
        cdef TimerHandle handle = untracked_timer(self, when, callback, args, context)
        if self.thread == 0:
            cloop_track(<PyObject *>handle)
        if self.debug:
            handle.origin = caller_stack()
        # A time that is not a number has no place in an order; asyncio's heap would be broken by it.
        if isnan(when):
            raise ValueError("Invalid delay: NaN (not a number)")
        self.timers.push(handle, ns_from_seconds(when))
        return handle

    cdef NoResult soon_threadsafe(self, object owner, run_t run) except NoResult.EXC:
        if self.in_own_thread() or self.thread == 0:
            # The loop's own thread keeps one order for all that it schedules, and so do threads
            # that prepare a loop nobody runs yet. A signal handler may have interrupted the wait;
            # that looks at the deque again before it sleeps.
            return self.ready.push(owner, run)
        return self.inbox.post(owner, run)

    # ---- Checks

    cdef bint in_own_thread(self) noexcept:
        return self.thread != 0 and self.thread == PyThread_get_thread_ident()

    cdef NoResult check_closed(self) except NoResult.EXC:
        if self.closed == INHERITED:
            raise RuntimeError("The event loop was made before a fork, by the parent process, and can "
                               "only be used there: make a new one")
        if self.closed:
            raise RuntimeError("Event loop is closed")
        return NoResult.OK

    cdef NoResult check_thread(self) except NoResult.EXC:
        if self.thread != 0 and self.thread != PyThread_get_thread_ident():
            raise RuntimeError("Non-thread-safe operation invoked on an event loop other "
                               "than the current one")
        return NoResult.OK

    cdef NoResult check_callback(self, object callback, str method) except NoResult.EXC:
        if iscoroutine(callback) or iscoroutinefunction(callback):
            raise TypeError(f"coroutines cannot be used with {method}()")
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
        return NoResult.OK

    # ---- The turn

    cdef NoResult turn(self) except NoResult.EXC:
        cdef ns_t timeout_ns = -1
        # A turn inside of a callback begins with what its callbacks have left for their turn's end.
        if self.ready.count or self.stopping or self.inbox.has_any() or self.at_end.count:
            timeout_ns = 0
        elif self.timers.count:
            self.timers.prune()
            if self.timers.count:
                timeout_ns = self.until_first()
        self.turns += 1
        if (timeout_ns != 0 or self.watches.count > self.watches.quiet or self.own_select
                or self.turns % TURNS_PER_BREATH == 0):
            self.poll(timeout_ns)
        if self.inbox.has_any():
            self.inbox.drain(self.ready)
        if self.timers.count:
            self.expire()
        try:
            if self.debug or may_be_replaced() and is_replaced():
                self.run_ready_debug()
            else:
                self.run_ready()
        finally:
            if self.at_end.count:
                self.end_turn()
        return NoResult.OK

    cdef ns_t until_first(self) except -1:
        """Nanoseconds until the first deadline, 0 where it has passed."""
        cdef ns_t now = ns_from_seconds(self.time()) if self.own_time else monotonic_ns()
        return max(self.timers.keys[0].deadline - now, 0)

    cdef NoResult poll(self, ns_t timeout_ns) except NoResult.EXC:
        cdef int i
        cdef int n = 0
        cdef bint may_sleep = timeout_ns != 0
        self.watches.early_bytes = EARLY_BYTES
        self.watches.early_times = EARLY_TIMES
        if not may_sleep:
            if self.turns % TURNS_PER_BREATH == 0:
                with nogil:
                    pass
        else:
            # A signal that came since a callback in C ran has not been seen by the interpreter.
            PyErr_CheckSignals()
            self.wakeup.take()
            if (self.ready.count or self.at_end.count or self.stopping
                    or not self.inbox.fall_asleep()):
                timeout_ns = 0
        try:
            if self.own_select:
                self.selector.select(None if timeout_ns < 0 else <double>timeout_ns / 1e9)
            else:
                n = self.poller.wait(timeout_ns)
        finally:
            if may_sleep:
                self.wakeup.give_back()
        self.inbox.awake()
        for i in range(n):
            self.watches.fire(&self.poller.fired[i], self.ready)
        if may_sleep or self.turns % TURNS_PER_BREATH == 0:
            # A signal may have ended the wait; and handlers in Python run here now and then also
            # where no callback executes bytecode. What fired is safe by now: a handler may raise.
            PyErr_CheckSignals()
        return NoResult.OK

    cdef NoResult expire(self) except NoResult.EXC:
        """Move the timers that are due to the ready deque."""
        cdef ns_t now = self.early + (ns_from_seconds(self.time()) if self.own_time else monotonic_ns())
        cdef PyObject *handle
        while self.timers.count and self.timers.keys[0].deadline <= now:
            handle = self.timers.pop()
            if handle == Py_None:
                Py_DECREF(handle)
            else:
                self.ready.push_taken(handle, run_handle)
        return NoResult.OK

    # This is the only place where callbacks are called, but for run_ready_debug: what that does for
    # each entry (a clock, a try) would cost as much as the entry.
    cdef NoResult run_ready(self) except NoResult.EXC:
        cdef Ready ready = self.ready
        cdef size_t n = ready.count
        cdef run_t run
        cdef PyObject *owner
        cdef NoResult result = NoResult.OK
        # A nested turn may have run some of the entries.
        while n and ready.count:
            n -= 1
            owner = ready.pop(&run)
            ready.prefetch()
            if run != self.sticky_run and self.current is not None:
                self.leave(self)
            if run == run_handle and Py_REFCNT(owner) > 1:
                keep_context(<Handle>owner)
            result = (<quiet_run_t>run)(<object>owner)
            if run == run_handle:
                release_handle(owner)
            else:
                Py_DECREF(owner)
            if result == NoResult.EXC:
                return self.leave_raising()
            if self.at_end.count and monotonic_ns() >= self.end_by:
                self.end_turn()
        # The next turn follows at once where something is ready, and nobody's code runs between.
        if self.current is not None and (self.ready.count == 0 or self.stopping):
            self.leave(self)
        return NoResult.OK

    cdef NoResult run_ready_debug(self) except NoResult.EXC:
        """As run_ready, and report what took longer than slow_callback_duration.

        And by asyncio's Handle._run, where somebody has replaced that.
        """
        cdef Ready ready = self.ready
        cdef size_t n = ready.count
        cdef run_t run
        cdef PyObject *taken
        cdef object owner
        cdef ns_t begin
        cdef double seconds
        while n and ready.count:
            n -= 1
            taken = ready.pop(&run)
            owner = <object>taken
            Py_DECREF(taken)
            if is_replaced():
                owner = handle_of(self, owner, run)
                run = run_replaced
            self.current_handle = owner if isinstance(owner, Handle) else None
            if run == run_handle:
                keep_context(<Handle>owner)
            begin = monotonic_ns()
            try:
                run(owner)
            finally:
                self.current_handle = None
                if run == run_handle or run == run_replaced:
                    cloop_track(<PyObject *>owner)
                if self.current is not None:
                    self.leave(self)
            if self.at_end.count and monotonic_ns() >= self.end_by:
                self.end_turn()
            seconds = <double>(monotonic_ns() - begin) / 1e9
            if self.debug and seconds >= self.slow_callback_duration:
                # Looked up where asyncio does: what replaces its logger there replaces ours.
                base_events.logger.warning("Executing %s took %.3f seconds", describe(owner), seconds)
        return NoResult.OK

    cdef NoResult end_turn(self) except NoResult.EXC:
        """Do what was left for the end of the turn; no task is in the middle of a step."""
        if self.current is not None:
            self.leave(self)
        return self.run_at_end()

    cdef NoResult run_at_end(self) except NoResult.EXC:
        cdef run_t run
        cdef PyObject *owner
        cdef object failure = None
        self.ending = True
        while self.at_end.count:
            owner = self.at_end.pop(&run)
            try:
                run(<object>owner)
            except BaseException as exc:
                # It may end the loop's run, and nobody would come back for the others.
                failure = exc
            finally:
                Py_DECREF(owner)
        self.ending = False
        if failure is not None:
            raise failure
        return NoResult.OK

    cdef NoResult leave_raising(self) except NoResult.EXC:
        """Leave the current task, with an exception set that stays set."""
        cdef object exception = cloop_take_exception()
        if self.current is not None:
            self.leave(self)
        cloop_set_exception(exception)
        return NoResult.EXC

    cdef void untrack(self) noexcept:
        self.ready.untrack()
        self.inbox.waiting.untrack()

    cdef void track_all(self) noexcept:
        self.ready.track_all()
        self.inbox.waiting.track_all()
        self.timers.track_all()

    # ---- Descriptors

    def add_reader(self, fd, callback, *args):
        """Call callback(*args) whenever `fd` can be read.

        `fd` is a descriptor or an object with fileno(); an earlier reader is replaced. Raises
        OSError where the system can't watch it, RuntimeError where a transport owns it.
        """
        self.check_not_a_transport(fd)
        self.add_watch(fd, READ, callback, args)

    @cython.always_allow_keywords(True)
    def remove_reader(self, fd):
        """Stop watching `fd` for reading. Returns whether it was watched."""
        self.check_not_a_transport(fd)
        return self.remove_watch(fd, READ)

    def add_writer(self, fd, callback, *args):
        """Call callback(*args) whenever `fd` can be written; otherwise as add_reader."""
        self.check_not_a_transport(fd)
        self.add_watch(fd, WRITE, callback, args)

    @cython.always_allow_keywords(True)
    def remove_writer(self, fd):
        """Stop watching `fd` for writing. Returns whether it was watched."""
        self.check_not_a_transport(fd)
        return self.remove_watch(fd, WRITE)

    cdef NoResult check_not_a_transport(self, object fd) except NoResult.EXC:
        try:
            number = int(fd if isinstance(fd, int) else fd.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
        if number > INT_MAX or number < 0:
            return NoResult.OK
        transport = self.watches.claimant(number)
        if transport is not None and not transport.is_closing():
            raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")
        return NoResult.OK

    cdef Handle add_watch(self, object file, uint32_t direction, object callback, tuple args):
        self.check_closed()
        if self.debug:
            self.check_thread()
        number = file if isinstance(file, int) else file.fileno()
        if number < 0:
            raise ValueError(f"Invalid file descriptor: {number}")
        if number > INT_MAX:
            raise OverflowError("Python int too large to convert to C int")
        cdef int fd = number
        # One context for all its calls, not a copy for each.
        cdef Handle handle = new_handle(self, callback, args, PyContext_CopyCurrent())
        if self.debug:
            handle.origin = caller_stack()
        cdef object old = self.watches.watch(fd, direction, handle, run_watched)
        if isinstance(old, Handle):
            drop(<Handle>old)
        if not isinstance(file, int):
            self.watches.keep(fd, file)
        return handle

    cdef bint remove_watch(self, object file, uint32_t direction) except -1:
        if self.closed:
            return False
        number = file if isinstance(file, int) else file.fileno()
        if number < 0:
            # Closed before it was removed: known by the object it was given as.
            known = self.watches.number_of(file)
            if known < 0:
                raise ValueError(f"Invalid file descriptor: {number}")
            number = known
        if number > INT_MAX:
            return False
        cdef object old = self.watches.unwatch(number, direction)
        if isinstance(old, Handle):
            drop(<Handle>old)
        return old is not None

    # ---- Life

    def stop(self):
        """End the run after the present turn; at once when called before the loop runs."""
        self.stopping = True

    def is_closed(self):
        """Whether close() was called, or this is the copy in a forked child, which works no more."""
        return self.closed != 0

    cdef object one_of(self, object kind):
        found = self.kept.get(kind)
        if found is None:
            found = self.kept[kind] = kind(self)
        return found

    cdef NoResult release(self) except NoResult.EXC:
        """Drop all entries, timers and watches, and close the poller."""
        self.closed = CLOSED
        self.ready.clear()
        self.at_end.clear()
        self.inbox.waiting.clear()
        self.timers.clear()
        self.watches.clear()
        self.wakeup.close()
        self.poller.close()
        return NoResult.OK

    @property
    def _poller(self):
        return self.poller

    def poller_features(self):
        """The kernel features in use, as a dict of name to text."""
        return self.poller.features()


cloop_seal(<PyTypeObject *>Reactor)


cdef inline Handle make_handle(Reactor self, object callback, tuple args, object context):
    cdef Handle handle = untracked_handle(self, callback, args, context)
    if self.thread == 0:
        cloop_track(<PyObject *>handle)
    return handle


cdef NoResult run_watched(object owner) except NoResult.EXC:
    """Run the handle of a descriptor that is ready; if it was cancelled, watch that no longer."""
    cdef Handle self = <Handle>owner
    if not self.cancelled_:
        return run_handle(self)
    return (<Reactor>self.loop).watches.unwatch_all_of(self)


cdef object describe(object owner):
    """What a slow-callback report calls an entry: a task by itself, anything else by its repr."""
    callback = getattr(owner, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, Task):
        return repr(task)
    return repr(owner)
