/* A connection's bytes: over the socket, or with -DWITH_TLS over OpenSSL on the socket.
 *
 * wire_recv and wire_send are recv(2) and send(2) on a socket that does not block, also of errno. Over TLS a
 * handshake goes on inside of them. An event of the socket may bring several records, and OpenSSL keeps what
 * it has read ahead: whoever receives over TLS does so until it would block (wire_more).
 */
#ifndef BENCH_ECHO_WIRE_H
#define BENCH_ECHO_WIRE_H

#include "common.h"

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

struct wire {
    int fd;
    SSL *session;
};

static SSL_CTX *wire_context;
static SSL_SESSION *wire_ticket; /* of the client's last full handshake, where sessions are resumed */
static int wire_resumes;

static inline int wire_keep_ticket(SSL *session, SSL_SESSION *ticket)
{
    (void)session;
    SSL_SESSION_free(wire_ticket);
    wire_ticket = ticket;
    return 1;
}

/* A client's question whether a certificate is good, which would take it longer than the rest of a handshake. */
static inline int wire_trust_anybody(X509_STORE_CTX *chain, void *unused)
{
    (void)chain;
    (void)unused;
    return 1;
}

/* A server has the certificate and key of the file `pem`; a client, with NULL, trusts anybody. */
static inline void wire_setup(const char *pem, int resumes)
{
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    wire_context = SSL_CTX_new(pem ? TLS_server_method() : TLS_client_method());
    if (wire_context == NULL)
        die("SSL_CTX_new");
    SSL_CTX_set_mode(wire_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(wire_context, 1);
    wire_resumes = resumes;
    if (pem == NULL)
        SSL_CTX_set_cert_verify_callback(wire_context, wire_trust_anybody, NULL);
    if (pem == NULL && resumes) {
        SSL_CTX_set_session_cache_mode(wire_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(wire_context, wire_keep_ticket);
    }
    if (pem != NULL && (SSL_CTX_use_certificate_file(wire_context, pem, SSL_FILETYPE_PEM) != 1 ||
                        SSL_CTX_use_PrivateKey_file(wire_context, pem, SSL_FILETYPE_PEM) != 1))
        die(pem);
}

static inline void wire_open(struct wire *wire, int is_server)
{
    wire->session = SSL_new(wire_context);
    if (wire->session == NULL || SSL_set_fd(wire->session, wire->fd) != 1)
        die("SSL_new");
    if (is_server)
        SSL_set_accept_state(wire->session);
    else
        SSL_set_connect_state(wire->session);
    if (!is_server && wire_resumes && wire_ticket != NULL)
        SSL_set_session(wire->session, wire_ticket);
}

static inline void wire_close(struct wire *wire)
{
    /* The state of a session that is only dropped may not be resumed; nothing is sent that nobody reads. */
    SSL_set_shutdown(wire->session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(wire->session);
    close(wire->fd);
}

static inline ssize_t wire_result(struct wire *wire, int ok, size_t size)
{
    if (ok == 1)
        return (ssize_t)size;
    int error = SSL_get_error(wire->session, ok);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (error != SSL_ERROR_SYSCALL)
        errno = EPROTO;
    return -1;
}

static inline ssize_t wire_recv(struct wire *wire, void *memory, size_t size)
{
    size_t done = 0;
    int ok = SSL_read_ex(wire->session, memory, size, &done);
    return wire_result(wire, ok, done);
}

static inline ssize_t wire_send(struct wire *wire, const void *memory, size_t size)
{
    size_t done = 0;
    int ok = SSL_write_ex(wire->session, memory, size, &done);
    return wire_result(wire, ok, done);
}

/* After a wire_send that would block: whether it waits for room, and not for the peer's part of a handshake. */
static inline int wire_wants_room(struct wire *wire)
{
    return SSL_want_write(wire->session);
}

enum { wire_more = 1 };

#else

struct wire {
    int fd;
};

static inline void wire_setup(const char *pem, int resumes)
{
    (void)resumes;
    if (pem != NULL && *pem != '\0') {
        fprintf(stderr, "built without TLS\n");
        exit(2);
    }
}

static inline void wire_open(struct wire *wire, int is_server)
{
    (void)wire;
    (void)is_server;
}

static inline void wire_close(struct wire *wire)
{
    close(wire->fd);
}

static inline ssize_t wire_recv(struct wire *wire, void *memory, size_t size)
{
    return recv(wire->fd, memory, size, 0);
}

static inline ssize_t wire_send(struct wire *wire, const void *memory, size_t size)
{
    return send(wire->fd, memory, size, MSG_NOSIGNAL);
}

static inline int wire_wants_room(struct wire *wire)
{
    (void)wire;
    return 1;
}

enum { wire_more = 0 };

#endif
#endif
