"""DatagramTransport; datagram.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/selector_events.py (PSF License
Agreement).
"""

import _socket
import sys
from asyncio import selector_events
from collections import deque
from itertools import islice

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from cloop._c.pyapi cimport cloop_hide_new
from cloop._c.socket cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    CLOOP_HAS_MMSG,
    MSG_NOSIGNAL,
    cloop_recvmmsg,
    cloop_sendmmsg,
    iovec,
    mmsghdr,
    recvfrom,
    sendto,
    sockaddr,
    socklen_t,
)
from cloop.core.reactor cimport Reactor
from cloop.core.shared cimport leave_memory, use_memory
from cloop.poll.poller cimport READ, WRITE
from cloop.transports.addr cimport Peer, new_peers, read_address
from cloop.transports.base cimport run_readable
from cloop.transports.scratch cimport bytes_memory, copy_out, level_for, scratch_of, set_size
from cloop.transports.readiness cimport (
    drop_errors,
    error_from_errno,
    has_ended,
    in_a_moment,
    would_block,
)

cdef enum:
    # No packet of the internet is longer. Places are a little apart from multiples of that, or their
    # beginnings would compete for the same lines of the processor's cache.
    PLACE_SIZE = 65536
    PLACE_STEP = 65536 + 1088
    # Events without a batch after one that brought a single datagram, at most.
    MOST_ALONE = 16

# From 3.13 on an empty datagram is sent, and a header is counted with every one that is queued.
# (asyncio of 3.13.0 forgets to take it off again; 3.14 does not.)
cdef bint sends_empty = sys.version_info >= (3, 13)
cdef Py_ssize_t header_size = 8 if sends_empty else 0
# Past the property of socket.socket, which makes an enum member on each call.
cdef object plain_family = _socket.socket.family.__get__
cdef tuple own_methods = ("recvfrom", "send", "sendto")


cdef object asyncio_transport = selector_events._SelectorDatagramTransport


cdef class Batch:
    """Memory to receive many datagrams into."""

    def __cinit__(self, Reactor loop not None):
        cdef int i
        self.memory = <char *>malloc(MANY * <size_t>PLACE_STEP)
        if self.memory == NULL:
            raise MemoryError
        for i in range(MANY):
            self.places[i].iov_base = self.memory + i * <size_t>PLACE_STEP
            self.places[i].iov_len = PLACE_SIZE
            self.messages[i].msg_hdr.msg_iov = &self.places[i]
            self.messages[i].msg_hdr.msg_iovlen = 1
            self.messages[i].msg_hdr.msg_name = &self.addresses[i]

    def __dealloc__(self):
        free(self.memory)

    cdef int receive(self, int fd) noexcept:
        cdef int i
        for i in range(MANY):
            self.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        return cloop_recvmmsg(fd, self.messages, MANY)

    cdef bytes data(self, int i):
        return PyBytes_FromStringAndSize(<char *>self.places[i].iov_base, self.messages[i].msg_len)

    cdef object name(self, int i, Peers peers):
        return peers.name_of(&self.addresses[i], self.messages[i].msg_hdr.msg_namelen)


cdef Peers peers_of(object sock):
    """Of a socket whose addresses are converted here, else None."""
    for name in own_methods:
        if getattr(type(sock), name, None) is not getattr(_socket.socket, name):
            return None
    family = plain_family(sock)
    return new_peers(family) if family in (AF_INET, AF_INET6, AF_UNIX) else None


cdef class DatagramTransport(BaseTransport):
    """A transport over a datagram socket."""

    max_size = 262144

    def __cinit__(self, Reactor loop not None, sock, protocol, address=None, waiter=None,
                  extra=None):
        self.scratch = scratch_of(loop)
        self.pending = deque()
        self.alone = self.lonely = MOST_ALONE
        self.address = address or None
        self.set_up(loop, sock, protocol, waiter, extra, None, None)

    cdef NoResult name_ends(self, object extra) except NoResult.EXC:
        BaseTransport.name_ends(self, extra)
        # As asyncio. A unix socket's peer that is not bound has an empty name; but it is a peer.
        self.connected = bool(self.peername)
        if self.plain:
            self.peers = peers_of(self.sock)
        return NoResult.OK

    @property
    def __class__(self):
        return asyncio_transport

    # ---- What asyncio's has from asyncio.Transport, and no datagram transport can do

    @cython.always_allow_keywords(True)
    def write(self, data):
        """Raises NotImplementedError, as asyncio's: there is sendto()."""
        raise NotImplementedError

    @cython.always_allow_keywords(True)
    def writelines(self, list_of_data):
        """Raises NotImplementedError, as asyncio's: there is sendto()."""
        raise NotImplementedError

    def write_eof(self):
        """Raises NotImplementedError, as asyncio's."""
        raise NotImplementedError

    def can_write_eof(self):
        """Raises NotImplementedError, as asyncio's."""
        raise NotImplementedError

    # ---- Reading

    cdef NoResult on_readable(self) except NoResult.EXC:
        if self.closing:
            return NoResult.OK
        if self.arrived:
            return self.deliver_arrived()
        if self.peers is None:
            return self.read_by_object()
        # No datagram of the internet is larger than a place in a batch.
        if not CLOOP_HAS_MMSG or self.peers.family == AF_UNIX:
            return self.read_one()
        if self.alone:
            self.alone -= 1
            return self.read_one()
        return self.read_batch()

    cdef NoResult note_size(self, Py_ssize_t size) except NoResult.EXC:
        """Where it was the end and no empty datagram, the socket would be readable from now on."""
        return self.unwatch(READ) if size == 0 and has_ended(self.live_fd()) else NoResult.OK

    cdef NoResult read_one(self) except NoResult.EXC:
        cdef sockaddr_storage address
        cdef socklen_t length = sizeof(address)
        use_memory()
        cdef ssize_t size = recvfrom(self.live_fd(), self.scratch.memory, self.scratch.size, 0,
                                     <sockaddr *>&address, &length)
        if size < 0:
            leave_memory()
            return self.receive_failed()
        cdef bytes data = copy_out(self.scratch.memory, size)
        self.note_size(size)
        self.protocol.datagram_received(data, self.peers.name_of(&address, length))
        return NoResult.OK

    cdef NoResult read_batch(self) except NoResult.EXC:
        cdef Batch batch = <Batch>self.loop.one_of(Batch)
        cdef int done = 0
        cdef int n
        if batch.busy:
            # Somebody's callback calls _read_ready().
            return self.read_one()
        n = batch.receive(self.live_fd())
        if n <= 1:
            # Asking for many costs more than asking for one; more and more rarely, until it pays.
            self.lonely = min(2 * self.lonely + 1, <int>MOST_ALONE)
            self.alone = self.lonely
            if n < 0:
                return self.receive_failed()
        else:
            self.lonely = 0
        if n:
            self.note_size(batch.messages[n - 1].msg_len)
        batch.busy = True
        try:
            while done < n and not self.closing and not self.paused:
                done += 1
                self.deliver(batch, done - 1)
        finally:
            if done < n:
                self.keep_rest(batch, done, n)
            batch.busy = False
        return NoResult.OK

    cdef NoResult deliver(self, Batch batch, int i) except NoResult.EXC:
        """Tell the protocol of one, in a spare bytes object where it is known not to keep them."""
        cdef Py_ssize_t size = batch.messages[i].msg_len
        cdef int level = 0 if self.keeps else level_for(size)
        cdef PyObject *data
        name = batch.name(i, self.peers)
        if level == 0:
            self.protocol.datagram_received(batch.data(i), name)
            return NoResult.OK
        data = self.scratch.take(level)
        memcpy(bytes_memory(data), batch.places[i].iov_base, size)
        set_size(data, size)
        try:
            self.protocol.datagram_received(<object>data, name)
        finally:
            if not self.scratch.give(level, data):
                self.keeps = True
        return NoResult.OK

    cdef NoResult keep_rest(self, Batch batch, int first, int end) except NoResult.EXC:
        """The protocol paused or closed the transport or raised an exception."""
        cdef int i
        if self.closing:
            return NoResult.OK
        self.arrived = [(batch.data(i), batch.name(i, self.peers)) for i in range(end - 1, first - 1, -1)]
        return NoResult.OK if self.paused else self.later(run_readable)

    cdef NoResult deliver_arrived(self) except NoResult.EXC:
        """What a batch left over."""
        try:
            while self.arrived and not self.closing and not self.paused:
                data, address = self.arrived.pop()
                self.protocol.datagram_received(data, address)
        finally:
            if self.arrived and not self.closing and not self.paused:
                self.later(run_readable)
        return NoResult.OK

    def resume_reading(self):
        """Receive again."""
        BaseTransport.resume_reading(self)
        if self.arrived and not self.paused and not self.closing and self.made is None:
            self.later(run_readable)

    cdef NoResult read_by_object(self) except NoResult.EXC:
        cdef object datagram = None
        try:
            datagram = self.sock.recvfrom(self.max_size)
            data, address = datagram
        except (BlockingIOError, InterruptedError):
            self.nothing_came()
        except OSError as exc:
            datagram = None
            self.protocol.error_received(exc)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            datagram = None
            self.fatal_error(exc, "Fatal read error on datagram transport")
        if datagram is not None:
            self.note_size(1 if data else 0)
            self.protocol.datagram_received(data, address)
        return NoResult.OK

    cdef NoResult receive_failed(self) except NoResult.EXC:
        if would_block():
            return self.nothing_came()
        self.protocol.error_received(error_from_errno())
        return NoResult.OK

    cdef NoResult nothing_came(self) except NoResult.EXC:
        if not drop_errors(self.live_fd()) and has_ended(self.live_fd()):
            self.unwatch(READ)
            in_a_moment(self.loop, self, read_again)
        return NoResult.OK

    # ---- Writing

    def sendto(self, data, addr=None):
        """Send a datagram, to the address `addr` or to the one that the endpoint was made with.

        `data` is bytes, a bytearray or a memoryview; what can't be sent now is queued. The protocol's
        error_received() gets an OSError, and whatever is wrong with the address of one that was queued.
        Raises ValueError for an address that is not the endpoint's; TypeError, ValueError, OverflowError
        for one that is none.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data argument must be a bytes-like object, "
                            f"not {type(data).__name__!r}")
        if not sends_empty and not data:
            return
        if self.address is not None:
            if addr is not None and addr is not self.address and addr != self.address:
                raise ValueError(f"Invalid address: must be None or {self.address}")
            addr = self.address
            if self.conn_lost:
                self.count_lost_write()
                return
        if self.closed:
            # asyncio has no more socket and fails with an AttributeError.
            return
        cdef bint first = self.queued == 0
        if first and self.put_datagram(data, addr, False) != Sent.FULL:
            return
        self.enqueue(bytes(data), addr)
        if first:
            self.wait_writable()
        self.maybe_pause()

    cdef Sent put_datagram(self, object data, object address, bint waited) except? FAILED:
        cdef Py_buffer view
        cdef bint viewed = False
        if isinstance(data, bytes):
            return self.put_bytes(data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), address, waited)
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            viewed = True
        except Exception as exc:
            # A view with gaps, for one, or one that was released.
            self.fatal_error(exc, "Fatal write error on datagram transport")
        if not viewed:
            return Sent.FAILED
        try:
            return self.put_bytes(data, <const char *>view.buf, view.len, address, waited)
        finally:
            PyBuffer_Release(&view)

    cdef Sent put_bytes(self, object data, const char *start, Py_ssize_t size,
                        object address, bint waited) except? FAILED:
        cdef const Peer *peer
        cdef ssize_t sent
        if self.peers is None:
            return self.put_by_object(data, address, waited)
        if self.goes_to_peer(address):
            sent = sendto(self.live_fd(), start, size, MSG_NOSIGNAL, NULL, 0)
        else:
            peer = self.peers.find(address)
            if peer == NULL:
                return self.put_by_object(data, address, waited)
            sent = sendto(self.live_fd(), start, size, MSG_NOSIGNAL,
                          <const sockaddr *>&peer.address, peer.length)
        if sent >= 0:
            return Sent.SENT
        if would_block():
            return Sent.FULL
        self.protocol.error_received(error_from_errno())
        return Sent.FAILED

    cdef Sent put_by_object(self, object data, object address, bint waited) except? FAILED:
        cdef Sent result = Sent.SENT
        try:
            if self.goes_to_peer(address):
                self.sock.send(data)
            else:
                self.sock.sendto(data, address)
        except (BlockingIOError, InterruptedError):
            result = Sent.FULL
        except OSError as exc:
            result = Sent.FAILED
            self.protocol.error_received(exc)
        except Exception as exc:
            # An address that is none: no end of the endpoint, for a peer may have chosen it.
            if not waited:
                raise
            result = Sent.FAILED
            self.protocol.error_received(exc)
        return result

    cdef inline bint goes_to_peer(self, object address) except -1:
        return self.connected or (self.peername is not None and (address is None or address == ""))

    cdef NoResult enqueue(self, bytes data, object address) except NoResult.EXC:
        self.pending.append((data, address))
        self.queued += PyBytes_GET_SIZE(data) + header_size
        return NoResult.OK

    cdef bint send_pending(self) except -1:
        """Give the kernel what it takes: False where it refused one."""
        cdef object first
        cdef Sent result
        cdef int n
        while self.pending:
            n = self.send_several()
            for _ in range(n):
                self.take_first()
            if n:
                continue
            first = self.take_first()
            result = self.put_datagram(first[0], first[1], True)
            if result == Sent.FULL:
                self.pending.appendleft(first)
                self.queued += len(first[0]) + header_size
                break
            if result == Sent.FAILED:
                return False
        return True

    cdef tuple take_first(self):
        cdef tuple first = self.pending.popleft()
        # Anybody may have put something there, under the name of `_buffer`.
        data, _ = first
        self.queued -= len(data) + header_size
        return first

    cdef int send_several(self) except -1:
        """Several by one system call: how many, 0 where that can't be done or nothing was sent.

        Not on a connected socket: of an error that the network has reported meanwhile, sendmmsg()
        says nothing once it has sent something, and it would be lost.
        """
        cdef mmsghdr messages[MANY]
        cdef iovec places[MANY]
        cdef sockaddr_storage addresses[MANY]
        cdef socklen_t length
        cdef bytes data
        cdef int n = 0
        if not CLOOP_HAS_MMSG or self.peers is None or self.connected or len(self.pending) < 2:
            return 0
        # A copy: it keeps the bytes, whatever a collection of garbage may run meanwhile.
        cdef list chosen = list(islice(self.pending, MANY))
        for data, address in chosen:
            length = read_address(self.peers.family, address, &addresses[n])
            if length == 0:
                break
            places[n].iov_base = PyBytes_AS_STRING(data)
            places[n].iov_len = PyBytes_GET_SIZE(data)
            memset(&messages[n], 0, sizeof(mmsghdr))
            messages[n].msg_hdr.msg_name = &addresses[n]
            messages[n].msg_hdr.msg_namelen = length
            messages[n].msg_hdr.msg_iov = &places[n]
            messages[n].msg_hdr.msg_iovlen = 1
            n += 1
        return max(cloop_sendmmsg(self.live_fd(), messages, n), 0) if n > 1 else 0

    cdef NoResult on_writable(self) except NoResult.EXC:
        if self.conn_lost or not self.send_pending():
            return NoResult.OK
        # May send, close or abort.
        self.maybe_resume()
        if not self.pending:
            return self.drained()
        return NoResult.OK

    cdef NoResult drained(self) except NoResult.EXC:
        """Everything is sent."""
        self.unwatch(WRITE)
        if self.closing and not self.conn_lost:
            self.conn_lost += 1
            return self.lose()
        return NoResult.OK

    cdef NoResult drop_queue(self) except NoResult.EXC:
        self.pending.clear()
        self.queued = 0
        return NoResult.OK

    cdef NoResult release(self) except NoResult.EXC:
        self.arrived = None
        self.drop_queue()
        return BaseTransport.release(self)

    # ---- asyncio's private names

    def _sendto_ready(self):
        self.on_writable()

    @property
    def _address(self):
        return self.address

    @property
    def _buffer(self):
        return self.pending


cdef NoResult read_again(object owner) except NoResult.EXC:
    cdef DatagramTransport self = <DatagramTransport>owner
    return NoResult.OK if self.closing or self.paused else self.watch(READ)


cloop_hide_new(<PyTypeObject *>DatagramTransport)
