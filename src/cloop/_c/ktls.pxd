"""Kernel TLS for sending; ktls.h says how."""

cdef extern from "ktls.h":
    ctypedef struct cloop_ktls:
        int fd
        int on
        size_t first
        size_t count

    bint cloop_ktls_load(void *library)
    cloop_ktls *cloop_ktls_new(void *bio, bint tls12, bint tls13)
    int cloop_ktls_send(cloop_ktls *self, int fd)
    void cloop_ktls_drop(cloop_ktls *self)
