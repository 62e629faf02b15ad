"""The poller on macOS and the BSDs: kqueue(2), woken by an EVFILT_USER event.

What the kernel does, and what follows:

* Reading and writing are two filters of one descriptor, each with an entry of its own and each
  reported by itself: two records for one descriptor in one wait, which the loop may take one after
  the other.
* Closing the last reference of a descriptor removes its entries; EV_DELETE then says ENOENT or
  EBADF, which is what was wanted. kqueue watches the descriptor, not the file behind it, so a
  duplicate never reports for it; but a record read before a close in the same turn may be old, and
  carries its generation in udata.
* EV_EOF comes on the filter whose end is gone: for reading a half-close with data still to read,
  for writing a peer that is gone. Both are readiness: the system call tells.
* Some files can't be watched for some filter (EINVAL, ENODEV; a FIFO whose reader is gone gives
  EPIPE for EVFILT_WRITE, which macOS reports although the entry was made): EPIPE is ignored, the
  rest goes to the caller as the errno says.
* The time-out is a timespec: nanoseconds, and the kernel rounds up.
* A one-shot entry is gone once it has fired. To make a lasting one of it, it is deleted first: adding
  it again leaves its flags as they are.
* A kqueue is not inherited by fork(2).
"""

cimport cython
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EBADF, EINTR, EPIPE, errno
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from posix.fcntl cimport F_SETFD, FD_CLOEXEC, fcntl
from posix.time cimport timespec
from posix.unistd cimport close as close_fd

from cloop._c.clock cimport NS_PER_S, ns_t
from cloop._c.kqueue cimport (
    EV_ADD,
    EV_CLEAR,
    EV_DELETE,
    EV_ONESHOT,
    EVFILT_READ,
    EVFILT_USER,
    EVFILT_WRITE,
    NOTE_TRIGGER,
    kevent,
    kevent_s,
    kqueue,
)
from cloop._c.pyapi cimport NoResult
from cloop.poll.poller cimport READ, WRITE, Fired, Poller

cdef enum:
    MAX_EVENTS = 1024  # as many records as one wait returns at most


cdef inline void fill(kevent_s *change, int fd, short filter, unsigned short flags,
                      uint32_t gen) noexcept nogil:
    change.ident = <uintptr_t>fd
    change.filter = filter
    change.flags = flags
    change.fflags = 0
    change.data = 0
    change.udata = <void *><uintptr_t>gen


@cython.final
cdef class KqueuePoller(Poller):
    """The kernel queue of one loop."""

    cdef:
        int kq
        kevent_s *events

    def __cinit__(self):
        self.kq = -1
        self.events = <kevent_s *>malloc(MAX_EVENTS * sizeof(kevent_s))
        self.fired = <Fired *>malloc(MAX_EVENTS * sizeof(Fired))
        if self.events == NULL or self.fired == NULL:
            raise MemoryError
        self.kq = kqueue()
        if self.kq < 0:
            PyErr_SetFromErrno(OSError)
        fcntl(self.kq, F_SETFD, FD_CLOEXEC)
        cdef kevent_s change
        fill(&change, 0, EVFILT_USER, EV_ADD | EV_CLEAR, 0)
        if kevent(self.kq, &change, 1, NULL, 0, NULL) < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        self.close_fds()
        free(self.events)
        free(self.fired)

    cdef void close_fds(self) noexcept:
        if self.kq >= 0:
            close_fd(self.kq)
        self.kq = -1

    cdef NoResult close(self) except NoResult.EXC:
        self.close_fds()
        return NoResult.OK

    cdef NoResult update(self, int fd, uint32_t gen, uint32_t old, uint32_t new) except NoResult.EXC:
        # The same interest once more: the number may be a new file's.
        cdef uint32_t changed = old ^ new or new
        if changed & READ:
            self.change(fd, EVFILT_READ, gen, EV_ADD if new & READ else EV_DELETE)
        if changed & WRITE:
            try:
                self.change(fd, EVFILT_WRITE, gen, EV_ADD if new & WRITE else EV_DELETE)
            except OSError:
                if changed & READ:
                    self.change(fd, EVFILT_READ, gen, EV_ADD if old & READ else EV_DELETE)
                raise
        return NoResult.OK

    cdef NoResult arm(self, int fd, uint32_t gen, uint32_t direction, bint known) except NoResult.EXC:
        return self.change(fd, EVFILT_READ if direction == READ else EVFILT_WRITE, gen,
                           EV_ADD | EV_ONESHOT)

    cdef NoResult make_lasting(self, int fd, uint32_t gen, uint32_t old,
                               uint32_t new) except NoResult.EXC:
        self.update(fd, gen, old, 0)
        return self.update(fd, gen, 0, new)

    cdef NoResult change(self, int fd, short filter, uint32_t gen,
                         unsigned short flags) except NoResult.EXC:
        cdef kevent_s change
        fill(&change, fd, filter, flags, gen)
        if (kevent(self.kq, &change, 1, NULL, 0, NULL) < 0 and flags & EV_ADD
                and errno != EPIPE):
            PyErr_SetFromErrno(OSError)
        return NoResult.OK

    cdef int wait(self, ns_t timeout_ns) except -1:
        cdef timespec timeout
        cdef timespec *limit = NULL
        cdef int n
        if timeout_ns >= 0:
            # Some kernels refuse more than a few years; the loop waits again.
            timeout.tv_sec = <long>min(timeout_ns // NS_PER_S, <ns_t>86400)
            timeout.tv_nsec = <long>(timeout_ns % NS_PER_S)
            limit = &timeout
        if timeout_ns == 0:
            # Returns at once, so giving up the GIL would cost more than it gives.
            n = kevent(self.kq, NULL, 0, self.events, MAX_EVENTS, limit)
        else:
            with nogil:
                n = kevent(self.kq, NULL, 0, self.events, MAX_EVENTS, limit)
        if n < 0:
            if errno == EINTR:
                return 0
            PyErr_SetFromErrno(OSError)
        return self.collect(n)

    cdef int collect(self, int n) noexcept:
        cdef int i
        cdef int found = 0
        cdef kevent_s *event
        for i in range(n):
            event = &self.events[i]
            if event.filter == EVFILT_USER:
                continue
            self.fired[found].fd = <int>event.ident
            self.fired[found].gen = <uint32_t><uintptr_t>event.udata
            self.fired[found].mask = READ if event.filter == EVFILT_READ else WRITE
            found += 1
        return found

    cdef NoResult wake(self) except NoResult.EXC:
        cdef kevent_s change
        fill(&change, 0, EVFILT_USER, 0, 0)
        change.fflags = NOTE_TRIGGER
        if kevent(self.kq, &change, 1, NULL, 0, NULL) < 0 and errno != EINTR:
            if errno == EBADF:
                raise RuntimeError("Event loop is closed")
            PyErr_SetFromErrno(OSError)
        return NoResult.OK

    def fileno(self):
        return self.kq

    def features(self):
        return {"poller": "kqueue", "timeout": "kevent, ns", "waker": "EVFILT_USER"}


def new_poller():
    """A poller for a new loop.

    Raises OSError where the process or the system is out of file descriptors.
    """
    return KqueuePoller()
