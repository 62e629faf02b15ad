# cython: binding=True
# The methods of Python classes, below, are to become bound methods.
"""The StreamReader and StreamWriter of cloop's loops; see api/streams for who gets them.

They are Python classes of the layout of asyncio's, so that asyncio's objects can become them. Their
data is in an Intake. A method that is to be awaited returns a StreamCall, a coroutine of ours: it does
nothing before it is awaited, returns without a suspension what is there already, and otherwise gives
the task a future to wait for. Neither a frame nor an exception is made for that.

Derived in its rules and messages from CPython's asyncio/streams.py (PSF License Agreement).
"""

import asyncio
import collections.abc
import inspect
import sys
import types
import warnings
from asyncio import coroutines

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport CLOOP_HAS_GIL, NoResult, Py_DECREF, Py_REFCNT
from cloop.aio.future cimport FINISHED, PENDING, Future
from cloop.transports.intake cimport Intake, clamped
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls cimport TlsTransport

cdef extern from *:
    """
    /* Cython has no way to say am_send, and makes of a `raise` in __next__ an exception with a
     * traceback. So both slots are set here, by a function that says how far the call has come. */
    static int (*streamio_advance)(PyObject *, PyObject **);
    static PyObject *streamio_nothing;

    static PySendResult streamio_send(PyObject *self, PyObject *Py_UNUSED(value), PyObject **result) {
      *result = NULL; /* what it must be with PYGEN_ERROR: a debug build of CPython asserts that */
      return (PySendResult)streamio_advance(self, result);
    }

    static void streamio_stop(PyObject *value) {
    #if PY_VERSION_HEX >= 0x030C0000
      /* As StopIteration(value), without the tuple. */
      PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
      PyObject *stop = type->tp_new(type, streamio_nothing, NULL);
      if (stop == NULL) return;
      Py_XSETREF(((PyStopIterationObject *)stop)->value, Py_NewRef(value));
      PyErr_SetRaisedException(stop);
    #else
      PyErr_SetObject(PyExc_StopIteration, value);
    #endif
    }

    static PyObject *streamio_next(PyObject *self) {
      PyObject *result = NULL;
      int status = streamio_advance(self, &result);
      if (status == PYGEN_NEXT || status == PYGEN_ERROR) return result;
      if (result != Py_None) streamio_stop(result);
      Py_DECREF(result);
      return NULL;
    }

    /* An attribute that is the instance's own: of a class of ours, which has none of that name. */
    static PyObject *streamio_attribute(PyObject *instance, PyObject *name) {
    #if PY_VERSION_HEX >= 0x030D0000
      /* Before, asking for the dict would end the specialized look-up of methods. */
      PyObject *dict = PyObject_GenericGetDict(instance, NULL);
      if (dict == NULL) return NULL;
      PyObject *value = PyDict_GetItemWithError(dict, name);
      Py_XINCREF(value);
      Py_DECREF(dict);
      if (value != NULL || PyErr_Occurred()) return value;
    #endif
      return PyObject_GetAttr(instance, name);
    }

    /* Whether a transport of ours, whose type has a dict for its instances, has attributes of its own. */
    static int streamio_equipped(PyObject *transport) {
      PyObject *dict = *(PyObject **)((char *)transport + Py_TYPE(transport)->tp_dictoffset);
      return dict != NULL && PyDict_Check(dict) && PyDict_GET_SIZE(dict) != 0;
    }

    static void streamio_set_up(PyTypeObject *type, int (*advance)(PyObject *, PyObject **)) {
      streamio_advance = advance;
      streamio_nothing = PyTuple_New(0);
      type->tp_iternext = streamio_next;
      type->tp_as_async->am_send = streamio_send;
      PyType_Modified(type);
    }
    """
    void set_up "streamio_set_up"(PyTypeObject *type, int (*advance)(PyObject *, PyObject **) noexcept)
    PyObject *new_reference "Py_NewRef"(object o)
    object attribute "streamio_attribute"(object instance, object name)
    bint is_equipped "streamio_equipped"(object transport)

ctypedef int (*advance_t)(PyObject *, PyObject **) noexcept

cdef enum Kind:
    READ
    READ_ALL
    READ_EXACTLY
    READ_LINE
    READ_UNTIL
    DRAIN

cdef enum State:
    NEW
    WAITING
    OVER

# Of a step, as a PySendResult.
cdef enum:
    RETURNED = 0
    YIELDED = 1

DEFAULT_LIMIT = 2 ** 16

cdef tuple NAMES = ("read", "read", "readexactly", "readline", "readuntil", "drain")
cdef bint takes_several_separators = sys.version_info >= (3, 13)
cdef object coroutine_type = types.CoroutineType
cdef object plain_drain = asyncio.StreamWriter.drain
cdef object plain_read = asyncio.StreamReader.read


def report_unawaited(kind):
    """Warn of a call that nobody has awaited, as the interpreter does of a coroutine."""
    owner = "StreamWriter" if kind == DRAIN else "StreamReader"
    warnings.warn(f"coroutine '{owner}.{NAMES[kind]}' was never awaited\n", RuntimeWarning, stacklevel=1)


@cython.final
@cython.freelist(64)
cdef class StreamCall:
    """A coroutine: the call of one of the methods below."""

    cdef Kind kind
    cdef State state
    cdef Intake intake
    cdef object argument       # what to read, or the writer that drains
    cdef Py_ssize_t most       # the argument of read() and readexactly(), as far as there can be so much
    cdef Future future         # that is waited for
    cdef object inner          # what is waited for instead: an iterator or a coroutine
    cdef list parts            # what READ_ALL has read, or the separators of READ_UNTIL
    cdef Py_ssize_t offset     # where READ_UNTIL looks for them next
    cdef object __weakref__

    def __dealloc__(self):
        if self.state == NEW:
            report_unawaited(self.kind)

    @property
    def __class__(self):
        # As for the transports: to isinstance() it is what asyncio's methods return.
        return coroutine_type

    @property
    def __name__(self):
        return NAMES[self.kind]

    @property
    def __qualname__(self):
        return f"{'StreamWriter' if self.kind == DRAIN else 'StreamReader'}.{NAMES[self.kind]}"

    @property
    def cr_await(self):
        """What it waits for, or None."""
        return self.inner if self.future is None else self.future

    @property
    def cr_running(self):
        """False: nobody sees it run."""
        return False

    @property
    def cr_frame(self):
        """None: it has none."""
        return None

    @property
    def cr_origin(self):
        """None: not recorded."""
        return None

    def __repr__(self):
        return f"<coroutine object {self.__qualname__} at {id(self):#x}>"

    def __await__(self):
        return self

    def __next__(self):
        # For who calls it by name; else there is streamio_next.
        cdef PyObject *result = NULL
        cdef int status = advance(self, &result)
        value = <object>result
        Py_DECREF(result)
        if status == YIELDED:
            return value
        raise StopIteration(value)

    def send(self, value):
        """Go on."""
        if value is not None and self.state == NEW:
            raise TypeError("can't send non-None value to a just-started coroutine")
        return self.__next__()

    def throw(self, *args):
        """Raise an exception where it waits."""
        self.refuse_second_use()
        if self.kind == DRAIN and self.inner is not None:
            return self.inner.throw(*args)
        self.end()
        # By a coroutine of the interpreter's, which ends where it begins, and so as that takes the
        # arguments. One of Cython's leaves a reference to its type behind.
        return plain_read(None).throw(*args)

    def close(self):
        """End it where it waits."""
        if self.kind == DRAIN and self.inner is not None:
            self.inner.close()
        self.end()

    cdef NoResult end(self) except NoResult.EXC:
        if self.state == WAITING and self.intake is not None:
            self.intake.stop_waiting()
        self.state = OVER
        self.inner = None
        if Py_REFCNT(<PyObject *>self.future) == 1 and CLOOP_HAS_GIL:
            self.intake.keep(self.future)
        self.future = None
        return NoResult.OK

    cdef NoResult refuse_second_use(self) except NoResult.EXC:
        if self.state == OVER:
            raise RuntimeError("cannot reuse already awaited coroutine")
        return NoResult.OK

    # ---- Steps

    cdef object attempt(self, bint waited):
        """What it returns, or None where it has to wait."""
        cdef Intake intake = self.intake
        if self.kind == READ:
            return intake.take(self.most) if waited else self.read(intake)
        if self.kind == READ_LINE:
            return intake.readline()
        if self.kind == READ_EXACTLY:
            if not waited:
                self.most = clamped(self.argument, NULL)
            return intake.readexactly(self.argument, self.most)
        if self.kind == READ_UNTIL:
            if self.parts is None:
                self.parts = sorted_separators(self.argument)
            return intake.readuntil(self.parts, &self.offset)
        return self.read_on(intake)

    cdef object read(self, Intake intake):
        if type(self.argument) is int or not self.argument < 0:
            self.most = clamped(self.argument, NULL)
            if self.most >= 0:
                return intake.read(self.most)
        self.kind = READ_ALL
        self.parts = []
        return self.read_on(intake)

    cdef object read_on(self, Intake intake):
        """Take what there is, as asyncio does: so reading is not paused, and it is lost with the call."""
        cdef bytes data
        while True:
            data = intake.read(sys.maxsize)
            if data is None:
                return None
            if not data:
                return b"".join(self.parts)
            self.parts.append(data)

    cdef object wait(self):
        """What the task is to wait for."""
        cdef Intake intake = self.intake
        cdef object future
        if self.kind == READ_EXACTLY:
            future = intake.start_waiting("readexactly", self.most, 0)
        elif self.kind == READ:
            future = intake.start_waiting("read", 1, self.most)
        else:
            future = intake.start_waiting("read" if self.kind == READ_ALL else "readuntil", 1, 0)
        self.state = WAITING
        if type(future) is Future:
            self.future = <Future>future
            self.future.blocking = True
            return future
        self.inner = future.__await__()
        return next(self.inner)

    cdef object go_on(self):
        """None once what it has waited for is there; else what to wait for still."""
        cdef Future future = self.future
        cdef object inner = self.inner
        if future is None:
            try:
                return next(inner)
            except StopIteration:
                self.end()
                return None
            except BaseException:
                self.end()
                raise
        if future.state == FINISHED and future.exception_ is None:
            future = None
            self.end()
            return None
        self.end()
        if future.state == PENDING:
            raise RuntimeError("await wasn't used with future")
        exception = future.outcome()
        raise exception

    cdef int drain(self, PyObject **result) except -1:
        if self.state == NEW:
            self.state = OVER
            if is_calm(attribute(self.argument, "_transport")):
                result[0] = new_reference(None)
                return RETURNED
            self.inner = plain_drain(self.argument)
            self.state = WAITING
        try:
            result[0] = new_reference(self.inner.send(None))
            return YIELDED
        except BaseException as exc:
            self.end()
            if not isinstance(exc, StopIteration):
                raise
        result[0] = new_reference(None)
        return RETURNED


cdef list sorted_separators(object separator):
    cdef list separators = [separator]
    if takes_several_separators and isinstance(separator, tuple):
        separators = sorted(separator, key=len)
        if not separators:
            raise ValueError("Separator should contain at least one element")
    if len(separators[0]) == 0:
        raise ValueError("Separator should be at least one-byte string")
    return separators


cdef bint is_calm(object transport):
    """Whether drain() has nothing to wait for and nothing to raise, which only cloop's own tell."""
    cdef StreamTransport stream
    cdef TlsTransport tls
    cdef Intake intake = None
    if type(transport) is StreamTransport:
        stream = <StreamTransport>transport
        if stream.closing or stream.protocol_paused or type(stream.receiver) is not Intake:
            return False
        intake = <Intake>stream.receiver
    elif type(transport) is TlsTransport:
        tls = <TlsTransport>transport
        if tls.closed or tls.writing_paused or tls.stream is None or tls.stream.closing:
            return False
        intake = tls.intake
    return intake is not None and intake.exception is None


cdef int advance(object owner, PyObject **result) except -1:
    """One step of a call: what it returns or yields, as a new reference."""
    cdef StreamCall self = <StreamCall>owner
    cdef bint waited = self.state == WAITING
    cdef object value = None
    if self.kind == DRAIN and not self.state == OVER:
        return self.drain(result)
    if waited:
        value = self.go_on()
    else:
        self.refuse_second_use()
        self.state = OVER
    if value is None:
        value = self.attempt(waited)
        if value is not None:
            result[0] = new_reference(value)
            return RETURNED
        value = self.wait()
    result[0] = new_reference(value)
    return YIELDED


set_up(<PyTypeObject *>StreamCall, <advance_t>advance)
collections.abc.Coroutine.register(StreamCall)


cdef StreamCall new_call(Kind kind, object reader, object argument):
    cdef StreamCall call = StreamCall.__new__(StreamCall)
    call.kind = kind
    call.argument = argument
    call.intake = <Intake?>attribute(reader, "_intake")
    return call


class StreamReader(asyncio.StreamReader):
    """asyncio.StreamReader, whose data is in an Intake."""

    def __init__(self, limit=DEFAULT_LIMIT, loop=None):
        self._intake = Intake(DEFAULT_LIMIT, None)
        self._intake.belong(self)
        # It sets all the properties below.
        asyncio.StreamReader.__init__(self, limit, loop)

    def read(self, n=-1):
        """Read up to `n` bytes, as many as there are; without `n`, up to the end of file.

        Returns b"" at the end of file. Raises what set_exception() was called with.
        """
        return new_call(READ, self, n)

    def readline(self):
        """Read up to a newline, which is part of the result; at the end of file what there is.

        Raises ValueError for a line that is longer than the limit, of which nothing is left to be read;
        and what set_exception() was called with.
        """
        return new_call(READ_LINE, self, None)

    def readuntil(self, separator=b"\n"):
        """Read up to a separator, which is part of the result. From 3.13 on it may be a tuple of several.

        Raises IncompleteReadError at the end of file, LimitOverrunError for data that is longer than the
        limit, which is left to be read; and what set_exception() was called with.
        """
        return new_call(READ_UNTIL, self, separator)

    def readexactly(self, n):
        """Read `n` bytes.

        Raises IncompleteReadError if the end of file comes before, and what set_exception() was called
        with.
        """
        return new_call(READ_EXACTLY, self, n)

    def feed_data(self, data):
        """Add what has come."""
        (<Intake?>self._intake).feed(data)

    def at_eof(self):
        """Whether all was read and the end of file has come."""
        cdef Intake intake = <Intake?>self._intake
        return intake.eof and intake.size() == 0

    def exception(self):
        """What set_exception() was called with, or None."""
        return (<Intake?>self._intake).exception

    def _maybe_resume_transport(self):
        (<Intake?>self._intake).may_resume()


def kept(name):
    """A property that is kept in the intake."""

    def get(reader):
        return getattr(reader._intake, name)

    def set(reader, value):
        setattr(reader._intake, name, value)

    return property(get, set)


# What asyncio's methods, and libraries, know of a reader.
KEPT = ("_limit", "_loop", "_buffer", "_eof", "_waiter", "_exception", "_transport", "_paused")
for name in KEPT:
    setattr(StreamReader, name, kept(name))
del name


class StreamWriter(asyncio.StreamWriter):
    """asyncio.StreamWriter, compiled where it is called for each message."""

    def write(self, data):
        """Send bytes-like data; what can't be sent now is queued."""
        cdef object transport = attribute(self, "_transport")
        if type(transport) is StreamTransport and not is_equipped(transport):
            (<StreamTransport>transport).write(data)
        elif type(transport) is TlsTransport and not is_equipped(transport):
            (<TlsTransport>transport).write(data)
        else:
            # Of another kind; or somebody may have put a method in the place of ours, to see what is sent.
            transport.write(data)

    def writelines(self, data):
        """Send an iterable of bytes-like data, in one piece where that can be."""
        cdef object transport = attribute(self, "_transport")
        transport.writelines(data)

    def drain(self):
        """Wait until it is appropriate to write more.

        Raises what was set on the reader, ConnectionResetError once the connection is lost.
        """
        cdef StreamCall call = StreamCall.__new__(StreamCall)
        call.kind = DRAIN
        call.argument = self
        return call


# So they are coroutine functions to asyncio and inspect.
for method in (StreamReader.read, StreamReader.readline, StreamReader.readuntil, StreamReader.readexactly,
               StreamWriter.drain):
    method._is_coroutine = coroutines._is_coroutine
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(method)
del method
