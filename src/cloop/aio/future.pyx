"""Future, as asyncio.Future; future.pxd is the manual.

Derived in its rules and messages from CPython's asyncio/futures.py and Modules/_asynciomodule.c
(PSF License Agreement).
"""

import types
from reprlib import recursive_repr
from asyncio import base_futures, exceptions, futures

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport (
    PYGEN_ERROR,
    PYGEN_NEXT,
    PYGEN_RETURN,
    PY_VERSION_HEX,
    Py_DECREF,
    cloop_drop_instance_dict,
    cloop_set_exception,
    cloop_take_exception,
)
from cloop.core.counts cimport register
from cloop.core.handle cimport caller_stack, new_handle, report
from cloop.core.snapshot cimport call_one_with, context_of, take_snapshot

from cloop.aio.model import wraps_stop_iteration
from cloop.aio.registry cimport default_loop
from cloop.aio.thrown import exception_of

cdef extern from *:
    """
    static long futures_live;
    CLOOP_FREELIST(futures, 256, &futures_live, 1)
    """
    void install_free_list "futures_install"(PyTypeObject *type)
    long live "futures_live"

ctypedef int (*advance_t)(object self, PyObject **result) except PYGEN_ERROR
ctypedef NoResult (*release_t)(object self) except NoResult.EXC
ctypedef object (*other_t)(object self, object args)

cdef extern from "awaitable.h":
    """
    CLOOP_AWAITABLE(future_iter)
    CLOOP_THROWS(future_iter)
    """
    void install_awaitable "future_iter_install"(PyTypeObject *type, advance_t advance)
    int install_throw "future_iter_install_throw"(
        PyTypeObject *type, release_t release, other_t other) except -1
    void forget_result "cloop_forget_result"()

cdef extern from *:
    PyObject *Py_NewRef(object o)
    # Unlike `raise` this adds no frame of Cython's, which costs more than all else.
    void set_exception "PyErr_SetObject"(object type, object exception)
    int set_traceback "PyException_SetTraceback"(object exception, object traceback) except -1

cdef extern from "asyncio_task.h":
    void init_awaited_by "cloop_init_awaited_by"(object future)
    PyObject *awaited_by "cloop_awaited_by"(object future)
    void forget_awaiters "cloop_forget_awaiters"(object future)

cdef extern from "dictless.h":
    void make_dictless "cloop_make_dictless"(PyTypeObject *type)

cdef object CancelledError = exceptions.CancelledError
cdef object InvalidStateError = exceptions.InvalidStateError
cdef object asyncio_future = futures.Future
cdef object repr_info = base_futures._future_repr_info
# A callback may show the future it belongs to.
cdef object show = recursive_repr()(lambda each: f"<{type(each).__name__} {' '.join(repr_info(each))}>")
cdef bint makes_runtime_error = wraps_stop_iteration()
# The names of tasks' done callbacks, cloop's and asyncio's.
cdef tuple WAKEUPS = ("task_wakeup", "TaskWakeupMethWrapper")
cdef tuple STATES = ("PENDING", "CANCELLED", "FINISHED", "FINISHED")


cdef class Waiter:
    """A waiter of cloop's own in a future's list."""


@cython.freelist(64)
@cython.final
cdef class FutureIter:
    """What `await future` iterates."""

    cdef Future future

    def __iter__(self):
        return self

    def __await__(self):
        return self

    def __dealloc__(self):
        forget_result()

    # For who calls it by name: the interpreter and C have advance().
    def __next__(self):
        cdef PyObject *result = NULL
        cdef int status = advance(self, &result)
        value = <object>result
        Py_DECREF(result)
        if status == PYGEN_NEXT:
            return value
        raise StopIteration if value is None else StopIteration(value)

    def send(self, value):
        """Resume; the value is ignored, as futures have no use for it."""
        return self.__next__()

    def close(self):
        """End the iteration."""
        let_go(self)


cdef int advance(FutureIter self, PyObject **result) except PYGEN_ERROR:
    """How far the await has come; awaitable.h says what is returned."""
    cdef Future future = self.future
    if future is None:
        return returned(None, result)
    if future.state == PENDING:
        if future.blocking:
            raise RuntimeError("await wasn't used with future")
        future.blocking = True
        result[0] = Py_NewRef(future)
        return PYGEN_NEXT
    if PY_VERSION_HEX < 0x030E0000:  # from then on it tells the outcome again
        self.future = None
    if future.state != FINISHED:
        exception = future.outcome()
        set_exception(type(exception), exception)
        return PYGEN_ERROR
    return returned(future.result_, result)


cdef inline int returned(object value, PyObject **result) noexcept:
    result[0] = Py_NewRef(value)
    return PYGEN_RETURN


install_awaitable(<PyTypeObject *>FutureIter, <advance_t>advance)


cdef object thrown(FutureIter self, tuple args):
    """throw() with other arguments than one exception: raises."""
    exception = exception_of(*args)
    let_go(self)
    raise exception


cdef NoResult let_go(FutureIter self) except NoResult.EXC:
    cdef Future future = self.future
    self.future = None
    if future is not None and future.state == PENDING:
        future.abandon()
    return NoResult.OK


install_throw(<PyTypeObject *>FutureIter, <release_t>let_go, <other_t>thrown)


cdef FutureIter new_iter(Future future):
    cdef FutureIter iterator = FutureIter.__new__(FutureIter)
    iterator.future = future
    return iterator


cdef class Future:
    """A result that comes later: asyncio.Future on a cloop loop."""

    __class_getitem__ = classmethod(types.GenericAlias)

    def __cinit__(self):
        cloop_drop_instance_dict(self)
        init_awaited_by(self)

    def __init__(self, *, loop=None):
        self.set_up(default_loop() if loop is None else loop)

    cdef NoResult set_up(self, object loop) except NoResult.EXC:
        if self.loop is not None and PY_VERSION_HEX >= 0x030F0000:
            raise RuntimeError(f"{type(self).__name__} object is already initialized")
        self.loop = loop
        self.native = isinstance(loop, Reactor) and not (<Reactor>loop).own_call_soon
        if self.state != PENDING or self.waiter is not None:
            self.forget()
        if ((<Reactor>loop).debug if self.native else loop.get_debug()):
            self.source_traceback = caller_stack()
        return NoResult.OK

    cdef NoResult forget(self) except NoResult.EXC:
        """Back to the state of a new future, for a second __init__."""
        self.state = PENDING
        self.waiter = self.waiter_context = self.more = None
        self.result_ = self.raised_ = self.source_traceback = None
        forget_awaiters(self)
        self.log_traceback = self.blocking = False
        return NoResult.OK

    def __del__(self):
        if self.log_traceback:
            self.report_not_retrieved()

    cdef NoResult report_not_retrieved(self) except NoResult.EXC:
        self.log_traceback = False
        context = {"message": f"{type(self).__name__} exception was never retrieved",
                   "exception": self.result_, "future": self}
        if self.source_traceback:
            context["source_traceback"] = self.source_traceback
        self.loop.call_exception_handler(context)
        return NoResult.OK

    @property
    def __class__(self):
        # The C type of asyncio can't be inherited from together with this one; being one to
        # isinstance() is what asyncio and its users need.
        return asyncio_future

    def __repr__(self):
        return show(self)

    # ---- State

    def get_loop(self):
        """The loop that the future belongs to."""
        if self.loop is None:
            raise RuntimeError("Future object is not initialized.")
        return self.loop

    def done(self):
        """Whether it has a result or an exception, or was cancelled."""
        return self.state != PENDING

    def cancelled(self):
        """Whether it was cancelled."""
        return self.state == CANCELLED

    def result(self):
        """The result; raises the exception that was set instead.

        Raises CancelledError if it was cancelled, InvalidStateError if it is not done.
        """
        if self.state == PENDING:
            raise InvalidStateError("Result is not set.")
        if self.state == FINISHED:
            return self.result_
        exception = self.outcome()
        raise exception

    def exception(self):
        """The exception that was set, or None.

        Raises CancelledError if it was cancelled, InvalidStateError if it is not done.
        """
        if self.state == CANCELLED:
            raise self.make_cancelled_error()
        if self.state == PENDING:
            raise InvalidStateError("Exception is not set.")
        self.log_traceback = False
        return self.result_ if self.state == FAILED else None

    cdef object outcome(self):
        if self.state == CANCELLED:
            return self.make_cancelled_error()
        if self.state != FAILED:
            return None
        self.log_traceback = False
        # The traceback as it was when the exception was set: each raise here adds to it.
        set_traceback(self.result_, self.raised_)
        return self.result_

    cdef object make_cancelled_error(self):
        if self.state == CANCELLED and self.raised_ is not None:
            exception, self.raised_ = self.raised_, None
            return exception
        message = self.cancel_message()
        return CancelledError() if message is None else CancelledError(message)

    cdef object cancel_message(self):
        return self.result_ if self.state == PENDING or self.state == CANCELLED else None

    cdef NoResult set_cancel_message(self, object message) except NoResult.EXC:
        if self.state == PENDING or self.state == CANCELLED:
            self.result_ = message
        return NoResult.OK

    def _make_cancelled_error(self):
        return self.make_cancelled_error()

    # ---- Completion

    def set_result(self, result, /):
        """Complete with a result. Raises InvalidStateError if it is done."""
        if self.state != PENDING or self.loop is None:
            self.refuse()
        self.finish(result)

    def set_exception(self, exception, /):
        """Complete with an exception, a class or an instance.

        Raises InvalidStateError if it is done, TypeError for what is no exception.
        """
        if self.state != PENDING or self.loop is None:
            self.refuse()
        self.fail(exception)

    def cancel(self, msg=None):
        """Cancel, with a message for the CancelledError. Returns False if it is done."""
        if self.loop is None:
            self.refuse()
        return self.cancel_future(msg)

    cdef NoResult refuse(self) except NoResult.EXC:
        self.get_loop()
        raise InvalidStateError("invalid state")

    cdef NoResult finish(self, object result) except NoResult.EXC:
        self.result_ = result
        self.state = FINISHED
        return self.schedule()

    cdef NoResult fail(self, object exception) except NoResult.EXC:
        if isinstance(exception, type):
            exception = exception()
        if not isinstance(exception, BaseException):
            raise TypeError("invalid exception object")
        if isinstance(exception, StopIteration):
            text = ("StopIteration interacts badly with generators and cannot be raised into a "
                    "Future")
            if not makes_runtime_error:
                raise TypeError(text)
            replacement = RuntimeError(text)
            replacement.__cause__ = replacement.__context__ = exception
            exception = replacement
        self.result_ = exception
        self.raised_ = exception.__traceback__
        self.state = FAILED
        self.schedule()
        self.log_traceback = True
        return NoResult.OK

    cdef bint cancel_future(self, object message) except -1:
        self.log_traceback = False
        if self.state != PENDING:
            return False
        self.state = CANCELLED
        self.set_cancel_message(message)
        self.schedule()
        return True

    cdef NoResult abandon(self) except NoResult.EXC:
        return NoResult.OK

    # ---- Waiters

    def add_done_callback(self, fn, /, *, context=None):
        """Call fn(future) when it is done; in the next turn if it is done already."""
        if self.state != PENDING or self.loop is None:
            self.get_loop().call_soon(fn, self, context=context)
            return
        if context is None:
            context = take_snapshot()
        if self.waiter is None:
            self.waiter = fn
            self.waiter_context = context
            self.waiter_run = NULL
        elif self.more is None:
            self.more = [(fn, context)]
        else:
            self.more.append((fn, context))

    def remove_done_callback(self, fn, /):
        """Remove all instances of a callback. Returns how many there were."""
        if self.state != PENDING or self.waiter is None:
            if self.loop is None:
                self.get_loop()
            return 0
        if self.more is None and self.waiter is fn and self.waiter_run == NULL:
            self.waiter = self.waiter_context = None
            return 1
        cdef list kept = []
        # The comparison is user code: it may add and remove callbacks, which asyncio keeps up with by
        # looking at each once; or complete the future, and then there is nothing more to look at.
        entries = self.entries()
        for entry in entries:
            if isinstance(entry, Waiter) or self.state != PENDING or not entry[0] == fn:
                kept.append(entry)
        removed = len(entries) - len(kept)
        if removed and self.state == PENDING:
            self.set_entries(kept + self.entries()[len(entries):])
        return removed

    cdef list entries(self):
        """All waiters, each as in `more`."""
        if self.waiter is None:
            return []
        cdef Waiter first
        if self.waiter_run == NULL:
            entries = [(self.waiter, self.waiter_context)]
        else:
            first = Waiter.__new__(Waiter)
            first.owner = self.waiter
            first.run = self.waiter_run
            entries = [first]
        return entries if self.more is None else entries + self.more

    cdef NoResult set_entries(self, list entries) except NoResult.EXC:
        self.waiter = self.waiter_context = self.more = None
        self.waiter_run = NULL
        if entries:
            first = entries[0]
            if isinstance(first, Waiter):
                self.waiter = (<Waiter>first).owner
                self.waiter_run = (<Waiter>first).run
            else:
                self.waiter, self.waiter_context = first
            self.more = entries[1:] or None
        return NoResult.OK

    cdef NoResult add_waiter(self, object owner, run_t run) except NoResult.EXC:
        cdef Waiter waiter
        if self.waiter is None:
            self.waiter = owner
            self.waiter_run = run
            return NoResult.OK
        waiter = Waiter.__new__(Waiter)
        waiter.owner = owner
        waiter.run = run
        if self.more is None:
            self.more = [waiter]
        else:
            self.more.append(waiter)
        return NoResult.OK

    cdef NoResult remove_waiter(self, object owner) except NoResult.EXC:
        """Take back add_waiter(owner, ...); does nothing where it is not there any more."""
        cdef list kept = []
        if self.state != PENDING:
            return NoResult.OK
        for entry in self.entries():
            if not isinstance(entry, Waiter) or (<Waiter>entry).owner is not owner:
                kept.append(entry)
        return self.set_entries(kept)

    cdef NoResult schedule(self) except NoResult.EXC:
        """Let all waiters run in the next turn, in their order."""
        cdef object owner
        forget_awaiters(self)
        if self.waiter is None:
            return NoResult.OK
        if self.more is not None or not self.native:
            return self.schedule_all()
        if self.waiter_run != NULL:
            owner, self.waiter = self.waiter, None
            return (<Reactor>self.loop).soon(owner, self.waiter_run)
        if (<Reactor>self.loop).debug:
            # With a handle, which knows who scheduled it.
            return self.schedule_all()
        return (<Reactor>self.loop).soon(self, run_callback)

    cdef NoResult schedule_all(self) except NoResult.EXC:
        cdef list entries = self.entries()
        self.waiter = self.waiter_context = self.more = None
        for entry in entries:
            if isinstance(entry, Waiter):
                (<Reactor>self.loop).soon((<Waiter>entry).owner, (<Waiter>entry).run)
            else:
                self.loop.call_soon(entry[0], self, context=context_of(entry[1]))
        return NoResult.OK

    # ---- Awaiting

    def __await__(self):
        return new_iter(self)

    def __iter__(self):
        return new_iter(self)

    # ---- asyncio's private names, which asyncio itself and libraries read

    @property
    def _asyncio_future_blocking(self):
        return <bint>self.blocking

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value):
        self.blocking = bool(value)

    @_asyncio_future_blocking.deleter
    def _asyncio_future_blocking(self):
        raise AttributeError("cannot delete attribute")

    @property
    def _asyncio_awaited_by(self):
        """What waits for this future, as a frozenset of futures; None if nothing does (3.14)."""
        cdef PyObject *known = awaited_by(self)
        awaiting = {awaiter(entry) for entry in (self.entries() if self.state == PENDING else [])}
        if known != NULL:
            awaiting.update(<object>known if self.awaited_by_is_set else [<object>known])
        return frozenset(awaiting - {None}) or None

    @property
    def _loop(self):
        return self.loop

    @property
    def _state(self):
        return STATES[self.state]

    @property
    def _callbacks(self):
        if self.state != PENDING:
            return None
        callbacks = []
        for entry in self.entries():
            if isinstance(entry, Waiter):
                owner = (<Waiter>entry).owner
                callbacks.append((getattr(owner, "task_wakeup", owner), getattr(owner, "_context", None)))
            else:
                callbacks.append((entry[0], context_of(entry[1])))
        return callbacks or None

    @property
    def _result(self):
        return self.result_ if self.state == FINISHED else None

    @property
    def _exception(self):
        return self.result_ if self.state == FAILED else None

    @property
    def _cancel_message(self):
        return self.cancel_message()

    @_cancel_message.setter
    def _cancel_message(self, value):
        self.set_cancel_message(value)

    @_cancel_message.deleter
    def _cancel_message(self):
        raise AttributeError("cannot delete attribute")

    @property
    def _source_traceback(self):
        return self.source_traceback

    @property
    def _log_traceback(self):
        return <bint>self.log_traceback

    @_log_traceback.setter
    def _log_traceback(self, value):
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self.log_traceback = False

    @_log_traceback.deleter
    def _log_traceback(self):
        raise AttributeError("cannot delete attribute")


install_free_list(<PyTypeObject *>Future)
make_dictless(<PyTypeObject *>Future)
register("futures", &live)


cdef object awaiter(object entry):
    """The task that a callback wakes, else None."""
    if isinstance(entry, Waiter) or getattr(entry[0], "__name__", None) not in WAKEUPS:
        return None
    return getattr(entry[0], "__self__", None)


cdef Future new_future(Reactor loop):
    cdef Future self = Future.__new__(Future)
    self.loop = loop
    self.native = not loop.own_call_soon
    if loop.debug:
        self.source_traceback = caller_stack()
    return self


cdef NoResult run_callback(object owner) except NoResult.EXC:
    """Call the one callback of a future that is done."""
    cdef Future self = <Future>owner
    cdef object callback = self.waiter
    cdef object context = self.waiter_context
    self.waiter = self.waiter_context = None
    cdef PyObject *failed_in
    if callback is not None and call_one_with(context, callback, self, &failed_in) < 0:
        context = <object>failed_in
        Py_DECREF(failed_in)
        exception = cloop_take_exception()
        handle = new_handle(self.loop, callback, (self,), context)
        cloop_set_exception(exception)
        return report(self.loop, callback, (self,), handle)
    return NoResult.OK
