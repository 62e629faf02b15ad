"""BaseLoop: the reactor with futures and tasks, and how it runs.

The engine's share of asyncio's event loop. `cloop.loop.Loop` is the class that users get: it adds
what is called once per connection, in Python.

Derived in its rules and messages from CPython's asyncio/base_events.py (PSF License Agreement).
"""

import os
import sys
import weakref
from asyncio import base_events, constants, events, futures, tasks
from asyncio.log import logger

cimport cython
from cloop._c.clock cimport ns_from_seconds
from cloop._c.pyapi cimport NoResult, PyThread_get_thread_ident, cloop_show
from cloop.aio.future cimport new_future
from cloop.aio.registry cimport leave_task, register_loop
from cloop.aio.task cimport check_coroutine, new_task, run_task
from cloop.core.inbox cimport Inbox
from cloop.core.reactor cimport CLOSED, INHERITED, Reactor
from cloop.core.ready cimport Ready
from cloop.core.selector cimport selector_of, set_selector
from cloop.core.step cimport runner_of
from cloop.core.timer cimport TimerHeap
from cloop.core.views cimport ready_view, scheduled_view
from cloop.core.wakeup cimport Wakeup, note_main_thread
from cloop.core.watch cimport WatchTable
from cloop.poll.poller cimport READ, WRITE

from cloop import _settings
from cloop.aio.registry import loops
from cloop.api.streams import equip_writer
from cloop.poll import new_poller

cdef object isfuture = futures.isfuture
cdef object ensure_future = tasks.ensure_future
# asyncio's own: by this callback anyio finds the task that a program began with, to which it ties its
# worker threads.
cdef object stop_loop_of = base_events._run_until_complete_cb
# 3.13.3 and 3.14 hand every keyword of create_task on to the task factory, the name included;
# before, the loop sets the name itself.
cdef bint factory_takes_name = sys.version_info >= (3, 13, 3)

cdef bint makes_asyncio_tasks = _settings.IN_EFFECT["CLOOP_TASKS"] == "asyncio"


cdef class BaseLoop(Reactor):
    """The engine of `cloop.Loop`."""

    cdef object task_factory
    cdef object old_agen_hooks
    cdef bint tracking_origins
    cdef object saved_origin_depth

    # What the Python layer keeps. As fields, so that a loop has an instance dict only once a user
    # sets attributes on it: with one, CPython does not specialize the look-up of its methods.
    cdef public object _exception_handler
    cdef public object _default_executor
    cdef public object _name_executor      # for name look-ups, once there was one
    cdef public bint _executor_shutdown_called
    cdef public object _asyncgens
    cdef public bint _asyncgens_shutdown_called
    cdef public dict _signal_handlers
    cdef public object _starts              # children that wait for their start; None: one may start
    cdef public dict _under_way             # report of a start -> who else waits for its exec, or None
    cdef public dict _exits                 # PID -> exits.Watch, of children watched by the poller
    cdef public bint equips_streams         # see api/streams
    cdef public object writer_protocol      # of streams whose writer, made next, is to be equipped
    cdef public object _self_pipe           # see api/self_pipe
    cdef public dict _unix_server_sockets   # listening socket -> inode of the file to remove
    cdef public dict _tls_acceptors         # listening socket -> its TlsAcceptor

    def __cinit__(self, *args, **kwargs):
        self.poller = new_poller()
        self.ready = Ready()
        self.at_end = Ready()
        self.timers = TimerHeap()
        self.watches = WatchTable(self.poller)
        self.kept = {}
        self.inbox = Inbox(self.poller)
        self.wakeup = Wakeup(self.watches)
        self.slow_callback_duration = 0.1
        self.clock_resolution = 1e-9
        self.sticky_run = run_task
        self.leave = leave_task
        self._asyncgens = weakref.WeakSet()
        self._signal_handlers = {}
        self._under_way = {}
        self._unix_server_sockets = {}
        self._tls_acceptors = {}
        register_loop(self)
        cloop_show(self)

    # ---- Futures and tasks

    def create_future(self):
        """A Future of this loop."""
        if self.writer_protocol is not None:
            protocol = self.writer_protocol
            self.writer_protocol = None
            equip_writer(protocol)
        return new_future(self)

    def create_task(self, coro, *, name=None, context=None, **kwargs):
        """Schedule a coroutine as a Task.

        `name` and `context` (a contextvars.Context; a copy of the current one by default) are the
        task's. Further keywords are those of the running version's asyncio.Task. Returns what the
        task factory makes, a Task by default. Raises TypeError for what is no coroutine.
        """
        self.check_closed()
        if self.task_factory is not None:
            return self.make_task(coro, name, context, kwargs)
        if kwargs or makes_asyncio_tasks:
            return self.make_default_task(coro, name, context, kwargs)
        check_coroutine(coro)
        return new_task(self, coro, name, context)

    @cython.always_allow_keywords(True)
    def set_task_factory(self, factory):
        """Make tasks by factory(loop, coro, **keywords); None for Task.

        Raises TypeError where it is not callable.
        """
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self.task_factory = factory

    def get_task_factory(self):
        """The task factory, or None."""
        return self.task_factory

    cdef object make_task(self, object coro, object name, object context, dict kwargs):
        """A task by the factory, which gets no keyword that the user did not give."""
        if context is not None:
            kwargs["context"] = context
        if factory_takes_name:
            if name is not None:
                kwargs["name"] = name
            return self.task_factory(self, coro, **kwargs)
        task = self.task_factory(self, coro, **kwargs)
        if sys.version_info >= (3, 13):
            task.set_name(name)
        else:
            tasks._set_task_name(task, name)
        return task

    cdef object make_default_task(self, object coro, object name, object context, dict kwargs):
        from cloop.aio.task import Task
        known = {"eager_start"} if sys.version_info >= (3, 14) else set()
        if not factory_takes_name and not kwargs.keys() <= known:
            unknown = next(iter(kwargs))
            raise TypeError(f"create_task() got an unexpected keyword argument {unknown!r}")
        if makes_asyncio_tasks:
            Task = tasks.Task
        return Task(coro, loop=self, name=name, context=context, **kwargs)

    # ---- Running

    def run_forever(self):
        """Run until stop() is called. Raises RuntimeError if a loop runs in this thread already."""
        self._run_forever_setup()
        try:
            while True:
                self.turn()
                if self.stopping:
                    break
            if self.closed:
                # A callback forked, and this is the child.
                self.check_closed()
        finally:
            self._run_forever_cleanup()

    @cython.always_allow_keywords(True)
    def run_until_complete(self, future):
        """Run until a future is done, or the task made of a coroutine. Returns its result.

        Raises RuntimeError if the loop is stopped before, or if one runs in this thread already;
        then the coroutine has not started.
        """
        self.check_closed()
        self.check_running()
        new = not isfuture(future)
        future = ensure_future(future, loop=self)
        if new:
            # An exception tells if it does not complete; there is no need for another report.
            future._log_destroy_pending = False
        future.add_done_callback(stop_loop_of)
        try:
            self.run_forever()
        except BaseException:
            if new and future.done() and not future.cancelled():
                # The caller gets the exception that ended the run, and has no access to the task.
                future.exception()
            raise
        finally:
            future.remove_done_callback(stop_loop_of)
        if not future.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return future.result()

    def is_running(self):
        """Whether the loop runs."""
        return self.thread != 0

    def _run_forever_setup(self):
        self.check_closed()
        self.check_running()
        self.wakeup.enter()
        self._set_coroutine_origin_tracking(self.debug)
        self.old_agen_hooks = sys.get_asyncgen_hooks()
        self.thread = PyThread_get_thread_ident()
        self.poller.enter()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook,
                               finalizer=self._asyncgen_finalizer_hook)
        events._set_running_loop(self)
        self.untrack()

    def _run_forever_cleanup(self):
        self.stopping = False
        if self.current is not None:
            self.leave(self)
        self.thread = 0
        self.track_all()
        self.wakeup.leave()
        self.poller.leave()
        events._set_running_loop(None)
        self._set_coroutine_origin_tracking(False)
        hooks, self.old_agen_hooks = self.old_agen_hooks, None
        if hooks is not None:
            sys.set_asyncgen_hooks(*hooks)

    cdef NoResult check_running(self) except NoResult.EXC:
        if self.thread != 0:
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")
        return NoResult.OK

    def _check_running(self):
        self.check_running()

    # ---- Debug mode

    def get_debug(self):
        """Whether debug mode is on."""
        return self.debug

    @cython.always_allow_keywords(True)
    def set_debug(self, enabled):
        """Switch debug mode: checks, slow-callback reports, source tracebacks."""
        self.debug = enabled
        if self.thread != 0:
            self.call_soon_threadsafe(self._set_coroutine_origin_tracking, enabled)

    @property
    def _debug(self):
        return self.debug

    @_debug.setter
    def _debug(self, enabled):
        self.debug = enabled

    def _set_coroutine_origin_tracking(self, enabled):
        if bool(enabled) == self.tracking_origins:
            return
        if enabled:
            self.saved_origin_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(constants.DEBUG_STACK_DEPTH)
        else:
            sys.set_coroutine_origin_tracking_depth(self.saved_origin_depth)
        self.tracking_origins = enabled

    # ---- The end

    def _release(self):
        """Mark the loop closed, drop what it holds and close the poller. Once."""
        if self.thread != 0:
            raise RuntimeError("Cannot close a running event loop")
        if self.closed == CLOSED:
            return False
        if self.debug:
            logger.debug("Close %r", self)
        self.release()
        return True

    def _is_taken_apart(self):
        """Whether the interpreter has ended and cleared this module, so that close() can do nothing."""
        return logger is None

    def _watched(self):
        """What is watched: a dict of descriptor to (reader's owner, writer's owner)."""
        return self.watches.snapshot()

    @property
    def _wakeup(self):
        return self.wakeup

    # ---- asyncio's private names, which libraries read and write

    def _run_once(self):
        self.turn()
        self._leave_task()

    def _send_waiting(self):
        """Send what was written in this turn and waits for its end; see transports/sender."""
        if self.at_end.count and self.in_own_thread() and not self.ending:
            self.run_at_end()

    def _leave_task(self):
        """No task is the current one any more, where a turn has not seen to it."""
        if self.current is not None:
            self.leave(self)

    def _add_callback(self, handle):
        if not handle._cancelled:
            self.ready.push(handle, runner_of(handle))

    def _add_reader(self, fd, callback, *args):
        return self.add_watch(fd, READ, callback, args)

    def _remove_reader(self, fd):
        return self.remove_watch(fd, READ)

    def _add_writer(self, fd, callback, *args):
        return self.add_watch(fd, WRITE, callback, args)

    def _remove_writer(self, fd):
        return self.remove_watch(fd, WRITE)

    @property
    def _thread_id(self):
        return self.thread or None

    @property
    def _ready(self):
        return ready_view(self)

    @property
    def _scheduled(self):
        return scheduled_view(self)

    @property
    def _selector(self):
        return selector_of(self)

    @_selector.setter
    def _selector(self, value):
        set_selector(self, value)

    @property
    def _transports(self):
        return self.watches.claims()

    @property
    def _task_factory(self):
        return self.task_factory

    @_task_factory.setter
    def _task_factory(self, value):
        self.task_factory = value

    @property
    def _stopping(self):
        return self.stopping

    @_stopping.setter
    def _stopping(self, bint value):
        self.stopping = value

    @property
    def _closed(self):
        return self.closed == CLOSED

    @_closed.setter
    def _closed(self, bint value):
        if value and not self.closed:
            self.closed = CLOSED
        elif not value and self.closed:
            # What was released is not there any more.
            if self.closed == INHERITED or self.poller.fileno() < 0:
                self.check_closed()
            self.closed = 0

    @property
    def _clock_resolution(self):
        return self.clock_resolution

    @_clock_resolution.setter
    def _clock_resolution(self, value):
        # Deadlines are whole nanoseconds, and a timer is due that has less than this to go.
        self.early = max(ns_from_seconds(value) - 1, 0)
        self.clock_resolution = value

    @property
    def _current_handle(self):
        return self.current_handle

    @property
    def _turns(self):
        return self.turns

    def _check_closed(self):
        self.check_closed()

    def _check_thread(self):
        self.check_thread()

    def _check_callback(self, callback, str method not None):
        self.check_callback(callback, method)

    def _write_to_self(self):
        self.inbox.wake()

    # ---- fork(2)

    def _leave_to_parent(self):
        """In a forked child: nothing that this loop still does may reach the parent's."""
        cdef Ready ready = self.ready
        if self.closed:
            return
        self.closed = INHERITED
        if self.current is not None and self.in_own_thread():
            # asyncio has taken the running loop away, and from 3.14 on a task is left on that alone.
            events._set_running_loop(self)
            self.leave(self)
            events._set_running_loop(None)
        self.wakeup.forget()
        self.poller.close()
        # What was to run is the parent's to run. A turn that a callback of this thread has forked in
        # finds nothing left, and ends.
        self.ready = Ready()
        inherited.append((ready, self.at_end))
        ready.count = 0
        self.at_end = Ready()
        self.stopping = True
        if not self.in_own_thread():
            self.thread = 0
        self._unix_server_sockets.clear()

    def _follow_overrides(self, call_soon, call_soon_threadsafe, call_at, time):
        """Schedule and measure by those of these methods that are the instance's own."""
        self.own_call_soon = call_soon
        self.own_call_soon_threadsafe = call_soon_threadsafe
        self.own_call_at = call_at
        self.own_time = time


# ---- fork(2)

# What a loop in a forked child has not run. Kept, for letting go of it may run code.
cdef list inherited = []


def before_fork():
    """What the turn's callbacks have left for its end comes before a fork inside of one of them: if
    it was done later, the child would do it again."""
    cdef BaseLoop loop
    running = events._get_running_loop()
    if isinstance(running, BaseLoop):
        loop = running
        loop._send_waiting()


def after_fork_in_child():
    """The loops of the child's copy of the process stay the parent's."""
    note_main_thread()
    for loop in list(loops):
        loop._leave_to_parent()


os.register_at_fork(before=before_fork, after_in_child=after_fork_in_child)
