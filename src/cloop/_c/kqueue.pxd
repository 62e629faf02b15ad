"""kqueue(2)."""

from libc.stdint cimport intptr_t, uintptr_t
from posix.time cimport timespec

cdef extern from "<sys/event.h>" nogil:
    struct kevent_s "kevent":
        uintptr_t ident
        short filter
        unsigned short flags
        unsigned int fflags
        intptr_t data
        void *udata

    enum:
        EVFILT_READ
        EVFILT_WRITE
        EVFILT_USER
        EVFILT_PROC
        EV_ADD
        EV_DELETE
        EV_CLEAR
        EV_ONESHOT
        EV_ERROR
        EV_EOF
        NOTE_TRIGGER
        NOTE_EXIT

    int kqueue()
    int kevent(int kq, const kevent_s *changes, int nchanges, kevent_s *events, int nevents,
               const timespec *timeout)
