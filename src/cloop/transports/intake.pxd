"""Intake: what a StreamReader has received and not read yet.

Streams are the Python classes of asyncio, or subclasses with the same layout (api/streams), so that
they are what isinstance() and everybody who looks into them expect. What costs is here:

    transport --receive--> Intake --read--> StreamReader.read()
                              |
                              Future         the reader's `_waiter`, while it waits

A transport finds the intake of its protocol's reader (`intake_of`) and receives into it, as its
sink, without a call of data_received or feed_data. TLS decrypts into it. All that has come lies
together in one bytes object that nobody else sees yet, `block`: unread is [start, end), free is
[end, capacity). So a search goes over it in one piece, and a read that takes all of it gets the block
itself; any other copies what it takes, once. Small messages come by way of the loop's shared memory,
and the block is of their size; what may be large is received straight into the block. A block that was
read whole comes back when its reader has let go of it (transports/scratch).

A reader that waits says how much it needs before it is worth waking (`need`), and how much it can
take at most (`most`): so readexactly() of much wakes once, and gets the block it was received into.

Whoever asks the reader for its private `_buffer` gets a bytearray, `shown`, with what is unread. As
long as anybody has it, that is where the data is; then it moves into a block again.

Reading is paused above twice the limit, and resumed at the limit or when a reader waits, as asyncio
does it. An intake whose reader is gone takes everything and keeps nothing. It belongs to its loop's
thread. No code of anybody else's runs between `room` and `received`.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.aio.future cimport Future
from cloop.core.reactor cimport Reactor
from cloop.transports.scratch cimport Scratch
from cloop.transports.sink cimport Sink

cdef extern from *:
    # An integer of any size, for comparison with sizes that there can be; the second argument is NULL.
    Py_ssize_t clamped "PyNumber_AsSsize_t"(object n, PyObject *error) except? -1

cdef enum:
    # There is such a method; the protocol is paused, or has been told that its connection is lost.
    REPLACED = 1
    HELD = 2

@cython.final
cdef class Intake(Sink):
    cdef:
        size_t most            # what it wants to be given at once; no more than MOST
        object owner           # a weak reference to the reader, or None
        object loop
        Reactor reactor        # the same where it is cloop's
        Scratch scratch        # the reactor's
        public object transport    # to be paused and resumed; None where it can't be

        PyObject *block        # bytes, or NULL; the collector need not see it: it refers to nothing
        Py_ssize_t capacity
        Py_ssize_t start
        Py_ssize_t end
        bytearray shown        # what _buffer was asked for and somebody may still have
        Py_ssize_t scanned     # unread bytes at the beginning that have no newline among them
        Py_ssize_t last        # how much came last

        public object waiter   # a future, while a reader waits
        Future spare           # one that nobody has any more, for the next time
        Py_ssize_t need        # it is woken when so much is unread
        Py_ssize_t wanted      # it can take so much more; 0 where nobody has said

        object limit           # as it was given
        Py_ssize_t low         # the limit, and twice that, in bytes
        Py_ssize_t high
        public object exception
        public bint eof
        public bint paused

        # What a program has put in the place of a method that asyncio would call.
        int noticed            # why drain() is asyncio's; 0 where it need not be
        object detour          # a weak reference to whose method gets what comes, or None
        str detour_method

        NoResult set_loop(self, object loop) except NoResult.EXC
        NoResult set_limit(self, object limit) except NoResult.EXC
        bint is_orphan(self) except -1

        # The content is in the block, if that can be; whether so.
        bint settle(self) except -1
        # Have the block take what comes next, where nobody else is to get that; whether so.
        bint open_block(self) except -1
        NoResult pass_on(self, bytes data) except NoResult.EXC
        Py_ssize_t size(self) noexcept
        const char *content(self) noexcept
        # `room` bytes of the block that follow what is unread.
        char *reserve(self, Py_ssize_t room) except NULL
        NoResult move(self, Py_ssize_t capacity) except NoResult.EXC
        NoResult append(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult drop(self) noexcept
        # Takes off the first bytes and returns them.
        bytes cut(self, Py_ssize_t size)
        bytes cut_block(self)

        # There is more than before.
        NoResult arrived(self) except NoResult.EXC
        NoResult wake(self) except NoResult.EXC
        NoResult maybe_pause(self) except NoResult.EXC
        NoResult maybe_resume(self) except NoResult.EXC

        void guess(self, Py_ssize_t size) noexcept

        # What the methods of StreamReader of these names return and raise; None where they have to wait.
        object read(self, Py_ssize_t most)
        object readexactly(self, object n, Py_ssize_t wanted)
        object readline(self)
        object readuntil(self, list separators, Py_ssize_t *offset)
        bytes take(self, Py_ssize_t most)
        Py_ssize_t find(self, object separator, Py_ssize_t offset) except -2
        Py_ssize_t search(self, const char *what, Py_ssize_t length, Py_ssize_t offset) noexcept
        NoResult refuse_line(self, Py_ssize_t consumed, bint found) except NoResult.EXC

        bint is_forgotten(self) except -1
        # From one to the other there is a waiter, who needs so much and takes so much at most.
        object start_waiting(self, str method, Py_ssize_t need, Py_ssize_t wanted)
        NoResult stop_waiting(self) noexcept
        NoResult keep(self, Future future) noexcept

# What readuntil() looks for, of its argument: sorted by length. ValueError for none, or an empty one.
cdef list sorted_separators(object separator)
