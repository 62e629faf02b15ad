"""Task, as asyncio.Task, and the coroutine driver; task.pxd is the manual.

Python syntax, compiled with the types of task.pxd: this file does not run by itself.

Derived in its rules and messages from CPython's asyncio/tasks.py and Modules/_asynciomodule.c
(PSF License Agreement).
"""

import sys
from asyncio import base_tasks, coroutines, exceptions, futures, tasks
from contextvars import Context
from types import GeneratorType

import cython
from cython.cimports.cloop._c.pyapi import (
    PYGEN_NEXT,
    PYGEN_RETURN,
    NoResult,
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyContext_Exit,
    PyCoro_CheckExact,
    PyThreadState_Get,
    cloop_send,
    cloop_set_exception,
    cloop_take_exception,
    cloop_throw,
)
from cython.cimports.cloop.aio.future import FINISHED, PENDING, Future
from cython.cimports.cloop.aio.registry import (
    add_awaiter,
    default_loop,
    enter_task,
    links_tasks,
    register_task,
    swap_current_task,
)
from cython.cimports.cloop.core.reactor import Reactor
from cython.cimports.cloop.core.ring import unlink_node
from cython.cimports.cloop.core.snapshot import enter_context, leave_context

asyncio_task = tasks.Task
iscoroutine = coroutines.iscoroutine
futures_get_loop = futures._get_loop
CancelledError = exceptions.CancelledError
InvalidStateError = exceptions.InvalidStateError
UNCANCEL_CLEARS = sys.version_info >= (3, 13)  # uncancel() takes back a cancel that is on its way
CHECKS_CONTEXT = sys.version_info >= (3, 15)

numbers = cython.declare(cython.longlong, 0)


class Task(Future):
    """A coroutine that runs on a cloop loop: asyncio.Task."""

    def __init__(self, coro, *, loop=None, name=None, context=None, eager_start=False):
        self.log_destroy_pending = False
        self.set_up(default_loop() if loop is None else loop)
        check_coroutine(coro)
        self.name = new_name(name)
        self.begin(coro, context)
        if eager_start and self.loop.is_running():
            self.start_eagerly()
        else:
            self.start()

    def __dealloc__(self):
        unlink_node(cython.address(self.node))

    def __del__(self):
        # The report may keep it alive, but nobody shall find it among all tasks any more.
        unlink_node(cython.address(self.node))
        if self.state == PENDING and self.log_destroy_pending:
            context = {"task": self, "message": "Task was destroyed but it is pending!"}
            if self.source_traceback:
                context["source_traceback"] = self.source_traceback
            self.loop.call_exception_handler(context)
        # Not Future.__del__, which would be looked up in the class.
        if self.log_traceback:
            self.report_not_retrieved()

    @property
    def __class__(self):
        # As Future's: the C type of asyncio can't be inherited from as well.
        return asyncio_task

    def __repr__(self):
        return base_tasks._task_repr(self)

    # ---- The user's side

    def get_coro(self):
        """The coroutine; None once an eager start has completed it."""
        return self.coro

    def get_context(self):
        """The contextvars.Context that the coroutine runs in."""
        return self.context

    def get_name(self):
        """The name: as given, or Task-N."""
        if isinstance(self.name, int):
            self.name = f"Task-{self.name}"
        return self.name

    def set_name(self, value, /):
        """Set the name to str(value)."""
        self.name = str(value)

    def set_result(self, result, /):
        """Not for tasks: raises RuntimeError."""
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, exception, /):
        """Not for tasks: raises RuntimeError."""
        raise RuntimeError("Task does not support set_exception operation")

    def get_stack(self, *, limit=None):
        """The frames of the suspended coroutine, or of the traceback that ended it, oldest first."""
        return base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit=None, file=None):
        """Print what get_stack() returns, as a traceback, to `file` or sys.stderr."""
        return base_tasks._task_print_stack(self, limit, file)

    def cancel(self, msg=None):
        """Raise CancelledError in the coroutine where it waits, in the next turn.

        Returns False if the task is done. The coroutine may catch it.
        """
        return self.cancel_task(msg)

    def cancel_task(self, message):
        self.log_traceback = False
        if self.state != PENDING:
            return False
        self.num_cancels_requested += 1
        waiter = self.fut_waiter
        if waiter is not None:
            if type(waiter) is Future:
                if cython.cast(Future, waiter).cancel_future(message):
                    return True
            elif waiter.cancel(msg=message):
                # The waiter stays: it may be a task that refuses, and is cancelled again later.
                return True
        self.must_cancel = True
        self.message = message
        return True

    def cancel_message(self):
        # gather() asks tasks for it that did not end by it.
        return self.message

    def set_cancel_message(self, message):
        self.message = message
        return NoResult.OK

    def cancelling(self):
        """How many cancel() calls have not been taken back by uncancel()."""
        return self.num_cancels_requested

    def uncancel(self):
        """Take back one cancel(). Returns how many remain."""
        if self.num_cancels_requested > 0:
            self.num_cancels_requested -= 1
            if self.num_cancels_requested == 0 and UNCANCEL_CLEARS:
                self.must_cancel = False
        return self.num_cancels_requested

    # ---- Beginning and end

    def begin(self, coro, context):
        if context is not None and CHECKS_CONTEXT and not isinstance(context, Context):
            raise TypeError(f"a contextvars.Context was expected, got {type(context).__name__}")
        self.coro = coro
        self.context = PyContext_CopyCurrent() if context is None else context
        self.fut_waiter = self.pending_error = self.message = None
        self.must_cancel = False
        self.num_cancels_requested = 0
        self.log_destroy_pending = True
        self.is_task = True
        return NoResult.OK

    def start(self):
        register_task(self.loop, self.native, cython.address(self.node), self)
        if self.native:
            return cython.cast(Reactor, self.loop).soon(self, run_task)
        return self.step_soon(None)

    def start_eagerly(self):
        """Run the coroutine up to its first wait at once, as the current task of the loop."""
        linked: cython.bint = links_tasks(self.native)
        if linked:
            register_task(self.loop, self.native, cython.address(self.node), self)
        else:
            tasks._register_eager_task(self)
        entered: cython.bint = False
        previous = swap_current_task(self.loop, self)
        try:
            PyContext_Enter(self.context)
            entered = True
            try:
                self.resume(None)
            finally:
                PyContext_Exit(self.context)
        finally:
            swap_current_task(self.loop, previous)
            if not linked:
                tasks._unregister_eager_task(self)
            if not entered:
                # Who made it has the exception, and nobody has the task.
                self.log_destroy_pending = False
                unlink_node(cython.address(self.node))
            elif self.state != PENDING:
                self.coro = None
            elif not linked:
                register_task(self.loop, self.native, cython.address(self.node), self)
        return NoResult.OK

    # ---- The driver

    def step_soon(self, error):
        """Take the next step in the next turn, raising `error` in the coroutine unless it is None."""
        if self.native and self.loop is not None:
            self.pending_error = error
            return cython.cast(Reactor, self.loop).soon(self, run_task)
        if error is None:
            self.loop.call_soon(self.task_step, context=self.context)
        else:
            self.loop.call_soon(self.task_step, error, context=self.context)
        return NoResult.OK

    def task_step(self, error=None, /):
        """Take a step, as a callback of a loop that is not cloop's."""
        step(self, error)

    def task_wakeup(self, future, /):
        """Go on, as the done callback of a future that is not cloop's own."""
        try:
            future.result()
        except BaseException as exc:
            error = exc
        else:
            error = None
        step(self, error)

    def resume(self, error):
        status: cython.int = 0
        if error is None:
            result = cloop_send(self.coro, cython.address(status))
        else:
            result = cloop_throw(self.coro, error, cython.address(status))
        if status == PYGEN_NEXT:
            return self.yielded(result)
        if status == PYGEN_RETURN:
            return self.returned(result)
        return self.raised()

    def returned(self, result):
        unlink_node(cython.address(self.node))
        if self.must_cancel:
            # Cancelled right before the coroutine returned.
            self.must_cancel = False
            self.cancel_future(self.cancel_message())
            return NoResult.OK
        return self.finish(result)

    def raised(self):
        """End with the exception that is set."""
        exception = cloop_take_exception()
        unlink_node(cython.address(self.node))
        if isinstance(exception, CancelledError):
            # Kept to be raised by whoever takes the result, with the traceback of the coroutine.
            self.raised_ = exception
            self.cancel_future(None)
            return NoResult.OK
        self.fail(exception)
        if isinstance(exception, (KeyboardInterrupt, SystemExit)):
            cloop_set_exception(exception)
            return NoResult.EXC
        return NoResult.OK

    def yielded(self, result):
        if result is None:
            # A bare yield: one turn for the others.
            return self.step_soon(None)
        if type(result) is Future or type(result) is Task:
            return self.wait_for_future(result)
        if isinstance(result, Future) and cython.cast(Future, result).own_class:
            return self.wait_for_future(result)
        blocking = getattr(result, "_asyncio_future_blocking", None)
        if blocking is not None:
            return self.wait_for_object(result)
        if isinstance(result, GeneratorType):
            return self.fail_soon(
                f"yield was used instead of yield from for generator in task {self!r} with {result!r}"
            )
        return self.fail_soon(f"Task got bad yield: {result!r}")

    def wait_for_future(self, future):
        """Wait for a future of cloop's own."""
        if future.loop is not self.loop or not future.blocking or future is self:
            return self.refuse_future(future, future.loop, future.blocking)
        future.blocking = False
        if not future.native or not self.native or future.state != PENDING:
            future.add_done_callback(self.task_wakeup, context=self.context)
        else:
            future.add_waiter(self, run_task)
            add_awaiter(future, self)
        self.fut_waiter = future
        if self.must_cancel and future.cancel(self.cancel_message()):
            self.must_cancel = False
        return NoResult.OK

    def wait_for_object(self, future):
        """Wait for anything that is like a future."""
        loop = futures_get_loop(future)
        blocking = future._asyncio_future_blocking
        if loop is not self.loop or not blocking or future is self:
            return self.refuse_future(future, loop, blocking)
        future._asyncio_future_blocking = False
        future.add_done_callback(self.task_wakeup, context=self.context)
        self.fut_waiter = future
        if self.must_cancel and future.cancel(msg=self.cancel_message()):
            self.must_cancel = False
        return NoResult.OK

    def refuse_future(self, future, loop, blocking):
        """Raise in the coroutine what is wrong with the future that it yielded."""
        if future is self:
            return self.fail_soon(f"Task cannot await on itself: {self!r}")
        if loop is not self.loop:
            return self.fail_soon(f"Task {self!r} got Future {future!r} attached to a different loop")
        return self.fail_soon(f"yield was used instead of yield from in task {self!r} with {future!r}")

    def driver_failed(self):
        """Report the exception that is set: it came out of the driver, not of the coroutine.

        KeyboardInterrupt and SystemExit, which came through it, stay set and end the loop's run.
        """
        exception = cloop_take_exception()
        if isinstance(exception, (KeyboardInterrupt, SystemExit)):
            cloop_set_exception(exception)
            return NoResult.EXC
        context = {
            "message": f"Exception in callback {type(self).__name__}.task_step()",
            "exception": exception,
            "task": self,
        }
        self.loop.call_exception_handler(context)
        return NoResult.OK

    def fail_soon(self, message):
        return self.step_soon(RuntimeError(message))

    # ---- asyncio's private names, which asyncio itself and libraries read

    @property
    def _coro(self):
        return self.coro

    @property
    def _context(self):
        return self.context

    @property
    def _fut_waiter(self):
        return self.fut_waiter

    @property
    def _must_cancel(self):
        return cython.cast(cython.bint, self.must_cancel)

    @property
    def _num_cancels_requested(self):
        return self.num_cancels_requested

    @property
    def _log_destroy_pending(self):
        return cython.cast(cython.bint, self.log_destroy_pending)

    @_log_destroy_pending.setter
    def _log_destroy_pending(self, value):
        self.log_destroy_pending = bool(value)

    @_log_destroy_pending.deleter
    def _log_destroy_pending(self):
        raise AttributeError("cannot delete attribute")


def check_coroutine(coro):
    if not PyCoro_CheckExact(coro) and not iscoroutine(coro):
        raise TypeError(f"a coroutine was expected, got {coro!r}")
    return NoResult.OK


def new_name(name):
    global numbers
    if name is not None:
        return str(name)
    numbers += 1
    return numbers


def new_task(loop, coro, name, context):
    task: Task = Task.__new__(Task)
    task.set_up(loop)
    task.name = new_name(name)
    task.begin(coro, context)
    task.start()
    return task


def step(task, error):
    """Run the coroutine up to its next wait, as the current task of its loop.

    The caller has entered the task's context.
    """
    if task.state != PENDING:
        raise InvalidStateError(f"__step(): already done: {task!r}, {error!r}")
    if task.must_cancel:
        if not isinstance(error, CancelledError):
            error = task.make_cancelled_error()
        task.must_cancel = False
    task.fut_waiter = None
    # The collector may have cleared a task whose method somebody's finalizer calls.
    if task.native and task.loop is not None:
        # Left again by the reactor, before it runs anything that is not a task.
        enter_task(cython.cast(Reactor, task.loop), task)
        return task.resume(error)
    tasks._enter_task(task.loop, task)
    try:
        task.resume(error)
    finally:
        tasks._leave_task(task.loop, task)
    return NoResult.OK


def run_task(owner):
    task = cython.cast(Task, owner)
    error = None
    waiter = task.fut_waiter
    if waiter is not None:
        # Only futures of cloop's own bring a task here; the result is taken by the await itself.
        future = cython.cast(Future, waiter)
        if future.state != FINISHED:
            error = future.outcome()
        # Whoever made it may use it again if nobody else has it.
        waiter = future = None
    elif task.pending_error is not None:
        error = task.pending_error
        task.pending_error = None
    state = PyThreadState_Get()
    if enter_context(state, task.context) < 0:
        return task.driver_failed()
    # The result is looked at here, so that the context is left on either way without a try.
    status = cython.cast(quiet_step_t, step)(task, error)
    if leave_context(state, task.context) < 0 or status == NoResult.EXC:
        return task.driver_failed()
    return NoResult.OK


# The compiler refuses a field that lies somewhere else.
fits = cython.declare(
    cython.int,
    AWAITED_BY_FITS + STATE_FITS + IS_TASK_FITS + IS_SET_FITS + CORO_FITS + NAME_FITS + NODE_FITS,
)
