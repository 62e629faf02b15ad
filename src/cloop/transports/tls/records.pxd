"""Records: how the bytes of a TLS connection get into its engine and out of it.

    out:  plaintext --encrypt--> engine --collect--> shared memory --pass_on--> the transport below
    in:   ciphertext --decrypt--> plaintext, in memory of the caller's

It knows nothing of the connection's states (transports/tls/machine).

What is made in one go leaves in one go: encrypt() is called for one piece after the other, and then
pass_on(). The transport below sends or queues what it gets, so nothing stays in the engine. Ciphertext is
fed by the record, so that an engine, whose memory never shrinks, has no more than a record or two.
"""

cimport cython

from cloop._c.pyapi cimport NoResult
from cloop.transports.scratch cimport Scratch
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls.engine cimport TlsEngine

# The contextvars.Context that the callbacks of a transport run in.
cpdef object context_of(object transport)

cdef enum:
    # decrypt() has filled the memory: there may be more.
    FULL = 1

@cython.final
cdef class Records:
    cdef:
        TlsEngine engine
        Scratch scratch
        object below           # the transport, from its connection_made to its connection_lost
        StreamTransport stream  # the same where it is ours
        bint below_full        # it has called pause_writing
        # The engine is, and may run code of Python's: what that does to this connection has to wait.
        bint at_work

        NoResult set_below(self, object transport) except NoResult.EXC

        # Makes records of plaintext behind `made` bytes of such in the shared memory: of how much. The rest
        # has to wait, for the transport below unless `all`, or for an answer of the peer's.
        Py_ssize_t encrypt(self, const char *start, Py_ssize_t size, Py_ssize_t *made, bint all) except -1
        NoResult collect(self, Py_ssize_t *made) except NoResult.EXC
        # Gives the transport below what was collected, and what stayed in the engine.
        NoResult pass_on(self, Py_ssize_t *made) except NoResult.EXC
        # The same of what the engine has made of its own accord.
        NoResult send_out(self) except NoResult.EXC
        # What it has made for the peer of an error, if the kernel takes it at once.
        NoResult send_alert(self) except NoResult.EXC

        # `start` is ciphertext that came just now, in the shared memory as a rule, which is left by these.
        # Both advance it to what is not fed.
        NoResult feed(self, const char **start, Py_ssize_t *size) except NoResult.EXC
        # Fills memory, behind `filled` bytes: FULL, AGAIN, 0 for close_notify, or REFUSED. Leaves something
        # that is not fed only if it raises.
        int decrypt(self, char *to, Py_ssize_t capacity, const char **start, Py_ssize_t *size,
                    Py_ssize_t *filled) except -2
