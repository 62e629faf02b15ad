# cython: binding=True
# For the methods of Python classes, below. (Those of an extension type would take anything for `self`.)
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
from asyncio import coroutines

cimport cython
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport CLOOP_HAS_GIL, NoResult, Py_DECREF, Py_REFCNT
from cloop.aio.future cimport FINISHED, PENDING, Future
from cloop.transports.intake cimport Intake, clamped, sorted_separators
from cloop.transports.sender cimport Sender
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls.machine cimport TlsMachine
from cloop.transports.tls.transport cimport TlsTransport

from cloop.api.frames import Standby, origin

ctypedef int (*advance_t)(PyObject *, PyObject **) noexcept
ctypedef bint (*empty_t)(PyObject *) noexcept
ctypedef void (*finalize_t)(PyObject *) noexcept

cdef extern from "calls.h":
    void set_up "cloop_call_set_up"(PyTypeObject *type, advance_t advance, empty_t empty, finalize_t finalize)
    int step "cloop_call_step"(object call, PyObject **result) except -1
    PyObject *new_reference "Py_NewRef"(object o)
    object attribute "cloop_call_attribute"(object instance, object name)
    Py_ssize_t offset_of "cloop_call_offset"(object type, const char *name) except -1
    PyObject *in_slot "cloop_call_in_slot"(object instance, Py_ssize_t offset)
    # NULL if there is none.
    PyObject *take_spare "cloop_call_spare"()
    object stolen "(PyObject *)"(PyObject *data)
    bint has_attributes "cloop_call_has_attributes"(object transport)
    int origin_depth "cloop_call_origin_depth"()
    void warn_unawaited "cloop_call_warn"(object call)

cdef enum Kind:
    READ
    READ_ALL
    READ_EXACTLY
    READ_LINE
    READ_UNTIL
    DRAIN

cdef enum State:
    # What the class itself makes is of no use, and does no harm.
    OVER
    NEW
    WAITING

# Of a step, as a PySendResult.
cdef enum:
    RETURNED = 0
    YIELDED = 1

DEFAULT_LIMIT = 2 ** 16

# By State.
cdef tuple STATES = ("CORO_CLOSED", "CORO_CREATED", "CORO_SUSPENDED")
cdef object coroutine_type = types.CoroutineType
cdef object plain_drain = asyncio.StreamWriter.drain
cdef object plain_read = asyncio.StreamReader.read
cdef object plain_readexactly = asyncio.StreamReader.readexactly
# By Kind: asyncio's method, and arguments.
cdef tuple PLAIN = (
    (plain_read, 1), (plain_read,), (plain_readexactly, 1), (asyncio.StreamReader.readline,),
    (asyncio.StreamReader.readuntil,), (plain_drain,))


@cython.final
@cython.binding(False)
cdef class StreamCall:
    """A coroutine: the call of one of the methods below."""

    cdef Kind kind
    cdef State state
    cdef Intake intake
    cdef object argument       # what to read, or the writer that drains
    cdef Py_ssize_t most       # the argument of read() and readexactly(), as far as there can be so much
    cdef Future future         # that is waited for
    cdef object inner          # what is waited for instead: an iterator or a coroutine
    cdef Py_ssize_t offset     # where READ_UNTIL looks next
    cdef bint loaded           # one of these is there:
    cdef list parts            # what READ_ALL has read, or the separators of READ_UNTIL
    cdef object standby        # whose frame somebody has asked for
    cdef tuple origin          # who has made it, if that is noted
    cdef object __weakref__

    def __dealloc__(self):
        if self.state == WAITING and self.intake is not None:
            # As a coroutine, which is closed when it is dropped; but nobody else waits by now.
            if self.future is None or self.intake.waiter is self.future:
                self.intake.stop_waiting()

    @property
    def __class__(self):
        # As for the transports: to isinstance() it is what asyncio's methods return.
        return coroutine_type

    @property
    def __name__(self):
        return PLAIN[self.kind][0].__name__

    @property
    def __qualname__(self):
        return PLAIN[self.kind][0].__qualname__

    @property
    def cr_await(self):
        """What it waits for, or None."""
        return self.inner if self.future is None else self.future

    @property
    def cr_running(self):
        """False: nobody sees it run."""
        return False

    @property
    def cr_suspended(self):
        """Whether it waits."""
        return self.state == WAITING

    @property
    def cr_state(self):
        """What inspect.getcoroutinestate() says of it (3.15)."""
        return STATES[self.state]

    @property
    def cr_frame(self):
        """None once it is over; before, the frame that a coroutine of asyncio's has then."""
        if self.state == OVER:
            return None
        cdef bint waiting = self.state == WAITING
        if self.standby is None or self.standby.waiting != waiting:
            self.loaded = True
            self.standby = Standby(*PLAIN[self.kind], waiting=waiting)
        return self.standby.frame

    @property
    def cr_code(self):
        """The code of asyncio's method."""
        return PLAIN[self.kind][0].__code__

    @property
    def cr_origin(self):
        """Who has made it, or None; see sys.set_coroutine_origin_tracking_depth()."""
        return self.origin

    def __repr__(self):
        return f"<coroutine object {self.__qualname__} at {id(self):#x}>"

    def __await__(self):
        return self

    def __next__(self):
        # For who calls it by name; else there is tp_iternext.
        cdef PyObject *result = NULL
        cdef int status = step(self, &result)
        value = <object>result
        Py_DECREF(result)
        if status == YIELDED:
            return value
        # Without an argument where there is nothing, as a coroutine.
        raise StopIteration if value is None else StopIteration(value)

    def send(self, value):
        """Go on."""
        if value is not None and self.state == NEW:
            raise TypeError("can't send non-None value to a just-started coroutine")
        return self.__next__()

    def throw(self, *args):
        """Raise an exception where it waits."""
        self.refuse_second_use()
        if self.kind == DRAIN and self.inner is not None:
            try:
                return self.inner.throw(*args)
            except BaseException:
                self.end()
                raise
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
        if not waited:
            self.begin(intake)
        if self.kind == READ:
            return intake.take(self.most) if waited else intake.read(self.most)
        if self.kind == READ_LINE:
            return intake.readline()
        if self.kind == READ_EXACTLY:
            return intake.readexactly(self.argument, self.most)
        if self.kind == READ_UNTIL:
            return intake.readuntil(self.parts, &self.offset)
        return self.read_on(intake, waited)

    cdef NoResult begin(self, Intake intake) except NoResult.EXC:
        """Refuse what can't be, and everything once an exception was set.

        Once only, as asyncio does: what a call was woken with is its own, whatever is set before it goes on.
        """
        if self.kind == READ_UNTIL:
            self.loaded = True
            self.parts = sorted_separators(self.argument)
        elif self.kind == READ_EXACTLY:
            self.most = clamped(self.argument, NULL)
            if self.most < 0:
                raise ValueError("readexactly size can not be less than zero")
        elif self.kind == READ:
            self.most = clamped(self.argument, NULL)
            if self.most < 0:
                self.kind = READ_ALL
                self.loaded = True
                self.parts = []
        if intake.exception is not None:
            raise intake.exception
        return NoResult.OK

    cdef object read_on(self, Intake intake, bint waited):
        """As asyncio, which calls read(limit) until that returns nothing: also when it was woken and another
        task has read before. So reading is not paused, and what was taken is lost with the call."""
        while True:
            if intake.exception is not None and not waited:
                raise intake.exception
            most = sys.maxsize if intake.exception is None else intake.low
            data = intake.take(most) if waited else intake.read(most)
            waited = False
            if not data:
                return None if data is None else b"".join(self.parts)
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
            value = None
            try:
                value = next(inner)
            except BaseException as exc:
                self.end()
                if not isinstance(exc, StopIteration):
                    raise
            return value
        if future.state == FINISHED:
            future = None
            self.end()
            return None
        if future.state == PENDING and not future.blocking:
            # Whoever had it lets it be waited for once more.
            future.blocking = True
            return future
        self.end()
        if future.state == PENDING:
            raise RuntimeError("await wasn't used with future")
        exception = future.outcome()
        raise exception

    cdef int drain(self, PyObject **result) except -1:
        if self.state == NEW:
            self.state = OVER
            if is_calm(self.argument, transport_of(self.argument)):
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


cdef bint is_calm(object writer, object transport):
    """Whether drain() has nothing to wait for and nothing to raise, which only cloop's own tell."""
    cdef StreamTransport stream = None
    cdef TlsMachine tls = None
    if type(transport) is StreamTransport:
        stream = <StreamTransport>transport
    elif type(transport) is TlsTransport:
        tls = (<TlsTransport>transport).machine
        stream = None if tls.closed else tls.records.stream
    if stream is None or stream.closing or (<Sender>transport).protocol_paused:
        return False
    sink = stream.sink if tls is None else tls.sink
    if type(sink) is not Intake:
        return False
    cdef Intake intake = <Intake>sink
    cdef object protocol = (<Sender>transport).protocol
    if intake.noticed or intake.exception is not None or has_attributes(transport):
        return False
    # One of another class tells when it gets another protocol or reader (api/replaced).
    return type(writer) is not slotted_writer or (
        in_slot(writer, protocol_offset) == <PyObject *>protocol and reads(writer, intake))


cdef bint reads(object writer, Intake intake):
    """Whether the reader of a slotted writer is the intake's, or there is none."""
    cdef PyObject *reader = in_slot(writer, reader_offset)
    if reader == NULL:
        return False
    if type(<object>reader) is slotted_reader:
        return in_slot(<object>reader, intake_offset) == <PyObject *>intake
    return <object>reader is None or getattr(<object>reader, "_intake", None) is intake


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


cdef bint empty(StreamCall self) noexcept:
    """Let go of everything. Whether that was done: one that is not over has something to do first."""
    if self.state != OVER:
        return False
    self.intake = self.argument = None
    # Rarely. What else there is, is gone with the end.
    if self.loaded:
        self.loaded = False
        self.parts = self.origin = self.standby = None
    return True


cdef void finalize(StreamCall self) noexcept:
    if self.state == NEW:
        warn_unawaited(self)


set_up(<PyTypeObject *>StreamCall, <advance_t>advance, <empty_t>empty, <finalize_t>finalize)
collections.abc.Coroutine.register(StreamCall)


cdef StreamCall new_call(Kind kind, Intake intake, object argument):
    cdef PyObject *spare = take_spare()
    cdef int depth = origin_depth()
    cdef StreamCall call
    if spare != NULL:
        call = <StreamCall>stolen(spare)
        call.offset = 0
    else:
        call = StreamCall.__new__(StreamCall)
    call.state = NEW
    call.kind = kind
    call.intake = intake
    call.argument = argument
    if depth > 0:
        call.loaded = True
        call.origin = origin(depth)
    return call


# What is below is not made yet.
cdef object slotted_reader = None
cdef object slotted_writer = None
cdef Py_ssize_t intake_offset
cdef Py_ssize_t transport_offset
cdef Py_ssize_t protocol_offset
cdef Py_ssize_t reader_offset


cdef Intake intake_of(object reader):
    cdef PyObject *found
    if type(reader) is slotted_reader:
        found = in_slot(reader, intake_offset)
        if found != NULL:
            return <Intake?><object>found
    return <Intake?>attribute(reader, "_intake")


cdef object transport_of(object writer):
    cdef PyObject *found
    if type(writer) is slotted_writer:
        found = in_slot(writer, transport_offset)
        if found != NULL:
            return <object>found
    return attribute(writer, "_transport")


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
        if type(n) is not int:
            # Of asyncio's, which says what a wrong type is good for.
            return plain_read(self, n)
        return new_call(READ, intake_of(self), n)

    def readline(self):
        """Read up to a newline, which is part of the result; at the end of file what there is.

        Raises ValueError for a line that is longer than the limit, of which nothing is left to be read;
        and what set_exception() was called with.
        """
        return new_call(READ_LINE, intake_of(self), None)

    def readuntil(self, separator=b"\n"):
        """Read up to a separator, which is part of the result. From 3.13 on it may be a tuple of several.

        Raises IncompleteReadError at the end of file, LimitOverrunError for data that is longer than the
        limit, which is left to be read; and what set_exception() was called with.
        """
        return new_call(READ_UNTIL, intake_of(self), separator)

    def readexactly(self, n):
        """Read `n` bytes.

        Raises IncompleteReadError if the end of file comes before, and what set_exception() was called
        with.
        """
        if type(n) is not int:
            return plain_readexactly(self, n)
        return new_call(READ_EXACTLY, intake_of(self), n)

    def feed_data(self, data):
        """Add what has come."""
        intake_of(self).feed(data)

    def at_eof(self):
        """Whether all was read and the end of file has come."""
        cdef Intake intake = intake_of(self)
        return intake.eof and intake.size() == 0

    def exception(self):
        """What set_exception() was called with, or None."""
        return intake_of(self).exception

    def _maybe_resume_transport(self):
        intake_of(self).maybe_resume()


def kept(name):
    """A property that is kept in the intake, under that name."""

    def get(reader):
        return getattr(reader._intake, name)

    def set(reader, value):
        setattr(reader._intake, name, value)

    return property(get, set)


# What asyncio's methods, and libraries, know of a reader, and what the intake calls it.
KEPT = {"_limit": "_limit", "_loop": "_loop", "_buffer": "_buffer", "_eof": "eof", "_waiter": "waiter",
        "_exception": "exception", "_transport": "transport", "_paused": "paused"}
for name in KEPT:
    setattr(StreamReader, name, kept(KEPT[name]))
del name


class StreamWriter(asyncio.StreamWriter):
    """asyncio.StreamWriter, compiled where it is called for each message."""

    def write(self, data):
        """Send bytes-like data; what can't be sent now is queued."""
        cdef object transport = transport_of(self)
        if type(transport) is StreamTransport and not has_attributes(transport):
            (<StreamTransport>transport).write(data)
        elif type(transport) is TlsTransport and not has_attributes(transport):
            (<TlsTransport>transport).write(data)
        else:
            # Of another kind; or somebody may have put a method in the place of ours, to see what is sent.
            transport.write(data)

    def writelines(self, data):
        """Send an iterable of bytes-like data, in one piece where that can be."""
        cdef object transport = transport_of(self)
        transport.writelines(data)

    def drain(self):
        """Wait until it is appropriate to write more.

        Raises what was set on the reader, ConnectionResetError once the connection is lost.
        """
        return new_call(DRAIN, None, self)


class SlottedReader(StreamReader):
    """One that was made as ours, and not of asyncio's by a change of its class.

    All that it has is in slots, which are found without a dict, where nothing hides its methods either.
    """

    __slots__ = ("_intake",)


class SlottedWriter(StreamWriter):
    """The same."""

    __slots__ = ("_transport", "_protocol", "_reader", "_loop", "_complete_fut")


for kind in (SlottedReader, SlottedWriter):
    # As asyncio's, which a repr shows.
    kind.__name__ = kind.__qualname__ = kind.__base__.__name__
del kind
slotted_reader, slotted_writer = SlottedReader, SlottedWriter
intake_offset = offset_of(SlottedReader, "_intake")
transport_offset = offset_of(SlottedWriter, "_transport")
protocol_offset = offset_of(SlottedWriter, "_protocol")
reader_offset = offset_of(SlottedWriter, "_reader")

# So they are coroutine functions to asyncio and inspect.
for method in (StreamReader.read, StreamReader.readline, StreamReader.readuntil, StreamReader.readexactly,
               StreamWriter.drain):
    method._is_coroutine = coroutines._is_coroutine
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(method)
del method
