"""TlsMachine: the states of a TLS connection, and what moves in them.

          application's protocol       application's Sink
                    |                          ^
                    v                          | plaintext
              TlsTransport  --plaintext-->  TlsMachine
                                             ^       |
                                  ciphertext |       v  records
                                         the transport below

To the transport below the machine is its protocol, and its sink (transports/sink) where that is a
StreamTransport; any other of asyncio's kind will do, as with TLS in TLS. To the application's transport
(transports/tls/transport) it is what the kernel is to a StreamTransport: it takes plaintext, or has it wait.

The life, as that of asyncio's SSLProtocol:

    UNWRAPPED -> HANDSHAKE -> WRAPPED -> FLUSHING -> SHUTDOWN -> UNWRAPPED

and what the application's protocol knows: INIT, MADE (connection_made), ENDED (eof_received), LOST.

Reading: what comes is decrypted to where the application's sink says; an application that reads nothing has
it wait in the engine, and above a mark in the kernel. Writing: records are made of plaintext at once and
passed on (transports/tls/records), as long as `takes_plaintext` says so; else it waits in the queue of the
TlsTransport.

No memory of the loop's is in use when code of the application's is called: every callback may write,
close, abort or change the protocol, on this connection or on another.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor
from cloop.transports.scratch cimport Scratch
from cloop.transports.sender cimport Sender
from cloop.transports.sink cimport Sink
from cloop.transports.tls.records cimport Records

cdef enum State:
    UNWRAPPED
    HANDSHAKE
    WRAPPED
    FLUSHING           # closing: what there is is read and written
    SHUTDOWN           # close_notify is on its way

cdef enum Known:
    INIT
    MADE
    ENDED
    LOST

# Who is told of the end of a handshake by a call, where a future is too dear.
cdef class HandshakeObserver:
    cdef:
        # It was successful; the protocol is told after this.
        NoResult shaken(self, TlsMachine machine) except NoResult.EXC
        # Once: after connection_made, or with the reason why there is no connection.
        NoResult handshake_over(self, TlsMachine machine, object transport, object protocol,
                                object exception) except NoResult.EXC

@cython.final
cdef class TlsMachine(Sink):
    cdef:
        Reactor loop
        Records records        # the engine, and the transport below
        bint counted           # its arguments were right, so that it is among those that live
        State state
        Known known

        # Above: both are None once the connection is lost. The protocol is the transport's.
        Sender above           # the TlsTransport
        Sink sink              # takes what is decrypted
        bint reading_paused    # by the application
        bint closed            # by the application, or nothing will come any more
        bint unwanted          # close() was called again

        # Of the transport below.
        object context         # from its connection_made to its connection_lost: all callbacks run there
        bint ended             # it has received EOF
        bint below_paused      # its reading, by us
        Py_ssize_t read_high   # ciphertext that has not been decrypted: above this mark it is paused
        Py_ssize_t read_low

        object waiter          # a future, or a HandshakeObserver; None once the handshake is over
        object sslcontext      # ssl.SSLContext
        bint server_side
        object server_hostname
        bint told              # the handshake was successful, and so this is known:
        object peercert

        object handshake_timeout   # seconds
        object shutdown_timeout
        object timer           # of the one that runs
        object began           # loop.time() of the handshake's begin, in debug mode

        # Whether records may be made of plaintext now; else it waits. On the way to the end all of it goes.
        inline bint takes_plaintext(self) noexcept:
            if self.records.at_work:
                return False
            return self.state == FLUSHING or (self.state == WRAPPED and not self.records.below_full)
        # Whether what is written now is dropped.
        inline bint is_over(self) noexcept:
            return self.state != WRAPPED and self.state != HANDSHAKE

        # Records.encrypt, of as much as may be now.
        inline Py_ssize_t encrypt(self, const char *start, Py_ssize_t size, Py_ssize_t *made) except -1:
            if not self.takes_plaintext():
                return 0
            return self.records.encrypt(start, size, made, self.state == FLUSHING)
        # Have what waits sent, as far as that can be now, and the application pause or go on.
        NoResult go_on_writing(self) except NoResult.EXC

        # `start` is ciphertext that came just now, in the shared memory as a rule.
        NoResult read(self, const char *start, Py_ssize_t size) except NoResult.EXC
        int read_all(self, const char *start, Py_ssize_t size) except -2
        int read_some(self, const char **start, Py_ssize_t *size, Py_ssize_t expected) except -2
        NoResult control_reading(self) except NoResult.EXC
        NoResult tell_end(self) except NoResult.EXC

        # ---- States
        NoResult use_sink(self, object protocol) except NoResult.EXC
        NoResult go_on(self) except NoResult.EXC
        NoResult shake_hands(self) except NoResult.EXC
        NoResult shaken(self) except NoResult.EXC
        NoResult not_shaken(self, object exception) except NoResult.EXC
        NoResult wake(self, object transport, object protocol, object exception) except NoResult.EXC
        NoResult start_timer(self, object seconds, object check) except NoResult.EXC
        NoResult stop_timer(self) except NoResult.EXC
        NoResult close(self) except NoResult.EXC
        NoResult start_shutdown(self) except NoResult.EXC
        NoResult flush(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult shut_down(self) except NoResult.EXC
        NoResult end(self, object exception) except NoResult.EXC
        NoResult forget(self) except NoResult.EXC

        NoResult force_close(self, object exception) except NoResult.EXC
        NoResult fatal_error(self, object exception, str message) except NoResult.EXC
        # The same for what comes out of a callback: also an OSError is reported, which is not the
        # connection's own.
        NoResult protocol_failed(self, object exception, str message) except NoResult.EXC
        object extra_info(self)
