"""What the loop's sock_ methods do: try a system call at once, and wait for the descriptor if it would block.

Each function here returns the result, or an `Operation`: a future that is in the fd table as itself
and tries again whenever the descriptor fires. Its watch is for one event, so a wait costs one system
call beside those that move the data, and is gone as soon as the operation is done or cancelled: the
caller may close the socket at once.

A plain socket.socket is received from and sent to by recv(2) and send(2) on its own number, through
the loop's buffer; anything else, and whatever these don't handle, by the object's methods, which
also say what is wrong with an argument.

Derived in its rules and messages from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

import _socket
import socket
from asyncio import base_events

cimport cython
cimport libc.errno as c_errno
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_SetFromErrno
from cpython.long cimport PyLong_AsSsize_t, PyLong_CheckExact
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t
from posix.unistd cimport close

from cloop._c.pyapi cimport NoResult, Py_TYPE
from cloop._c.socket cimport (
    AF_INET, AF_INET6, AF_UNIX,
    MSG_DONTWAIT, MSG_NOSIGNAL,
    cloop_accept,
    cloop_socket_number,
    recv as receive,
    send,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from cloop.aio.future cimport PENDING, Future
from cloop.api.receiver cimport Receiver, receiver_of
from cloop.core.handle cimport caller_stack
from cloop.core.reactor cimport Reactor
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.addr cimport address_of
from cloop.transports.sockets cimport make_socket
from cloop.transports.readiness cimport drop_errors, has_ended, in_a_moment, would_block

cdef extern from *:
    # Its error is cleared: the socket's own method tells what is wrong with the argument.
    int get_buffer "PyObject_GetBuffer"(object exporter, Py_buffer *view, int flags)

cdef object refuse_ssl = base_events._check_ssl_socket
# The two classes whose objects have no methods but C's own.
cdef object plain_class = _socket.socket
cdef object usual_class = socket.socket
cdef bint knows_usual = (issubclass(usual_class, plain_class)
                         and usual_class.recv is plain_class.recv
                         and usual_class.send is plain_class.send)
cdef object get_timeout = plain_class.gettimeout
# Past the properties of socket.socket, which make an enum member on each call.
cdef object plain_family = plain_class.family.__get__
cdef object plain_type = plain_class.type.__get__
cdef object plain_proto = plain_class.proto.__get__
# Those whose addresses are made without asking a socket.
cdef frozenset NAMED_FAMILIES = frozenset({AF_INET, AF_INET6, AF_UNIX})
# Tells the socket object that the descriptor does not block, without a system call.
cdef int NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)


# Stands for the result of a call that would have blocked.
cdef object BLOCKED = object()

# Tries again: True when it is done, with the result in `self.value`; raises what the call raises.
ctypedef bint (*attempt_t)(Operation self) except -1


@cython.final
cdef class Operation(Future):
    """A call on a socket that would have blocked, as a future of its result."""

    cdef:
        Reactor engine
        object sock
        attempt_t attempt
        object name         # the method to call
        tuple args
        object buffer       # to receive into, or a memoryview of what is to be sent
        object address      # that the socket is being connected to
        Py_ssize_t size     # bytes to receive at most; bytes that were sent
        object value
        int fd              # the socket's number when the wait began
        uint32_t direction
        bint waiting        # it is in the fd table, unless somebody replaced it there

    def __cinit__(self):
        self.own_class = True

    cdef NoResult schedule(self) except NoResult.EXC:
        """Done: leave the fd table at once, not in a later turn."""
        self.stop_waiting()
        self.sock = self.args = self.buffer = self.address = self.value = None
        return Future.schedule(self)

    cdef NoResult abandon(self) except NoResult.EXC:
        self.cancel_future(None)
        return NoResult.OK

    cdef NoResult stop_waiting(self) except NoResult.EXC:
        if not self.waiting:
            return NoResult.OK
        self.waiting = False
        if not self.engine.closed:
            self.engine.watches.unwatch_own(self.fd, self.direction, self)
        return NoResult.OK

    cdef bint has_watch(self):
        """Whether it is the one that the table has: a later one takes the place of an earlier."""
        return self.engine.watches.holds(self.fd, self.direction, self)

(<PyTypeObject *>Operation).tp_name = "cloop.api.sockio.Future"  # as asyncio's is called in reprs

cdef Operation new_operation(Reactor loop, object sock, attempt_t attempt):
    cdef Operation self = Operation.__new__(Operation)
    self.loop = self.engine = loop
    self.native = not loop.own_call_soon
    if loop.debug:
        self.source_traceback = caller_stack()
    self.sock = sock
    self.attempt = attempt
    return self


cdef Operation begin(Operation self, uint32_t direction, bint lent=False):
    """Wait for the socket. Raises OSError, or RuntimeError where a transport has the socket."""
    cdef Reactor loop = self.engine
    self.fd = cloop_socket_number(self.sock) if is_plain(self.sock) else self.sock.fileno()
    self.direction = direction
    if not lent and loop.watches.claimant(self.fd) is not None:
        loop.check_not_a_transport(self.fd)
    loop.check_closed()
    loop.watches.watch_once(self.fd, direction, self, run_operation)
    self.waiting = True
    return self


cdef NoResult run_operation(object owner) except NoResult.EXC:
    """The descriptor has fired: try again."""
    cdef Operation self = <Operation>owner
    cdef Py_ssize_t size = self.size
    cdef bint done = False
    if self.state != PENDING or not self.has_watch():
        return NoResult.OK
    try:
        done = self.attempt(self)
        if not done and self.state == PENDING and self.has_watch():
            if self.size != size or drop_errors(self.fd) or self.direction == READ and not has_ended(self.fd):
                self.engine.watches.rearm(self.fd)
            else:
                # Ready, but nothing could be done.
                self.stop_waiting()
                in_a_moment(self.engine, self, wait_again)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        done = False
        if self.state == PENDING:
            self.fail(exc)
    if done and self.state == PENDING:
        self.finish(self.value)
    return NoResult.OK


cdef NoResult wait_again(object owner) except NoResult.EXC:
    """The moment is over."""
    cdef Operation self = <Operation>owner
    if self.state != PENDING:
        return NoResult.OK
    if self.engine.watches.owner_of(self.fd, self.direction) is not None:
        # One that came later has its place.
        return self.abandon()
    try:
        begin(self, self.direction)
    except (OSError, RuntimeError, ValueError) as exc:
        # Somebody has closed the socket meanwhile, or a transport has it.
        self.fail(exc)
    return NoResult.OK


# ---- What all have in common

cdef inline bint is_plain(object sock):
    """Whether its methods are the ones of the socket module."""
    cdef object cls = <object><PyObject *>Py_TYPE(<PyObject *>sock)
    return (cls is usual_class and knows_usual) or cls is plain_class


cdef NoResult check(Reactor loop, object sock, bint plain) except NoResult.EXC:
    """Refuse what these methods can't serve."""
    if not plain:
        refuse_ssl(sock)
    if loop.debug and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    return NoResult.OK


def refuse(Reactor loop not None, sock):
    """TypeError or ValueError for a socket that the loop's methods can't serve."""
    check(loop, sock, False)


cdef inline bint may_block(object sock) except -1:
    """A socket with a time-out, or that blocks: its own methods wait, as they do in asyncio."""
    return get_timeout(sock) != 0


cdef object call(object sock, object name, tuple args):
    """Call a method of the socket: what it returns, or BLOCKED."""
    cdef object value = BLOCKED
    try:
        value = getattr(sock, name)(*args)
    except (BlockingIOError, InterruptedError):
        pass
    return value


cdef bint attempt_call(Operation self) except -1:
    self.value = call(self.sock, self.name, self.args)
    return self.value is not BLOCKED


cdef object call_or_wait(Reactor loop, object sock, uint32_t direction, object name, tuple args):
    """The method's result, or an operation that calls it until it does not block."""
    cdef Operation operation
    cdef object value = call(sock, name, args)
    if value is not BLOCKED:
        return value
    operation = new_operation(loop, sock, attempt_call)
    operation.name = name
    operation.args = args
    return begin(operation, direction)


# ---- Receiving

cdef bint attempt_receive(Operation self) except -1:
    self.value = receiver_of(self.engine).receive(self.sock, self.size)
    return self.value is not None


def recv(Reactor loop not None, sock, size):
    """Bytes, `size` at most, or an Operation."""
    cdef Py_ssize_t n
    cdef Operation operation
    cdef Receiver receiver
    cdef bint plain = is_plain(sock)
    check(loop, sock, plain)
    if plain and PyLong_CheckExact(size):
        n = PyLong_AsSsize_t(size)
        receiver = receiver_of(loop)
        if 0 < n <= <Py_ssize_t>receiver.scratch.size:
            value = receiver.receive(sock, n)
            if value is not None:
                return value
            if not may_block(sock):
                operation = new_operation(loop, sock, attempt_receive)
                operation.size = n
                return begin(operation, READ)
    return call_or_wait(loop, sock, READ, "recv", (size,))


cdef enum Outcome:
    WOULD_BLOCK = -1
    UNFIT = -3      # the argument: the socket's method is to say so, or to make something of it


cdef Py_ssize_t receive_into_now(object sock, object buffer) except -2:
    """How many bytes came, or an Outcome."""
    cdef Py_buffer view
    cdef ssize_t n
    cdef int code
    if get_buffer(buffer, &view, PyBUF_WRITABLE) < 0:
        PyErr_Clear()
        return UNFIT
    if view.len == 0:
        PyBuffer_Release(&view)
        return 0
    n = receive(cloop_socket_number(sock), view.buf, view.len, MSG_DONTWAIT)
    code = c_errno.errno
    PyBuffer_Release(&view)
    if n >= 0:
        return n
    # To release a buffer may run code in Python.
    c_errno.errno = code
    if would_block():
        return WOULD_BLOCK
    PyErr_SetFromErrno(OSError)


cdef bint attempt_receive_into(Operation self) except -1:
    cdef Py_ssize_t n = receive_into_now(self.sock, self.buffer)
    if n == UNFIT:
        # The buffer is not what it was when the wait began.
        self.value = call(self.sock, "recv_into", (self.buffer,))
        return self.value is not BLOCKED
    self.value = n
    return n >= 0


def recv_into(Reactor loop not None, sock, buf):
    """How many bytes came into `buf`, or an Operation."""
    cdef Py_ssize_t n
    cdef Operation operation
    cdef bint plain = is_plain(sock)
    check(loop, sock, plain)
    if plain:
        n = receive_into_now(sock, buf)
        if n >= 0:
            return n
        if n == WOULD_BLOCK and not may_block(sock):
            operation = new_operation(loop, sock, attempt_receive_into)
            operation.buffer = buf
            return begin(operation, READ)
    return call_or_wait(loop, sock, READ, "recv_into", (buf,))


def recvfrom(Reactor loop not None, sock, bufsize):
    """(bytes, address), or an Operation."""
    check(loop, sock, False)
    return call_or_wait(loop, sock, READ, "recvfrom", (bufsize,))


def recvfrom_into(Reactor loop not None, sock, buf, nbytes):
    """(number of bytes, address), or an Operation."""
    check(loop, sock, False)
    if not nbytes:
        nbytes = len(buf)
    return call_or_wait(loop, sock, READ, "recvfrom_into", (buf, nbytes))


# ---- Sending

cdef Py_ssize_t send_now(object sock, const void *start, Py_ssize_t size) except -1:
    """How many bytes the kernel took; 0 if it would block."""
    cdef ssize_t n = send(cloop_socket_number(sock), start, size, MSG_DONTWAIT | MSG_NOSIGNAL)
    if n >= 0:
        return n
    if would_block():
        return 0
    PyErr_SetFromErrno(OSError)


cdef Py_ssize_t send_object(object sock, object data, Py_ssize_t *size) except -1:
    """The same of a bytes-like object, with its size in bytes, or UNFIT."""
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        size[0] = PyBytes_GET_SIZE(data)
        return send_now(sock, PyBytes_AS_STRING(data), size[0])
    if get_buffer(data, &view, PyBUF_SIMPLE) < 0:
        PyErr_Clear()
        size[0] = UNFIT
        return 0
    size[0] = view.len
    try:
        return send_now(sock, view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef bint attempt_send(Operation self) except -1:
    cdef Py_buffer *view = PyMemoryView_GET_BUFFER(self.buffer)
    self.size += send_now(self.sock, <const char *>view.buf + self.size, view.len - self.size)
    return self.size == view.len


cdef bint attempt_send_call(Operation self) except -1:
    cdef object n = call(self.sock, "send", (self.buffer[self.size:],))
    if n is BLOCKED:
        return False
    self.size += n
    return self.size == len(self.buffer)


def sendall(Reactor loop not None, sock, data):
    """None when all is sent, or an Operation."""
    cdef Py_ssize_t sent = 0
    cdef Py_ssize_t size = UNFIT
    cdef Operation operation
    cdef bint plain = is_plain(sock)
    check(loop, sock, plain)
    if plain:
        sent = send_object(sock, data, &size)
        if sent == size:
            return None
        plain = size != UNFIT and not may_block(sock)
    if not plain and sent == 0:
        n = call(sock, "send", (data,))
        if n is not BLOCKED:
            sent = n
        if sent == len(data):
            return None
    operation = new_operation(loop, sock, attempt_send if plain else attempt_send_call)
    view = memoryview(data)
    operation.buffer = view if view.itemsize == 1 and view.ndim == 1 else view.cast("B")
    operation.size = sent
    if sent == len(operation.buffer) or (not plain and sent and attempt_send_call(operation)):
        return None
    return begin(operation, WRITE)


def sendto(Reactor loop not None, sock, data, address):
    """How many bytes were sent, or an Operation."""
    check(loop, sock, False)
    return call_or_wait(loop, sock, WRITE, "sendto", (data, address))


# ---- Connections

cdef object accept_now(object sock):
    """(socket, address) of the next connection, or BLOCKED."""
    cdef sockaddr_storage storage
    cdef socklen_t length = sizeof(storage)
    cdef int listener = cloop_socket_number(sock)
    cdef int fd
    # Somebody else who has the file may have made it block; then only this thread waits.
    with nogil:
        fd = cloop_accept(listener, <sockaddr *>&storage, &length)
    if fd < 0:
        if would_block():
            return BLOCKED
        PyErr_SetFromErrno(OSError)
    try:
        connection = make_socket(plain_family(sock), plain_type(sock) | NONBLOCK, plain_proto(sock), fd)
    except BaseException:
        close(fd)
        raise
    try:
        if not NONBLOCK:
            connection.setblocking(False)
        address = address_of(<sockaddr *>&storage, length)
        if address is NotImplemented:
            address = connection.getpeername()
    except BaseException:
        connection.close()
        raise
    return connection, address


cdef object accept_call(object sock):
    """The same by the socket's methods."""
    cdef object value = BLOCKED
    try:
        connection, address = sock.accept()
        connection.setblocking(False)
        value = connection, address
    except (BlockingIOError, InterruptedError):
        pass
    return value


cdef bint attempt_accept(Operation self) except -1:
    self.value = accept_now(self.sock)
    return self.value is not BLOCKED


cdef bint attempt_accept_call(Operation self) except -1:
    self.value = accept_call(self.sock)
    return self.value is not BLOCKED


def accept(Reactor loop not None, sock):
    """(socket, address) of a connection, the socket non-blocking; or an Operation."""
    cdef bint plain = is_plain(sock)
    check(loop, sock, plain)
    plain = (plain and type(sock) is usual_class and get_timeout(sock) == 0
             and plain_family(sock) in NAMED_FAMILIES)
    value = accept_now(sock) if plain else accept_call(sock)
    if value is not BLOCKED:
        return value
    return begin(new_operation(loop, sock, attempt_accept if plain else attempt_accept_call), READ)


cdef bint attempt_connect(Operation self) except -1:
    cdef int code = -1
    try:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, f"Connect call failed {self.address}")
    except (BlockingIOError, InterruptedError):
        pass
    return code == 0


def connect(Reactor loop not None, sock, address):
    """None when the socket is connected, or an Operation. BlockingIOError where it can't be begun now."""
    cdef Operation operation
    try:
        sock.connect(address)
    except BlockingIOError as exc:
        if exc.errno == c_errno.EAGAIN:
            # It has not begun: the queue of a Unix server is full, or there is no port left.
            raise
    except InterruptedError:
        # Interrupted by a signal, it goes on in the background too.
        pass
    else:
        return None
    operation = new_operation(loop, sock, attempt_connect)
    operation.address = address
    return begin(operation, WRITE)


# ---- Waiting alone

cdef bint attempt_nothing(Operation self) except -1:
    return True


def writable(Reactor loop not None, sock, lent):
    """An Operation that is done once the socket can be written; `lent` by a transport that has it."""
    return begin(new_operation(loop, sock, attempt_nothing), WRITE, lent)
