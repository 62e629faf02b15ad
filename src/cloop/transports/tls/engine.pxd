"""TlsEngine: ciphertext in, plaintext out, and the other way about. It knows of no transport.

    TlsEngine           the contract
      ObjectEngine      an ssl.SSLObject and its two BIOs, by their Python methods
      DirectEngine      the same object; but bytes go through OpenSSL's functions, by their addresses

Both hold a real ssl.SSLObject, which makes the handshake and the shutdown, and tells of certificates,
ciphers and sessions. So exceptions, host names and callbacks are what the ssl module makes of them.

The functions are those of the libssl that the `_ssl` extension has loaded, found by a handle of that
extension; no other is linked or loaded. Where one is not found, or where an object of `_ssl` is not
laid out as we think, there is the ObjectEngine. CLOOP_TLS_ENGINE=object, or =openssl, chooses.
"""

cimport cython

from cloop._c.pyapi cimport NoResult

cdef enum:
    # Nothing can be done before the peer has sent more.
    AGAIN = -1
    # It has failed, and what is to be raised is made by code of Python's: read_again or write_again.
    REFUSED = -3
    # Plaintext in a record, at most, and a record.
    RECORD = 16384
    WHOLE_RECORD = 16384 + 5 + 256

cdef class TlsEngine:
    cdef:
        object sslobj          # ssl.SSLObject
        object incoming        # its ssl.MemoryBIOs; None in a DirectEngine, which has no use for them
        object outgoing
        # read and write run no code of Python, so what they are given to work on may be memory that
        # others use.
        bint direct

        # Ciphertext that came.
        NoResult feed(self, const char *start, Py_ssize_t size) except NoResult.EXC
        # Plaintext: how much, 0 for the peer's close_notify, AGAIN or REFUSED.
        Py_ssize_t read(self, char *to, Py_ssize_t size) except -2
        # After REFUSED. Raises, as a rule; else as read().
        Py_ssize_t read_again(self) except -2
        # How much was taken of plaintext, AGAIN or REFUSED.
        Py_ssize_t write(self, const char *start, Py_ssize_t size) except -2
        Py_ssize_t write_again(self, const char *start, Py_ssize_t size) except -2
        # Ciphertext to be sent: how much, where the engine is direct; or all of it.
        Py_ssize_t take(self, char *to, Py_ssize_t size) except -2
        bytes take_all(self)

        # Ciphertext that has not been read, and that has not been taken.
        Py_ssize_t unread(self) except -1
        Py_ssize_t unsent(self) except -1

        # One more step; whether it was the last one.
        bint shake_hands(self) except -1
        bint shut_down(self) except -1

        # What SSLObject.getpeercert() returns.
        object peercert(self)

@cython.final
cdef class ObjectEngine(TlsEngine):
    pass

@cython.final
cdef class DirectEngine(TlsEngine):
    cdef:
        object keeper          # the _ssl._SSLSocket, which `ssl` and the BIOs belong to
        void *ssl
        void *rbio
        void *wbio
        bint server_side
        int refused            # OpenSSL's errors of the read that was refused
        unsigned long refusal

        bint adopt(self, bint server_side) except -1

cdef TlsEngine new_engine(object context, bint server_side, object server_hostname)
# One that has nothing to read and nothing to send, for connections that are over.
cdef TlsEngine spent_engine()
