/* A connection's bytes: over the socket, or over OpenSSL on the socket.
 *
 * wire_recv and wire_send are recv(2) and send(2) on a socket that does not block, also of errno. Over TLS a
 * handshake goes on inside of them. An event of the socket may bring several records, and OpenSSL keeps what
 * it has read ahead: whoever receives over TLS does so until it would block (wire_is_tls).
 */
#ifndef BENCH_ECHO_WIRE_H
#define BENCH_ECHO_WIRE_H

#include "openssl.h"
#include <signal.h>

struct wire {
    int fd;
    SSL *session; /* over TLS only */
};

enum { WIRE_READ_AHEAD = 256 * 1024 };

static int wire_is_tls;
static SSL_CTX *wire_context;
static SSL_SESSION *wire_ticket; /* of the client's last full handshake, where sessions are resumed */
static int wire_resumes;

static inline int wire_keep_ticket(SSL *session, SSL_SESSION *ticket)
{
    (void)session;
    openssl.SSL_SESSION_free(wire_ticket);
    wire_ticket = ticket;
    return 1;
}

/* A client's question whether a certificate is good, which would take it longer than the rest of a handshake. */
static inline int wire_trust_anybody(void *chain, void *unused)
{
    (void)chain;
    (void)unused;
    return 1;
}

/* Say that it is over TLS, and load one of OpenSSL's libraries, in their order. */
static inline void wire_use_tls(const char *library)
{
    openssl_open(library);
    wire_is_tls = 1;
}

/* After the libraries. A server has the certificate and key of the file `pem`; a client, with NULL, trusts anybody. */
static inline void wire_setup(const char *pem, int resumes)
{
    if (!wire_is_tls)
        return;
    openssl_find();
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    wire_context = openssl.SSL_CTX_new(pem ? openssl.TLS_server_method() : openssl.TLS_client_method());
    if (wire_context == NULL)
        die("SSL_CTX_new");
    long modes = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS;
    openssl.SSL_CTX_ctrl(wire_context, SSL_CTRL_MODE, modes, NULL);
    openssl.SSL_CTX_ctrl(wire_context, SSL_CTRL_SET_READ_AHEAD, 1, NULL);
    openssl.SSL_CTX_set_default_read_buffer_len(wire_context, WIRE_READ_AHEAD);
    wire_resumes = resumes;
    if (pem == NULL)
        openssl.SSL_CTX_set_cert_verify_callback(wire_context, wire_trust_anybody, NULL);
    if (pem == NULL && resumes) {
        long cache = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL;
        openssl.SSL_CTX_ctrl(wire_context, SSL_CTRL_SET_SESS_CACHE_MODE, cache, NULL);
        openssl.SSL_CTX_sess_set_new_cb(wire_context, wire_keep_ticket);
    }
    if (pem != NULL && (openssl.SSL_CTX_use_certificate_file(wire_context, pem, SSL_FILETYPE_PEM) != 1 ||
                        openssl.SSL_CTX_use_PrivateKey_file(wire_context, pem, SSL_FILETYPE_PEM) != 1))
        die(pem);
}

static inline void wire_open(struct wire *wire, int is_server)
{
    if (!wire_is_tls)
        return;
    wire->session = openssl.SSL_new(wire_context);
    if (wire->session == NULL || openssl.SSL_set_fd(wire->session, wire->fd) != 1)
        die("SSL_new");
    if (is_server)
        openssl.SSL_set_accept_state(wire->session);
    else
        openssl.SSL_set_connect_state(wire->session);
    if (!is_server && wire_resumes && wire_ticket != NULL)
        openssl.SSL_set_session(wire->session, wire_ticket);
}

static inline void wire_close(struct wire *wire)
{
    if (wire_is_tls) {
        /* The state of a session that is only dropped may not be resumed; nothing is sent that nobody reads. */
        openssl.SSL_set_shutdown(wire->session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        openssl.SSL_free(wire->session);
    }
    close(wire->fd);
}

static inline ssize_t wire_result(struct wire *wire, int ok, size_t size)
{
    if (ok == 1)
        return (ssize_t)size;
    int error = openssl.SSL_get_error(wire->session, ok);
    openssl.ERR_clear_error();
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
    if (!wire_is_tls)
        return recv(wire->fd, memory, size, 0);
    size_t done = 0;
    int ok = openssl.SSL_read_ex(wire->session, memory, size, &done);
    return wire_result(wire, ok, done);
}

static inline ssize_t wire_send(struct wire *wire, const void *memory, size_t size)
{
    if (!wire_is_tls)
        return send(wire->fd, memory, size, MSG_NOSIGNAL);
    /* It takes one record at a time. */
    size_t sent = 0, done = 0;
    int ok = 1;
    while (ok == 1 && sent < size) {
        ok = openssl.SSL_write_ex(wire->session, (const char *)memory + sent, size - sent, &done);
        sent += ok == 1 ? done : 0;
    }
    return wire_result(wire, sent > 0 ? 1 : ok, sent);
}

/* After a wire_send that left something over: whether it waits for room, and not for the peer's part of a handshake. */
static inline int wire_wants_room(struct wire *wire)
{
    return !wire_is_tls || openssl.SSL_want(wire->session) == SSL_WRITING;
}

#endif
