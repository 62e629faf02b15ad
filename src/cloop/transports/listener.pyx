"""The listener; listener.pxd is the manual.

Derived in its rules and messages from CPython's asyncio/selector_events.py (PSF License Agreement).
asyncio makes a task for each connection; here the protocol is made on the spot, in a context of the
connection's own as the task's would be, and a turn earlier.
"""

import socket
from asyncio import constants, trsock
from asyncio.log import logger

from libc.errno cimport (
    EAGAIN,
    ECONNABORTED,
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    errno,
)
from posix.unistd cimport close

from cloop._c.pyapi cimport PyContext_Copy, PyContext_CopyCurrent, PyContext_Enter, PyContext_Exit
from cloop._c.socket cimport cloop_accept, sockaddr_storage
from cloop.poll.poller cimport READ
from cloop.transports.addr cimport address_of
from cloop.transports.nodelay cimport set_no_delay
from cloop.transports.readiness cimport error_from_errno
from cloop.transports.sockets cimport make_socket
from cloop.transports.stream cimport StreamTransport

# More connections than this wait for the next turn, however long the backlog: each costs tens of
# microseconds, and the connections that are open already want their turn.
cdef enum:
    MAX_BATCH = 64

cdef object TransportSocket = trsock.TransportSocket
# Tells the socket object that the descriptor does not block, without a system call.
cdef int NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)


cdef class Listener:
    """Accepts connections."""

    def __cinit__(self, Reactor loop not None, sock, protocol_factory, server=None, backlog=100,
                  accept=None, context=None):
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.protocol_factory = protocol_factory
        self.server = server
        self.accept = accept
        self.context = PyContext_CopyCurrent() if context is None else context
        self.batch = max(1, min(<object>MAX_BATCH, backlog))
        self.family = sock.family
        self.type = sock.type
        self.proto = sock.proto
        self.budget = 1
        # What is accepted inherits it.
        self.no_delay = set_no_delay(sock)

    def __repr__(self):
        return f"<{type(self).__name__} {self.sock!r}>"

    cdef NoResult start(self) except NoResult.EXC:
        self.loop.check_closed()
        self.loop.watches.watch(self.fd, READ, self, run_acceptable)
        self.listening = True
        return NoResult.OK

    cdef NoResult stop(self) except NoResult.EXC:
        if self.listening:
            self.listening = False
            if not self.loop.closed:
                self.loop.watches.unwatch_own(self.fd, READ, self)
        return NoResult.OK

    def _listen_again(self):
        # The server may have been closed meanwhile, and the number be another file's.
        if self.sock.fileno() != self.fd:
            return
        try:
            self.start()
        except OSError as exc:
            self.loop.call_exception_handler({
                "message": "Can't watch a listening socket",
                "exception": exc,
                "socket": TransportSocket(self.sock),
            })
            self.loop.call_later(constants.ACCEPT_RETRY_DELAY, self._listen_again)

    cdef NoResult accept_batch(self) except NoResult.EXC:
        cdef sockaddr_storage address
        cdef socklen_t length
        cdef int fd, _
        cdef int accepted = 0
        # A system call that finds nobody is as dear as one that accepts. So no more than the last
        # time, unless that left some over, which the poller says in the turn after.
        if self.more and self.loop.turns == self.last_turn + 1:
            self.budget = min(2 * self.budget, self.batch)
        self.last_turn = self.loop.turns
        self.more = True
        for _ in range(self.budget):
            # Whoever is accepted may close the server.
            if not self.listening or self.sock.fileno() != self.fd:
                break
            length = sizeof(address)
            fd = cloop_accept(self.fd, <sockaddr *>&address, &length)
            if fd >= 0:
                accepted += 1
                self.admit(fd, <sockaddr *>&address, length)
            elif errno == EAGAIN:
                self.budget = max(1, accepted)
                self.more = False
                break
            elif errno != EINTR and errno != ECONNABORTED:
                self.refused()
                break
        return NoResult.OK

    cdef NoResult refused(self) except NoResult.EXC:
        """accept() failed: try again later, when the system may have again what it has run out of."""
        cdef bint exhausted = errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM)
        cdef object error = error_from_errno()
        # The descriptor stays readable, so watching on would spin.
        self.stop()
        self.loop.call_later(constants.ACCEPT_RETRY_DELAY, self._listen_again)
        if not exhausted:
            raise error
        self.loop.call_exception_handler({
            "message": "socket.accept() out of system resource",
            "exception": error,
            "socket": TransportSocket(self.sock),
        })
        return NoResult.OK

    cdef NoResult admit(self, int fd, const sockaddr *address,
                        socklen_t length) except NoResult.EXC:
        """Make the connection's socket, and what belongs to it in a context of its own."""
        cdef object sock, context
        try:
            sock = make_socket(self.family, self.type | NONBLOCK, self.proto, fd)
        except BaseException:
            close(fd)
            raise
        if not NONBLOCK:
            sock.setblocking(False)
        cdef object peername = address_of(address, length)
        if peername is NotImplemented:
            peername = sock.getpeername()
        if self.loop.debug:
            logger.debug("%r got a new connection from %r: %r", self.server, peername, sock)
        context = PyContext_Copy(self.context)
        PyContext_Enter(context)
        try:
            if self.accept is not None:
                self.accept(sock, peername, context, self.no_delay)
            else:
                self.connect(sock, peername, context)
        finally:
            PyContext_Exit(context)
        return NoResult.OK

    cdef NoResult connect(self, object sock, object peername, object context) except NoResult.EXC:
        cdef object protocol = None
        try:
            protocol = self.protocol_factory()
            StreamTransport.__new__(StreamTransport, self.loop, sock, protocol, None,
                                    {"peername": peername}, self.server, context, self.no_delay)
        except BaseException as exc:
            sock.close()
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            report_not_made(self.loop, exc, protocol, None)
        return NoResult.OK


cdef NoResult report_not_made(Reactor loop, object exception, object protocol,
                              object transport) except NoResult.EXC:
    context = {
        "message": "Error on transport creation for incoming connection",
        "exception": exception,
    }
    if protocol is not None:
        context["protocol"] = protocol
    if transport is not None:
        context["transport"] = transport
    loop.call_exception_handler(context)
    return NoResult.OK


def start_listening(Reactor loop not None, sock, protocol_factory, *, server=None, backlog=100,
                    accept=None, context=None):
    """Accept connections of `sock`, which listens and does not block.

    Each becomes a StreamTransport with a protocol of `protocol_factory`, or goes to `accept`.
    """
    cdef Listener listener = Listener(loop, sock, protocol_factory, server, backlog, accept,
                                      context)
    listener.start()


def stop_listening(Reactor loop not None, sock):
    """Accept no more connections of `sock`."""
    owner = loop.watches.owner_of(sock.fileno(), READ)
    if isinstance(owner, Listener):
        (<Listener>owner).stop()


cdef NoResult run_acceptable(object owner) except NoResult.EXC:
    cdef Listener self = <Listener>owner
    try:
        self.accept_batch()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        self.loop.call_exception_handler({
            "message": f"Exception in callback {self!r}",
            "exception": exc,
        })
    return NoResult.OK
