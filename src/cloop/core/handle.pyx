"""Handle, as asyncio.Handle; handle.pxd is the manual.

Derived from CPython's asyncio/events.py (PSF License Agreement); messages and repr are asyncio's.
"""

import sys
import threading
from asyncio import events, format_helpers
from contextvars import Context

from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport (
    CLOOP_HAS_GIL,
    Py_DECREF,
    Py_REFCNT,
    PyObject_GC_UnTrack,
    PyThread_get_thread_ident,
    cloop_has_weakrefs,
    cloop_set_exception,
    cloop_take_exception,
    cloop_track,
)
from cloop.core.counts cimport register
from cloop.core.snapshot cimport call_with, context_of, take_snapshot

cdef extern from *:
    """
    static long handles_live;
    CLOOP_COUNTED(handles, &handles_live)
    CLOOP_FREELIST(posted_handles, 64, &handles_live, 1)
    """
    void count_handles "handles_install"(PyTypeObject *type)
    void install_posted_free_list "posted_handles_install"(PyTypeObject *type)
    long live "handles_live"

cdef object asyncio_handle = events.Handle
# 3.14 has it; before, a plain Handle came of call_soon_threadsafe.
cdef object asyncio_posted_handle = getattr(events, "_ThreadSafeHandle", None)
has_posted_handles = asyncio_posted_handle is not None
cdef object format_callback = format_helpers._format_callback_source
cdef object extract_stack = format_helpers.extract_stack
# From some releases of 3.12 on, arguments are left out of the text unless debug mode is on.
cdef bint format_takes_debug = "debug" in (format_helpers._format_callback_source.__kwdefaults__ or ())


cdef class Handle:
    """A callback to be called by the loop, from call_soon() and call_soon_threadsafe()."""

    def __init__(self, callback, args, loop, context=None):
        set_up(self, loop, callback, tuple(args), context)
        if loop.get_debug():
            self.origin = caller_stack()

    @property
    def __class__(self):
        # asyncio.Handle is a plain class with slots; being one to isinstance() is what users need.
        return asyncio_handle

    def cancel(self):
        """Keep the callback from being called; does nothing once it was called or cancelled."""
        drop(self)

    def cancelled(self):
        """Whether cancel() was called."""
        return self.cancelled_

    def get_context(self):
        """The contextvars.Context that the callback runs in."""
        keep_context(self)
        return self.context

    def _run(self):
        cloop_track(<PyObject *>self)
        # Nobody says that it runs but once: one context for all its runs.
        keep_context(self)
        run_handle(self)

    def _repr_info(self):
        info = [type(self).__name__]
        if self.cancelled_:
            info.append("cancelled")
        if self.callback is not None:
            info.append(describe_call(self.loop, self.callback, self.args))
        stack = self._source_traceback
        if stack:
            frame = stack[len(stack) - 1]
            # Not by index, which reads the file: the interpreter may be at its end, where that fails.
            info.append(f"created at {frame.filename}:{frame.lineno}")
        return info

    def __repr__(self):
        if isinstance(self.origin, tuple):
            return self.origin[1]
        return f"<{' '.join(self._repr_info())}>"

    # asyncio's private names, which tools read.

    @property
    def _loop(self):
        return self.loop

    @property
    def _callback(self):
        return self.callback

    @_callback.setter
    def _callback(self, value):
        cloop_track(<PyObject *>self)
        self.callback = value

    @property
    def _args(self):
        return self.args

    @_args.setter
    def _args(self, value):
        cloop_track(<PyObject *>self)
        self.args = value if value is None or type(value) is tuple else tuple(value)

    @property
    def _context(self):
        return self.get_context()

    @_context.setter
    def _context(self, value):
        if not isinstance(value, Context):
            raise TypeError(f"a contextvars.Context was expected, got {value!r}")
        cloop_track(<PyObject *>self)
        self.context = value

    @property
    def _cancelled(self):
        return self.cancelled_

    @_cancelled.setter
    def _cancelled(self, bint value):
        self.cancelled_ = value
        if not value and self.args is None:
            # What cancel() dropped can't be called; that is reported when it is tried.
            self.args = ()
        cloop_track(<PyObject *>self)

    @property
    def _source_traceback(self):
        return self.origin[0] if isinstance(self.origin, tuple) else self.origin


cdef class _ThreadSafeHandle(Handle):
    """A Handle of call_soon_threadsafe()."""

    @property
    def __class__(self):
        return asyncio_posted_handle

    def cancel(self):
        """As Handle's; a call from another thread returns when the callback does not run (any more)."""
        wait_for_end(self)
        drop(self)

    def cancelled(self):
        """As Handle's, with the same wait."""
        wait_for_end(self)
        return self.cancelled_

    def _run(self):
        run_posted(self)


count_handles(<PyTypeObject *>Handle)
install_posted_free_list(<PyTypeObject *>_ThreadSafeHandle)
register("handles", &live)


cdef object describe_call(object loop, object callback, tuple args):
    """A callback with its arguments and where it is defined, as asyncio writes it."""
    if format_takes_debug:
        return format_callback(callback, args, debug=loop.get_debug())
    return format_callback(callback, args)


cdef NoResult from_context(Handle self, object context) except NoResult.EXC:
    self.context = take_snapshot() if context is None else context
    return NoResult.OK


cdef Handle new_handle(object loop, object callback, tuple args, object context):
    cdef Handle self = Handle.__new__(Handle)
    set_up(self, loop, callback, args, context)
    return self


cdef Handle new_posted_handle(object loop, object callback, tuple args, object context, bint tracked):
    cdef _ThreadSafeHandle self = _ThreadSafeHandle.__new__(_ThreadSafeHandle)
    if not tracked and CLOOP_HAS_GIL:
        PyObject_GC_UnTrack(<PyObject *>self)
    set_up(self, loop, callback, args, context)
    return self


cdef NoResult drop(Handle self) except NoResult.EXC:
    if self.cancelled_:
        return NoResult.OK
    self.cancelled_ = True
    if self.origin is not None:
        self.origin = (self.origin, repr(self))
    # Frees what the callback holds now, not when the entry comes up.
    self.callback = None
    self.args = None
    cloop_track(<PyObject *>self)
    return NoResult.OK


cdef object caller_stack():
    return extract_stack(sys._getframe(0))


cdef NoResult keep_context(Handle self) except NoResult.EXC:
    self.context = context_of(self.context)
    return NoResult.OK


cdef NoResult run_handle(object owner) except NoResult.EXC:
    cdef Handle self = <Handle>owner
    if self.cancelled_:
        return NoResult.OK
    # Both may be dropped by the callback itself.
    cdef object callback = self.callback
    cdef tuple args = self.args
    cdef PyObject *failed_in
    if args is None:
        # Somebody has set it so, or has never called __init__.
        cloop_set_exception(TypeError("Value after * must be an iterable, not NoneType"))
        return report(self.loop, callback, args, self)
    if call_with(self.context, callback, args, &failed_in) < 0:
        self.context = <object>failed_in
        Py_DECREF(failed_in)
        # Whoever gets the report may keep it.
        cloop_track(<PyObject *>self)
        return report(self.loop, callback, args, self)
    return NoResult.OK


cdef NoResult run_posted(object owner) except NoResult.EXC:
    cdef PyObject *held = <PyObject *>owner
    if Py_REFCNT(held) == 1 and not cloop_has_weakrefs(held) and CLOOP_HAS_GIL:
        # Nobody can ask for its context, cancel it or wait for it.
        return run_handle(owner)
    cloop_track(held)
    keep_context(<Handle>owner)
    return run_marked(<_ThreadSafeHandle>owner, run_handle)


cdef NoResult run_marked(_ThreadSafeHandle self, run_t run) except NoResult.EXC:
    self.runner = PyThread_get_thread_ident()
    try:
        return run(self)
    finally:
        self.runner = 0
        if self.ended is not None:
            ended, self.ended = self.ended, None
            ended.set()


cdef NoResult wait_for_end(_ThreadSafeHandle self) except NoResult.EXC:
    """Wait while the callback runs in another thread.

    The GIL is what keeps a callback from beginning between the last look and what follows. asyncio has
    a lock for each handle.
    """
    while self.runner != 0 and self.runner != PyThread_get_thread_ident():
        if self.ended is None:
            # Another thread may get the GIL meanwhile: have a look again.
            ended = threading.Event()
            if self.ended is None:
                self.ended = ended
        else:
            self.ended.wait()
    return NoResult.OK


cdef NoResult report(object loop, object callback, tuple args,
                     object handle) except NoResult.EXC:
    cdef object exception = cloop_take_exception()
    if isinstance(exception, (KeyboardInterrupt, SystemExit)):
        cloop_set_exception(exception)
        return NoResult.EXC
    text = describe_call(loop, callback, args)
    context = {"message": f"Exception in callback {text}", "exception": exception, "handle": handle}
    source_traceback = handle._source_traceback
    if source_traceback:
        context["source_traceback"] = source_traceback
    loop.call_exception_handler(context)
    return NoResult.OK


cdef NoResult report_failure(object loop, object callback, tuple args,
                             object exception) except NoResult.EXC:
    cdef object handle = new_handle(loop, callback, args, None)
    cloop_set_exception(exception)
    return report(loop, callback, args, handle)
