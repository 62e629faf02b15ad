"""TlsAcceptor; accept.pxd is the manual.

Derived in its rules and messages from CPython's asyncio/selector_events.py (PSF License Agreement).
"""

from asyncio import CancelledError

from cloop.core.reactor cimport Reactor
from cloop.transports.clients cimport attach
from cloop.transports.listener cimport report_not_made
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls.machine cimport INIT, TlsMachine
from cloop.transports.tls.transport cimport TlsTransport


cdef class TlsAcceptor(HandshakeObserver):
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
        self.under_way = set()

    def __call__(self, sock, peername, context, bint no_delay):
        """Begin the handshake; `sock` is the transport's from now on, or closed."""
        cdef TlsTransport transport = None
        cdef object protocol = None
        try:
            protocol = self.protocol_factory()
            transport = TlsTransport.__new__(
                TlsTransport, self.loop, protocol, self.sslcontext, self, True, None, True,
                self.handshake_timeout, self.shutdown_timeout)
            self.under_way.add(transport.machine)
            StreamTransport.__new__(StreamTransport, self.loop, sock, transport.machine, None,
                                    {"peername": peername}, None, context, no_delay)
        except BaseException as exc:
            sock.close()
            if transport is not None:
                self.under_way.discard(transport.machine)
                transport.machine._disown()
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                raise
            report_not_made(self.loop, exc, protocol, None)
        else:
            if self.listening.fileno() < 0:
                # The factory has closed the server.
                self.end_handshakes()

    cdef NoResult shaken(self, TlsMachine machine) except NoResult.EXC:
        cdef StreamTransport stream = machine.records.stream
        if self.server is not None and stream is not None:
            attach(self.server, &stream.node, stream)
            stream.server = self.server
        return NoResult.OK

    cdef NoResult handshake_over(self, TlsMachine machine, object transport, object protocol,
                                 object exception) except NoResult.EXC:
        """There is a connection, or none; debug mode shows why."""
        if machine not in self.under_way:
            return NoResult.OK
        self.under_way.discard(machine)
        if exception is None:
            return NoResult.OK
        machine.close()
        if self.loop.debug:
            report_not_made(self.loop, exception, protocol, transport)
        return NoResult.OK

    def end_handshakes(self):
        """End those that are under way; a protocol that is just being told of its connection has one."""
        cdef TlsMachine machine
        for machine in list(self.under_way):
            if machine.known == INIT:
                self.handshake_over(machine, machine.above, machine._app_protocol, CancelledError())
