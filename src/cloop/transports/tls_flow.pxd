"""TlsFlow: water marks and pauses of a TLS connection, in both directions.

Reading, what counts is the ciphertext that came and has not been decrypted: above the mark the
transport below is paused. Writing, it is what was written and has not been passed on to that: plaintext
that the engine does not take yet, and ciphertext while the transport below is full.
"""

from cloop._c.pyapi cimport NoResult
from cloop.core.reactor cimport Reactor
from cloop.transports.sink cimport Sink
from cloop.transports.tls_engine cimport TlsEngine

# A time-out in seconds, or the default for None. Raises ValueError where it is not positive.
cdef object checked_timeout(object seconds, str name, object default)

cdef class TlsFlow(Sink):
    cdef:
        size_t most            # what it wants to be given at once; no more than MOST
        Reactor loop
        object protocol        # the application's; None once the connection is lost
        object transport       # the one below, from its connection_made to its connection_lost
        # The connection's, in which its callbacks run: that of the transport below, from its
        # connection_made to its connection_lost.
        object context
        TlsEngine engine
        # What is written goes through the engine and the loop's memory to a transport of ours.
        bint straight
        # The kernel makes the records: plaintext goes to the socket, past the engine.
        bint kernel
        bint held              # nothing goes there for now, though it may not be full

        list backlog           # plaintext (bytes) that the engine does not take yet; None: empty
        Py_ssize_t backlog_size
        Py_ssize_t backlog_offset  # what is gone of the first piece
        bint below_full        # the transport below has called pause_writing
        bint below_paused      # its reading, by us
        bint reading_paused    # by the application
        bint writing_paused    # the application was told so
        Py_ssize_t read_high
        Py_ssize_t read_low
        Py_ssize_t write_high
        Py_ssize_t write_low

        Py_ssize_t unsent(self) except -1
        NoResult control_writing(self) except NoResult.EXC
        NoResult tell_writing(self, str method) except NoResult.EXC
        NoResult control_reading(self) except NoResult.EXC

        # Pass what the engine has made on to the transport below.
        NoResult send_out(self) except NoResult.EXC
        # Go on with an end that has waited for what was written.
        NoResult end_after_backlog(self) except NoResult.EXC
