"""What we use of <openssl/ssl.h>, <openssl/bio.h> and <openssl/err.h>, none of which the build needs.

The functions are called by address: for each kind there is the type of a pointer.
"""

cdef enum:
    SSL_ERROR_WANT_READ = 2
    SSL_ERROR_ZERO_RETURN = 6
    SSL_RECEIVED_SHUTDOWN = 2
    # From OpenSSL 3.0 on; those before allow it to every client.
    SSL_OP_ALLOW_CLIENT_RENEGOTIATION = 1 << 8
    # As well.
    SSL_OP_NO_RENEGOTIATION = 1 << 30

# This one may run code of Python's, so it is called as _ssl calls it.
ctypedef int (*do_handshake_t)(void *ssl) noexcept nogil
ctypedef int (*read_ex_t)(void *ssl, void *to, size_t size, size_t *read) noexcept
ctypedef int (*write_ex_t)(void *ssl, const void *start, size_t size, size_t *written) noexcept
ctypedef int (*get_error_t)(const void *ssl, int result) noexcept
ctypedef int (*get_shutdown_t)(const void *ssl) noexcept
ctypedef const char *(*get_cipher_t)(const void *ssl, int index) noexcept
ctypedef void *(*get_ex_data_t)(const void *ssl, int index) noexcept
ctypedef void *(*get_pointer_t)(const void *ssl) noexcept
ctypedef void (*clear_error_t)() noexcept
ctypedef unsigned long (*peek_error_t)() noexcept
ctypedef const char *(*error_string_t)(unsigned long error) noexcept
ctypedef int (*bio_read_t)(void *bio, void *to, int size) noexcept
ctypedef int (*bio_write_t)(void *bio, const void *start, int size) noexcept
ctypedef size_t (*bio_pending_t)(void *bio) noexcept
