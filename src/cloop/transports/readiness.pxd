"""What to do where readiness does not go away by itself.

A poller that tells levels tells of a descriptor in every turn for as long as it is ready. Usually the read
or the write that follows ends that. Not always:

* Linux keeps what the network has told of errors (IP_RECVERR), and times of sending, in a queue of the
  socket's own. While that has something the socket counts as ready for everything.
* A unix datagram socket is writable while its own buffer has room, also where the one that it sends to
  takes nothing more.

* A datagram socket that is shut down for reading is readable, though there is nothing. One of SOCK_SEQPACKET
  whose peer has closed gives empty datagrams without end.

So who finds a descriptor ready, and then can do nothing, calls `drop_errors`: the program has had its
error by the call that failed, and may have read the queue when it was told. Where that was not the cause,
it looks again `in_a_moment`. And who gets an empty datagram asks whether it is the end.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno

from cloop._c.pyapi cimport NoResult
from cloop.core.ready cimport run_t
from cloop.core.reactor cimport Reactor

# After a system call that failed: whether it is only to be tried again, and else the OSError.
cdef inline bint would_block() noexcept:
    return errno == EAGAIN or errno == EINTR

cdef object error_from_errno()

# Runs `run(owner)` a few milliseconds from now, unless the loop is closed by then.
cdef NoResult in_a_moment(Reactor loop, object owner, run_t run) except NoResult.EXC

# Whether nothing more is to come from a socket that has given nothing, or 0 bytes.
cdef bint has_ended(int fd) noexcept

# Empty the queue of errors of an internet socket: whether there was anything.
cdef bint drop_errors(int fd) noexcept
