"""TlsBase: what becomes of a TLS connection. TlsTransport (tls.pxd) moves the bytes.

The life, as that of asyncio's SSLProtocol:

    UNWRAPPED -> HANDSHAKE -> WRAPPED -> FLUSHING -> SHUTDOWN -> UNWRAPPED

and what the application's protocol knows: INIT, MADE (connection_made), ENDED (eof_received), LOST.
"""

from cloop._c.pyapi cimport NoResult
from cloop.transports.intake cimport Intake
from cloop.transports.scratch cimport Scratch
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls_flow cimport TlsFlow

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

cdef class TlsBase(TlsFlow):
    cdef:
        bint buffered          # a BufferedProtocol
        StreamTransport stream  # the transport below, where it is ours
        Scratch scratch
        State state
        Known known
        bint closed            # for the application
        bint unwanted          # close() was called again
        bint ended             # the transport below has received EOF
        int conn_lost          # counts writes after the end
        object waiter          # a future for the end of the handshake

        object sslcontext      # ssl.SSLContext
        bint server_side
        object server_hostname
        bint told              # the handshake is over, and so this is known:
        object peercert

        object handshake_timeout   # seconds
        object shutdown_timeout
        object timer           # of the one that runs
        bint offered           # the kernel may encrypt when the handshake is over
        bint blamed            # the exception on its way came out of the protocol
        object server          # to be told of the connection once its protocol is; None on clients
        object file_waiter     # a future for the moment when a file may be sent
        bint file_goes         # it is being sent
        object began           # loop.time() of the handshake's begin, in debug mode

        bint keeps             # the protocol keeps what it gets
        Intake intake          # of its reader, if it is one of asyncio's streams

        dict __dict__
        object __weakref__

        NoResult use_protocol(self, object protocol) except NoResult.EXC
        NoResult wake(self, object exception) except NoResult.EXC

        NoResult forget(self) except NoResult.EXC
        NoResult go_on(self) except NoResult.EXC
        NoResult shake_hands(self) except NoResult.EXC
        NoResult shaken(self) except NoResult.EXC
        bint is_idle(self) except -1
        NoResult use_kernel(self) except NoResult.EXC
        NoResult not_shaken(self, object exception) except NoResult.EXC
        NoResult start_timer(self, object seconds, object check) except NoResult.EXC
        NoResult stop_timer(self) except NoResult.EXC

        NoResult start_shutdown(self) except NoResult.EXC
        NoResult flush(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult shut_down(self) except NoResult.EXC
        NoResult end(self, object exception) except NoResult.EXC

        # `start` is ciphertext that came just now, in the shared memory.
        NoResult read(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult read_on(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult tell_end(self) except NoResult.EXC

        NoResult write_backlog(self) except NoResult.EXC
        bint waits(self) except -1
        bint is_over(self) except -1
        NoResult count_lost_write(self) except NoResult.EXC

        NoResult force_close(self, object exception) except NoResult.EXC
        NoResult fatal_error(self, object exception, str message) except NoResult.EXC
        NoResult protocol_failed(self, object exception, str message) except NoResult.EXC
        # The connection is about to be ended for an error: what OpenSSL has made of that for the peer
        # goes before, if the kernel takes it.
        NoResult send_alert(self) except NoResult.EXC
