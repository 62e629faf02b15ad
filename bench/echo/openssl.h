/* The few functions of OpenSSL (1.1.1 or later) that the programs use, found by name when they run.
 *
 * They are not linked with it, so that a wheel has no OpenSSL of its own and needs no headers to be built:
 * whoever runs them names the libraries. Types and values are those of its documented interface.
 */
#ifndef BENCH_ECHO_OPENSSL_H
#define BENCH_ECHO_OPENSSL_H

#include "common.h"
#include <dlfcn.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_method_st SSL_METHOD;

enum {
    SSL_FILETYPE_PEM = 1,
    SSL_MODE_ENABLE_PARTIAL_WRITE = 0x1,
    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 0x2,
    SSL_MODE_RELEASE_BUFFERS = 0x10,
    SSL_ERROR_WANT_READ = 2,
    SSL_ERROR_WANT_WRITE = 3,
    SSL_ERROR_SYSCALL = 5,
    SSL_ERROR_ZERO_RETURN = 6,
    SSL_SENT_SHUTDOWN = 1,
    SSL_RECEIVED_SHUTDOWN = 2,
    SSL_WRITING = 2, /* of SSL_want */
    SSL_CTRL_MODE = 33, /* of SSL_CTX_ctrl, as the next two */
    SSL_CTRL_SET_READ_AHEAD = 41,
    SSL_CTRL_SET_SESS_CACHE_MODE = 44,
    SSL_SESS_CACHE_CLIENT = 0x1,
    SSL_SESS_CACHE_NO_INTERNAL = 0x300,
};

#define OPENSSL_FUNCTIONS(F) \
    F(void, ERR_clear_error, (void)) \
    F(void, SSL_SESSION_free, (SSL_SESSION *)) \
    F(const SSL_METHOD *, TLS_server_method, (void)) \
    F(const SSL_METHOD *, TLS_client_method, (void)) \
    F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *)) \
    F(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *)) \
    F(void, SSL_CTX_set_default_read_buffer_len, (SSL_CTX *, size_t)) \
    F(void, SSL_CTX_set_cert_verify_callback, (SSL_CTX *, int (*)(void *, void *), void *)) \
    F(void, SSL_CTX_sess_set_new_cb, (SSL_CTX *, int (*)(SSL *, SSL_SESSION *))) \
    F(int, SSL_CTX_use_certificate_file, (SSL_CTX *, const char *, int)) \
    F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *, const char *, int)) \
    F(SSL *, SSL_new, (SSL_CTX *)) \
    F(void, SSL_free, (SSL *)) \
    F(int, SSL_set_fd, (SSL *, int)) \
    F(void, SSL_set_accept_state, (SSL *)) \
    F(void, SSL_set_connect_state, (SSL *)) \
    F(int, SSL_set_session, (SSL *, SSL_SESSION *)) \
    F(void, SSL_set_shutdown, (SSL *, int)) \
    F(int, SSL_get_error, (const SSL *, int)) \
    F(int, SSL_want, (const SSL *)) \
    F(int, SSL_read_ex, (SSL *, void *, size_t, size_t *)) \
    F(int, SSL_write_ex, (SSL *, const void *, size_t, size_t *))

#define OPENSSL_MEMBER(result, name, arguments) result(*name) arguments;
static struct {
    OPENSSL_FUNCTIONS(OPENSSL_MEMBER)
} openssl;
#undef OPENSSL_MEMBER

static inline void *openssl_function(const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    if (found == NULL) {
        fprintf(stderr, "no %s in the libraries of -S\n", name);
        exit(1);
    }
    return found;
}

/* Load a library, libcrypto before the libssl that needs it. */
static inline void openssl_open(const char *path)
{
    if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
}

/* Find the functions, in what was loaded. */
static inline void openssl_find(void)
{
#define OPENSSL_FIND(result, name, arguments) *(void **)&openssl.name = openssl_function(#name);
    OPENSSL_FUNCTIONS(OPENSSL_FIND)
#undef OPENSSL_FIND
}

#endif
