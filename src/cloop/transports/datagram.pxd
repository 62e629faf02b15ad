"""DatagramTransport: a datagram socket, connected or not: UDP, unix, and whatever else has datagrams.

Reading: a recvfrom for an event while datagrams come one by one; where several wait for each event,
a recvmmsg takes them together, at most one batch in a turn, so a flood leaves the others their
turns. What the protocol can't be told any more, because it paused reading or raised an exception, is
kept for a later turn.

Writing: sent at once while nothing is queued. What the kernel does not take is queued, with its
address; from then on the descriptor is watched, and each event sends what the kernel takes.

Nothing waits for the end of the turn, as it does on streams (transports/sender), though one sendmmsg for
16 datagrams takes a fifth to a third less time than 16 calls of sendto. A stream's error ends it, whenever
it is told. A datagram's error goes to error_received() from inside sendto(), with what that raises to
the caller, who may then send another one; later there would be no such caller. So of the Sender only
the water marks serve here: a queue of datagrams has pairs, and counts and resumes by rules of its own.

Addresses of the internet's families and of unix sockets are converted here. A socket of another
family, and one with methods of its own, is used through its methods.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport iovec, mmsghdr, sockaddr_storage
from cloop.transports.addr cimport Peers
from cloop.transports.base cimport BaseTransport

# What became of a datagram: with FAILED the protocol knows.
cdef enum Sent:
    SENT
    FULL
    FAILED

cdef enum:
    # Datagrams to one system call: from eight on more together gain little.
    MANY = 16

# Memory to receive many datagrams of the internet into, one for a loop. While it is `busy`, what is
# in it is being delivered, and a callback that reads by itself has to do so elsewhere.
@cython.final
cdef class Batch:
    cdef:
        char *memory
        bint busy
        mmsghdr messages[MANY]
        iovec places[MANY]
        sockaddr_storage addresses[MANY]

        # How many came, or -1 with errno.
        int receive(self, int fd) noexcept
        bytes data(self, int i)
        object name(self, int i, Peers peers)

@cython.final
cdef class DatagramTransport(BaseTransport):
    cdef:
        Peers peers            # None where only the socket can convert addresses
        bint connected         # to a peer with a name: send() without an address
        object address         # what every datagram goes to, of create_datagram_endpoint; or None

        # So many more events are taken to bring one datagram; and how many it will be after the
        # next batch of one.
        int alone
        int lonely
        bint keeps             # the protocol keeps what it gets

        list arrived           # (data, address) pairs that wait for their turn, the next one last
        object pending         # deque of (data, address) pairs to send, as asyncio's _buffer

        # So many bytes came as a datagram, which has been taken.
        NoResult note_size(self, Py_ssize_t size) except NoResult.EXC
        NoResult read_one(self) except NoResult.EXC
        NoResult read_batch(self) except NoResult.EXC
        NoResult read_by_object(self) except NoResult.EXC
        NoResult receive_failed(self) except NoResult.EXC
        NoResult nothing_came(self) except NoResult.EXC
        NoResult deliver(self, Batch batch, int i) except NoResult.EXC
        NoResult keep_rest(self, Batch batch, int first, int end) except NoResult.EXC
        NoResult deliver_arrived(self) except NoResult.EXC

        # For a datagram that nothing is queued before. The caller of sendto() gets what is wrong with an
        # address; of one that has `waited` the protocol.
        Sent put_datagram(self, object data, object address, bint waited) except? FAILED
        Sent put_bytes(self, object data, const char *start, Py_ssize_t size,
                       object address, bint waited) except? FAILED
        Sent put_by_object(self, object data, object address, bint waited) except? FAILED
        # Whether it is for whom the socket is connected to.
        bint goes_to_peer(self, object address) except -1
        NoResult enqueue(self, bytes data, object address) except NoResult.EXC
        tuple take_first(self)
        bint send_pending(self) except -1
        int send_several(self) except -1
        NoResult drained(self) except NoResult.EXC
