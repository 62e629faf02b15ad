"""Pipe transports: one end of a pipe or FIFO, a terminal, a character device, a socket by its file.

    BaseTransport           the descriptor's watches, from connection_made to connection_lost
      PipeTransport         the file object that owns the descriptor, and how the end comes
        ReadPipeTransport   read, end of file
        WritePipeTransport  write, the queue, noticing that the reader has gone

`sock` of the base is the object whose struct has the number, as a rule the io.FileIO inside of
`pipe`, so that `live_fd` works as for sockets. `pipe` is what is closed, once.

No descriptor is claimed: as in asyncio, several transports may be made of one, and the last one that
waits for a direction is the one that is told.

The file may be shared with other processes, any of which may make it blocking again; that must not
stop the other threads. So the calls that might block then are made without the GIL, and sockets are
told with each call not to block.

What is written to a child's stdin may wait for the end of the turn, as on sockets (transports/sender): we
have made that pipe, and nobody else has this end. What somebody connects may be a terminal or a
log, which print(), other transports and other processes write to as well: a line that waited would
come after theirs. So there each write goes out at once.

A pipe of Linux holds 64 KiB, so that with much data both sides wait for each other time and again. One
that its owner says may grow does so, once, when it is found full again and again.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.transports.base cimport BaseTransport
from cloop.transports.sink cimport Sink

cdef enum Kind:
    FIFO
    SOCKET
    DEVICE

# How many pipes of a loop are larger by our doing.
@cython.final
cdef class GrownPipes:
    cdef int count

cdef class PipeTransport(BaseTransport):
    cdef:
        object pipe            # what the user gave; None once it is closed
        Kind kind
        bint named             # the FIFO has a name in the file system
        bint losing            # connection_lost is scheduled or over
        bint may_grow          # it is a FIFO of the usual size, and we may change that
        GrownPipes account     # of the loop, where this one is in it; else None
        int times_full         # how often it was found full, one time after the other

        # It was found full, or not.
        NoResult found_full(self, bint full) except NoResult.EXC
        # For a subclass: the error for a file of the wrong kind; what a repr adds while it is open.
        object refusal(self)
        list describe(self)

@cython.final
cdef class ReadPipeTransport(PipeTransport):
    cdef:
        Sink sink              # takes what comes

        ssize_t read_some(self, char *memory, size_t size) noexcept
        NoResult read_device(self) except NoResult.EXC
        NoResult read_eof(self) except NoResult.EXC

@cython.final
cdef class WritePipeTransport(PipeTransport):
    pass
