"""BaseTransport: what every transport over a descriptor has.

    Flow                   water marks
      Sender               what was written and has not left
        BaseTransport      the socket, its watches, the life from connection_made to connection_lost
          StreamTransport  recv, send, half-close

The Python socket object owns the descriptor. The transport keeps the object and closes it once,
after connection_lost; before that it has removed its watches. A transport is in the fd table as
itself and enters the ready deque as itself, with one of the `run_` functions below.

The life, as asyncio has it: the constructor schedules connection_made, after which reading begins
and the waiter is woken. `force_close` or `close` schedules connection_lost, once; the first reason
stays. Everything belongs to the loop's thread.

Contexts: one context serves all callbacks, from the constructor to connection_lost, whoever schedules
them. So what a task that calls close() or resume_reading() has set is not seen by the protocol, and is
not kept. asyncio does so from 3.15 on for sockets; before, each callback has a copy of the context that
it was scheduled in. What is told from within a call, as pause_writing() by write(), is told at once, in
the caller's context.
"""

from libc.stdint cimport uint32_t

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport cloop_socket_number
from cloop.core.ready cimport run_t
from cloop.core.reactor cimport Reactor
from cloop.core.ring cimport Node
from cloop.transports.sender cimport Sender

cdef class BaseTransport(Sender):
    cdef:
        object sock            # kept after it is closed, for get_extra_info("socket")
        int fd                 # its number while it was open
        bint plain             # a socket.socket: its number can be read from its struct
        bint closed            # connection_lost is over and the socket is closed
        bint closing           # close() was called, or the connection is being lost
        bint paused            # by pause_reading()
        bint ended             # the peer has sent EOF and the protocol keeps the connection
        uint32_t watched       # READ and WRITE, as they are in the fd table
        object server          # to be told when the connection is over; None on clients
        Node node              # in the ring of the server's clients
        object lost_reason     # what connection_lost gets

        object context         # the connection's; None once it is closed

        # Until connection_made is called.
        object made            # the protocol's method
        object waiter          # a future to wake after it

        # get_extra_info(); `extra` replaces the others where there is more than these.
        dict extra
        object peername
        object sockname
        object socket_view

        dict __dict__
        object __weakref__

        NoResult set_up(self, Reactor loop, object sock, object protocol, object waiter,
                        object extra, object server, object context) except NoResult.EXC
        NoResult take_socket(self, Reactor loop, object sock) except NoResult.EXC
        NoResult disclaim(self) except NoResult.EXC
        NoResult name_ends(self, object extra) except NoResult.EXC
        NoResult use_protocol(self, object protocol) except NoResult.EXC

        # The number of the socket, -1 where somebody closed or detached it behind our back: then
        # the number may be another file's by now, and no system call may name it.
        inline int live_fd(self) noexcept:
            if self.sock is None:
                return -1
            return cloop_socket_number(self.sock) if self.plain else self.fd

        # Run `run(self)` in the next turn. Raises RuntimeError if the loop is closed.
        NoResult later(self, run_t run) except NoResult.EXC

        NoResult watch(self, uint32_t direction) except NoResult.EXC
        # What is run when the descriptor is readable.
        run_t reader(self) noexcept
        NoResult unwatch(self, uint32_t direction) except NoResult.EXC
        # For what nobody asked for: an error ends the connection and goes to the exception handler.
        NoResult watch_or_end(self, uint32_t direction) except NoResult.EXC

        # The descriptor fired; for a subclass.
        NoResult on_readable(self) except NoResult.EXC
        NoResult on_writable(self) except NoResult.EXC

        # A system call that was to read has failed, as errno says.
        NoResult read_failed(self, str message) except NoResult.EXC

        # Whether an exception is of the kind that connections end with, which nobody is told of.
        bint is_expected(self, object exception) except -1

        NoResult fatal_error(self, object exception, str message) except NoResult.EXC
        # The same for what comes out of a callback: also an OSError is reported, which is not the
        # connection's own.
        NoResult protocol_failed(self, object exception, str message) except NoResult.EXC
        NoResult force_close(self, object exception) except NoResult.EXC
        NoResult close_gently(self) except NoResult.EXC
        NoResult schedule_loss(self, object exception) except NoResult.EXC

        NoResult begin(self) except NoResult.EXC
        NoResult lose(self) except NoResult.EXC
        NoResult release(self) except NoResult.EXC
        NoResult close_file(self) except NoResult.EXC
        NoResult give_up(self) except NoResult.EXC

        NoResult report_step(self, Reactor loop, object callback, tuple args,
                             object context) except NoResult.EXC

ctypedef NoResult (*step_t)(BaseTransport self) except NoResult.EXC

# Run a step in the connection's context. An exception goes to the handler, as that of the method `name`.
cdef NoResult run_step(BaseTransport self, step_t step, str name, tuple args) except NoResult.EXC

cdef NoResult run_readable(object owner) except NoResult.EXC
cdef NoResult run_writable(object owner) except NoResult.EXC
cdef NoResult run_connection_lost(object owner) except NoResult.EXC
