# cython: binding=True
# The methods of Python classes, below, are to become bound methods.
"""Streams of which a program replaces a method.

asyncio's streams call one another by name. So a program may put a method of its own in the place of
`reader.feed_data`, `protocol.data_received` and others, also long after the connection was made: to
decrypt, to count, to copy what comes. Compiled code goes past these names. Therefore the classes of
readers, protocols and writers here notice when such a name is set on an instance, and from then on
that instance is asyncio's code again:

    a reader      becomes a PlainReader: asyncio's methods over the same data
    a writer      becomes a PlainWriter: asyncio's drain()
    a protocol    is given what comes, by its method (Intake.divert)
    a child's     its pipes' protocols are, and pass it on to the child's transport and protocol

What drain() asks of a protocol, whether it is paused or has lost its connection, is noticed likewise.

An instance of which nothing is replaced pays nothing for it: setting an attribute is what is watched
(_c/notice.h), not getting one.
"""

import asyncio
from asyncio import base_subprocess, subprocess

from cpython.object cimport PyObject, PyTypeObject

from cloop.transports.intake cimport HELD, Intake
from cloop.transports.pipe cimport ReadPipeTransport
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls.transport cimport TlsTransport

from cloop.api.streamio import SlottedReader, StreamReader, StreamWriter

ctypedef int (*noticed_t)(PyObject *, PyObject *, PyObject *) except -1

cdef extern from "notice.h":
    int notice_name "cloop_notice_name"(object name) except -1
    void let_notice "cloop_let_notice"(PyTypeObject *type, noticed_t noticed)

# Of a reader. By the second, what comes gets to it.
CALLED_ON_READERS = ("feed_data", "_wait_for_data", "_maybe_resume_transport", "_wakeup_waiter", "read",
                     "readuntil", "exception")
FEEDING = ("feed_data", "_wakeup_waiter")
CALLED_ON_PROTOCOLS = ("data_received", "_drain_helper", "_stream_reader_wr")
ASKED_BY_DRAIN = ("_paused", "_connection_lost")
ASKED_OF_WRITERS = ("_protocol", "_reader")
# Of a child: of its protocol, its transport, and the protocols of its pipes.
CALLED_ON_CHILDREN = ("pipe_data_received", "stdout", "stderr")
CALLED_ON_THEIR_TRANSPORTS = ("_pipe_data_received", "_call", "_protocol")
CALLED_ON_THEIR_PIPES = ("data_received", "proc", "fd")


def plain(base, ours, slots=None):
    """A class of ours' layout in which asyncio's methods are not hidden."""
    members = {name: method for name, method in vars(base).items()
               if name in vars(ours) and not name.startswith("__")}
    if slots is not None:
        members["__slots__"] = slots
    return type(base.__name__, (ours,), {**members, "__module__": __name__})


PlainReader = plain(asyncio.StreamReader, StreamReader)
PlainSlottedReader = plain(asyncio.StreamReader, StreamReader, SlottedReader.__slots__)
PlainWriter = plain(asyncio.StreamWriter, StreamWriter)


class StreamReaderProtocol(asyncio.StreamReaderProtocol):
    """The protocol of a reader of ours."""


class SubprocessStreamProtocol(subprocess.SubprocessStreamProtocol):
    """The protocol of a child whose readers are ours."""


class ReadSubprocessPipeProto(base_subprocess.ReadSubprocessPipeProto):
    """The protocol of one of its pipes."""


cdef Intake intake_behind(object transport):
    """What a transport of ours receives into, if that is an intake."""
    sink = None
    if type(transport) is StreamTransport:
        sink = (<StreamTransport>transport).sink
    elif type(transport) is TlsTransport:
        sink = (<TlsTransport>transport).machine.sink
    return <Intake>sink if type(sink) is Intake else None


cdef list intakes_of(object protocol):
    """Where what comes for a protocol may go, as far as it has a reader and a transport."""
    # Those are not there yet while it is made.
    wr = getattr(protocol, "_stream_reader_wr", None)
    transport = getattr(protocol, "_transport", None)
    reader = None if wr is None else wr()
    found = [] if reader is None else [getattr(reader, "_intake", None)]
    if transport is not None:
        found.append(intake_behind(transport))
    return [intake for intake in found if isinstance(intake, Intake)]


def reader_replaced(reader, name):
    """One of its methods is the program's."""
    if type(reader) is StreamReader:
        reader.__class__ = PlainReader
    elif type(reader) is SlottedReader:
        reader.__class__ = PlainSlottedReader
    reader._intake.divert(reader if name in FEEDING else None, "feed_data")


def protocol_replaced(protocol, name, value):
    """One of its methods is the program's, or it feeds another reader."""
    if name == "_stream_reader_wr" and (value is None or getattr(protocol, "_transport", None) is None):
        return
    for intake in intakes_of(protocol):
        intake.divert(None if name == "_drain_helper" else protocol)


def protocol_held(protocol):
    """It is paused or not, and has its connection or not, whoever has said so."""
    cdef Intake intake
    for intake in intakes_of(protocol):
        if getattr(protocol, "_paused", False) or getattr(protocol, "_connection_lost", False):
            intake.noticed |= HELD
        else:
            intake.noticed &= ~HELD


def writer_replaced(writer):
    """It has another protocol or reader than it was made with."""
    if type(writer) is StreamWriter:
        writer.__class__ = PlainWriter


def pipe_replaced(pipe_protocol):
    """What a child's pipe delivers goes the whole way."""
    pipe = pipe_protocol.pipe
    if type(pipe) is ReadPipeTransport and type((<ReadPipeTransport>pipe).sink) is Intake:
        (<Intake>(<ReadPipeTransport>pipe).sink).divert(pipe_protocol)


def child_replaced(transport):
    """What all its pipes deliver goes the whole way."""
    # A child that is over has let go of its transport.
    for pipe_protocol in () if transport is None else transport._pipes.values():
        if type(pipe_protocol) is ReadSubprocessPipeProto:
            pipe_replaced(pipe_protocol)


cdef int noticed(PyObject *owner, PyObject *attribute, PyObject *value) except -1:
    """An attribute of one of those names was set."""
    instance = <object>owner
    name = <object>attribute
    if isinstance(instance, StreamReader):
        if name in CALLED_ON_READERS:
            reader_replaced(instance, name)
    elif isinstance(instance, StreamReaderProtocol):
        if name in ASKED_BY_DRAIN:
            protocol_held(instance)
        elif name in CALLED_ON_PROTOCOLS:
            protocol_replaced(instance, name, <object>value)
    elif isinstance(instance, StreamWriter):
        if name in ASKED_OF_WRITERS:
            writer_replaced(instance)
    elif isinstance(instance, SubprocessStreamProtocol):
        if name in CALLED_ON_CHILDREN:
            child_replaced(instance._transport)
    elif isinstance(instance, ReadSubprocessPipeProto):
        if name in CALLED_ON_THEIR_PIPES:
            pipe_replaced(instance)
    elif name in CALLED_ON_THEIR_TRANSPORTS:
        child_replaced(instance)
    return 0


cdef int watch(list kinds, names) except -1:
    """Have classes notice when one of these names is set on an instance."""
    for name in names:
        notice_name(name)
    for kind in kinds:
        let_notice(<PyTypeObject *>kind, noticed)
    return 0


# A slotted writer has its protocol and reader where drain() looks at them (api/streamio).
watch([StreamReader, SlottedReader, PlainReader, PlainSlottedReader], CALLED_ON_READERS)
watch([StreamReaderProtocol], CALLED_ON_PROTOCOLS + ASKED_BY_DRAIN)
watch([StreamWriter], ASKED_OF_WRITERS)
watch([SubprocessStreamProtocol, ReadSubprocessPipeProto],
      CALLED_ON_CHILDREN + CALLED_ON_THEIR_TRANSPORTS + CALLED_ON_THEIR_PIPES)


def noticing(kind):
    """The same class of children's transports, which notices too; a transport may change to it."""
    derived = type(kind.__name__, (kind,), {"__module__": kind.__module__, "__slots__": ()})
    let_notice(<PyTypeObject *>derived, noticed)
    return derived
