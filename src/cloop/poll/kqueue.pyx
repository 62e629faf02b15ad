"""The poller on macOS and the BSDs: kqueue(2), woken by an EVFILT_USER event.

What the kernel does, and what follows:

* Reading and writing are two filters of one descriptor, each with an entry of its own and each
  reported by itself: two records for one descriptor in one wait, which the loop may take one after
  the other.
* Entries belong to a number: closing it removes them, and what has the number next is not watched.
  EV_DELETE then says ENOENT or EBADF, which is what was wanted; and interest that stays is added
  again whenever more is, for the file may be a new one. A record read before a close in the same
  turn is old, and carries its generation in udata.
* Adding an entry again changes its udata, and leaves its flags as they are: to make a lasting one of
  a one-shot entry, it is deleted first. One that has fired is gone.
* EV_EOF comes on the filter whose end is gone: for reading a half-close with data still to read,
  for writing a peer that is gone. Both are readiness, and so is EV_ERROR: the system call tells.
* Some files can't be watched for some filter (EINVAL, ENODEV), which goes to the caller as the errno
  says. A pipe that nobody reads is refused for writing (EPIPE), where whoever waits has to learn it by
  writing: it counts as writable. FreeBSD makes no entry then; old releases of macOS do
  (https://github.com/tokio-rs/mio/issues/582), and may report twice.
* A changelist is applied in order up to the first error, which is kevent's own where there is no room
  for a record of it. There is none here, for with room it would return, and so use up, what has fired.
* The time-out is a timespec: nanoseconds, and the kernel rounds up.
* A kqueue is not inherited by fork(2): in a child its number is nobody's, or somebody else's.
* EVFILT_PROC watches a child by its PID and is reported once, with EV_ONESHOT and by all but the oldest
  kernels without. Some refuse one that is over already (ESRCH). What is reported has no descriptor, so
  it is kept in `ended`, and told under the number of the kqueue itself, which nobody else can watch
  for: the watch of that number is the poller's own affair.
* EVFILT_USER: FreeBSD, macOS and DragonFly have had it for long, NetBSD has it from 10 on, OpenBSD in
  its late releases.
"""

cimport cython
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EBADF, EINTR, EPIPE, errno
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from posix.fcntl cimport F_GETFD, F_SETFD, FD_CLOEXEC, fcntl
from posix.time cimport timespec
from posix.types cimport pid_t
from posix.unistd cimport close as close_fd
from posix.unistd cimport getpid

from cloop._c.clock cimport NS_PER_S, ns_t
from cloop._c.kqueue cimport (
    EV_ADD,
    EV_CLEAR,
    EV_DELETE,
    EV_ONESHOT,
    EVFILT_PROC,
    EVFILT_READ,
    EVFILT_USER,
    EVFILT_WRITE,
    NOTE_EXIT,
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
        pid_t process       # that has the kqueue
        # Pipes that nobody reads and that are watched for writing: descriptor -> (generation, whether once).
        dict broken
        list ended          # PIDs of children that are over
        uint32_t ended_gen  # of the watch of our own number

    def __cinit__(self):
        self.kq = -1
        self.broken = {}
        self.ended = []
        self.process = getpid()
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
        if self.kq >= 0 and getpid() == self.process:
            close_fd(self.kq)
        self.kq = -1

    cdef NoResult close(self) except NoResult.EXC:
        self.close_fds()
        return NoResult.OK

    cdef NoResult update(self, int fd, uint32_t gen, uint32_t old, uint32_t new) except NoResult.EXC:
        cdef uint32_t more = new & ~old
        if more or new == old:
            try:
                self.add(fd, gen, new, 0)
            except OSError:
                self.remove(fd, more)
                raise
        return self.remove(fd, old & ~new)

    cdef NoResult arm(self, int fd, uint32_t gen, uint32_t direction, bint known) except NoResult.EXC:
        return self.add(fd, gen, direction, EV_ONESHOT)

    cdef NoResult make_lasting(self, int fd, uint32_t gen, uint32_t old,
                               uint32_t new) except NoResult.EXC:
        self.remove(fd, old)
        try:
            return self.add(fd, gen, new, 0)
        except OSError:
            self.remove(fd, new)
            try:
                self.add(fd, gen, old, EV_ONESHOT)
            except OSError:
                # It was an earlier file's.
                pass
            raise

    cdef NoResult add(self, int fd, uint32_t gen, uint32_t mask,
                      unsigned short flags) except NoResult.EXC:
        """Watch for all of a mask."""
        cdef kevent_s changes[2]
        cdef int n = 0
        if fd == self.kq:
            self.ended_gen = gen
            return NoResult.OK
        if mask & READ:
            fill(&changes[n], fd, EVFILT_READ, EV_ADD | flags, gen)
            n += 1
        if mask & WRITE:
            # The last, so that the rest is done where it is refused.
            fill(&changes[n], fd, EVFILT_WRITE, EV_ADD | flags, gen)
            n += 1
            if self.broken:
                self.broken.pop(fd, None)
        if kevent(self.kq, changes, n, NULL, 0, NULL) < 0:
            if errno != EPIPE or not mask & WRITE:
                PyErr_SetFromErrno(OSError)
            self.broken[fd] = (gen, flags & EV_ONESHOT)
        return NoResult.OK

    cdef NoResult remove(self, int fd, uint32_t mask) except NoResult.EXC:
        """Watch for nothing of a mask; never fails."""
        cdef kevent_s change
        if fd == self.kq:
            return NoResult.OK
        if mask & READ:
            fill(&change, fd, EVFILT_READ, EV_DELETE, 0)
            kevent(self.kq, &change, 1, NULL, 0, NULL)
        if mask & WRITE:
            fill(&change, fd, EVFILT_WRITE, EV_DELETE, 0)
            kevent(self.kq, &change, 1, NULL, 0, NULL)
            if self.broken:
                self.broken.pop(fd, None)
        return NoResult.OK

    cdef int wait(self, ns_t timeout_ns) except -1:
        cdef timespec timeout
        cdef timespec *limit = NULL
        cdef int n
        if self.broken:
            timeout_ns = 0
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
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            n = 0
        n = self.collect(n)
        return self.collect_broken(n) if self.broken else n

    cdef int collect(self, int n) except -1:
        cdef int i
        cdef int found = 0
        cdef bint told = False
        cdef kevent_s *event
        for i in range(n):
            event = &self.events[i]
            if event.filter == EVFILT_USER:
                continue
            if event.filter == EVFILT_PROC:
                self.ended.append(<int>event.ident)
                if told:
                    continue
                told = True
                event.ident = <uintptr_t>self.kq
                event.udata = <void *><uintptr_t>self.ended_gen
                event.filter = EVFILT_READ
            self.fired[found].fd = <int>event.ident
            self.fired[found].gen = <uint32_t><uintptr_t>event.udata
            self.fired[found].mask = READ if event.filter == EVFILT_READ else WRITE
            found += 1
        return found

    def watch_process(self, int pid):
        cdef kevent_s change
        fill(&change, pid, EVFILT_PROC, EV_ADD | EV_ONESHOT, 0)
        change.fflags = NOTE_EXIT
        return self.kq if kevent(self.kq, &change, 1, NULL, 0, NULL) == 0 else -1

    def take_ended(self):
        ended, self.ended = self.ended, []
        return ended

    cdef int collect_broken(self, int found) except -1:
        """Add the pipes that nobody reads to what has been found."""
        for fd, (gen, once) in list(self.broken.items()):
            if found == MAX_EVENTS:
                break
            if once or fcntl(fd, F_GETFD) < 0:
                # Reported for the last time; or closed, which ends an interest without a report.
                del self.broken[fd]
                if not once:
                    continue
            self.fired[found].fd = fd
            self.fired[found].gen = gen
            self.fired[found].mask = WRITE
            found += 1
        return found

    cdef NoResult wake(self) except NoResult.EXC:
        cdef kevent_s change
        fill(&change, 0, EVFILT_USER, 0, 0)
        change.fflags = NOTE_TRIGGER
        # Twice is the same as once, so it is done again where a signal has interrupted it.
        while kevent(self.kq, &change, 1, NULL, 0, NULL) < 0:
            if errno == EBADF:
                raise RuntimeError("Event loop is closed")
            if errno != EINTR:
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
