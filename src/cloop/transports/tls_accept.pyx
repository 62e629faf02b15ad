"""TlsAcceptor; tls_accept.pxd is the manual.

Derived in its rules and messages from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

from asyncio import CancelledError

from cloop.core.reactor cimport Reactor
from cloop.core.ring cimport link_node, members_of, unlink_node
from cloop.transports.listener cimport report_not_made
from cloop.transports.scratch cimport Scratch, scratch_of
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls cimport TlsTransport
from cloop.transports.tls_base cimport INIT


cdef class TlsAcceptor:
    """Makes a TLS transport of each connection that a listener has accepted."""

    def __cinit__(self, Reactor loop not None, protocol_factory, sslcontext, server,
                  listening, ssl_handshake_timeout, ssl_shutdown_timeout):
        self.loop = loop
        self.protocol_factory = protocol_factory
        self.sslcontext = sslcontext
        self.server = server
        self.listening = listening
        self.handshake_timeout = ssl_handshake_timeout
        self.shutdown_timeout = ssl_shutdown_timeout

    def __call__(self, sock, peername, context, bint no_delay):
        """Begin the handshake; `sock` is the transport's from now on, or closed."""
        cdef Admission admission = Admission.__new__(Admission)
        cdef TlsTransport transport = None
        cdef object protocol = None
        admission.acceptor = self
        try:
            protocol = self.protocol_factory()
            admission.protocol = protocol
            transport = TlsTransport.__new__(
                TlsTransport, self.loop, protocol, self.sslcontext, admission, True, None, True,
                self.handshake_timeout, self.shutdown_timeout)
            StreamTransport.__new__(StreamTransport, self.loop, sock, transport, None,
                                    {"peername": peername}, None, context, no_delay)
        except BaseException as exc:
            sock.close()
            if transport is not None:
                transport._disown()
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            report_not_made(self.loop, exc, protocol, None)
        else:
            transport.server = self.server
            admission.transport = transport
            link_node(&scratch_of(self.loop).admissions, &admission.node, admission)
            if self.listening.fileno() < 0:
                # The factory has closed the server.
                admission.set_exception(CancelledError())


cdef class Admission:
    """What a transport tells of the end of its handshake, as it would a future."""

    def __dealloc__(self):
        unlink_node(&self.node)

    cdef bint is_client(self) noexcept:
        """Whether the protocol is just being told of the connection."""
        return self.transport is not None and (<TlsTransport>self.transport).known != INIT

    def cancelled(self):
        """Whether nobody wants to know any more: never."""
        return False

    def set_result(self, result):
        """The protocol goes on from here."""
        unlink_node(&self.node)
        self.protocol = self.transport = None

    def set_exception(self, exception):
        """There is no connection; debug mode shows why."""
        cdef object protocol = self.protocol
        cdef object transport = self.transport
        self.set_result(None)
        if transport is None:
            return
        transport.close()
        if self.acceptor.loop.debug:
            report_not_made(self.acceptor.loop, exception, protocol, transport)


def end_admissions(Reactor loop not None, listening=None):
    """End the handshakes of accepted connections that are under way, or of those of one listening socket."""
    cdef Admission admission
    if Scratch not in loop.kept:
        return
    for admission in members_of(&scratch_of(loop).admissions):
        if listening is None or (admission.acceptor.listening is listening and not admission.is_client()):
            admission.set_exception(CancelledError())
