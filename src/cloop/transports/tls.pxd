"""TlsTransport: TLS on top of another transport.

One object with two faces: to the application it is the transport, to the transport below it is the
protocol. Below there is a StreamTransport, as a rule, which hands over memory (transports/sink) and takes
memory; or any other of asyncio's kind, as with TLS in TLS.

    Sink
      TlsFlow            water marks and pauses
        TlsBase          handshake, end
          TlsTransport   reading and writing

Reading: ciphertext is fed to the engine, everything that it makes of that is decrypted into one spare
bytes object (transports/scratch) and delivered by one call; or straight into the memory of a
BufferedProtocol. Writing: encrypted at once, record by record, into what all connections of the loop
share, and sent from there by one system call. So a connection keeps no more than a record or two,
unless a peer does not read or an application does not.

No memory of the loop's is in use when code of the application's is called: every callback may write,
close, abort or change the protocol, on this connection or on another.
"""

cimport cython
from cpython.object cimport PyObject

from cloop._c.pyapi cimport NoResult
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls_base cimport FLUSHING, UNWRAPPED, WRAPPED, TlsBase

@cython.final
cdef class TlsTransport(TlsBase):
    cdef:
        NoResult read_data(self, const char *start, Py_ssize_t size) except NoResult.EXC
        Py_ssize_t decrypt(self, char *to, Py_ssize_t capacity, const char **start,
                           Py_ssize_t *size, Py_ssize_t *filled) except -2
        NoResult read_intake(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult read_much(self, PyObject *first, int level, const char *start,
                           Py_ssize_t size) except NoResult.EXC
        NoResult read_buffered(self) except NoResult.EXC
        NoResult deliver(self, PyObject *data, int level, Py_ssize_t n) except NoResult.EXC

        # To be called before plaintext is made records of, which go through the shared memory.
        inline NoResult make_room(self) except NoResult.EXC:
            if self.stream is not None:
                return self.stream.make_room()
            return NoResult.OK

        cpdef write(self, data)
        NoResult put(self, list pieces) except NoResult.EXC
        NoResult put_bytes(self, const char *start, Py_ssize_t size) except NoResult.EXC
        NoResult end_put(self, Py_ssize_t *made) except NoResult.EXC
        bint is_straight(self) except -1
        NoResult put_part(self, const char *start, Py_ssize_t size,
                          Py_ssize_t *made) except NoResult.EXC
        Py_ssize_t encrypt(self, const char *start, Py_ssize_t size,
                           Py_ssize_t *made) except -2
        bint send_made(self, Py_ssize_t *made) except -1

        # Where the kernel makes the records.
        bint may_pass(self) except -1
        bint pass_records(self) except -1
        NoResult pass_on(self) except NoResult.EXC
        NoResult pass_pieces(self, StreamTransport stream) except NoResult.EXC
        NoResult hold(self) except NoResult.EXC
        NoResult go_on_writing(self) except NoResult.EXC
        NoResult start_file(self) except NoResult.EXC

# What a StreamTransport tells of the end of its queue, as it would a future.
@cython.final
cdef class Release:
    cdef TlsTransport transport
