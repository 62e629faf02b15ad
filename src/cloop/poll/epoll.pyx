"""The poller on Linux: epoll(7) and an eventfd(2).

What the kernel does, and what follows:

* epoll watches the open file description, not the number. Closing a number that was duplicated
  (dup, fork) leaves it in the set and its events keep coming, under a number that may belong to
  somebody else by now; and then it can't be removed by number. So each registration carries a
  generation, a record with an old one is dropped here, and the number is taken out of the set in
  the hope that it is still the same file (the loop never closes a descriptor it still watches).
* A number that is closed leaves the set by itself if nothing else refers to its file. A later
  EPOLL_CTL_MOD then says ENOENT, and means ADD; ADD says EEXIST where somebody's duplicate kept
  the entry, and means MOD.
* A one-shot entry that has fired stays in the set, and reports nothing, not even errors; so it does
  no harm where somebody's duplicate keeps it. Arming it again is one MOD, where watching and
  forgetting are an ADD and a DEL.
* Regular files and directories can't be watched: EPERM, which goes to the caller.
* epoll_wait takes milliseconds, which either spins or comes late; epoll_pwait2 (Linux 5.11) takes
  nanoseconds. Where it is missing or forbidden (ENOSYS, and EPERM under old container filters),
  epoll_wait gets its milliseconds rounded up, for a timer may be late and never early.
* A thread's time-outs may come late by its timer slack, 50 us unless somebody chose otherwise, so
  that the kernel can serve several at once. In a short wait the slack is 1 us, for a sleep of a
  millisecond to be one; and in the wait only, for threads and children that a callback starts
  inherit it for good. Time-outs of more than a millisecond get a thousandth of their length from the
  kernel anyway.
* The set belongs to the open file description, which a forked child shares: what it changes is
  changed for its parent. So the child closes its copies before it does anything else.
* Level-triggered: one wait for all that is ready, no state to lose when a callback reads less than
  there is. The loop changes interest rarely, so there is nothing to win by edges.
"""

cimport cython
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EBADF, EEXIST, EINTR, ENOENT, ENOSYS, EPERM, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from posix.unistd cimport close as close_fd
from posix.unistd cimport read, write

from cloop._c.clock cimport NS_PER_MS, ns_t
from cloop._c.epoll cimport (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLONESHOT,
    EPOLLOUT,
    PR_GET_TIMERSLACK,
    PR_SET_TIMERSLACK,
    cloop_epoll_pwait2,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    eventfd,
    prctl,
)
from cloop._c.pyapi cimport NoResult
from cloop.poll.poller cimport READ, WRITE, Fired, Poller

# One wait returns this many records at most; more wait for the next turn. 1,024 records are 12 KiB
# here and 12 KiB there, and a turn of 1,024 callbacks already makes one wait cheap.
cdef enum:
    MAX_EVENTS = 1024

# The timer slack of a thread in a wait shorter than SHORT_NS. Of a longer one the usual 50 us are half
# a percent at most, which are not worth two system calls.
cdef enum:
    SLACK_NS = 1000
    SHORT_NS = 10_000_000

# The eventfd's own user data: no descriptor has this number.
cdef uint64_t WAKER = <uint64_t>-1


cdef inline uint64_t pack(int fd, uint32_t gen) noexcept nogil:
    return (<uint64_t>gen << 32) | <uint32_t>fd


@cython.final
cdef class EpollPoller(Poller):
    """The epoll set of one loop, and the eventfd that wakes it."""

    cdef:
        int epfd
        int wakefd
        bint have_pwait2
        int slack_ns        # of the thread that runs the loop, before; 0: left alone
        epoll_event *events

    def __cinit__(self):
        self.epfd = self.wakefd = -1
        self.have_pwait2 = True
        self.events = <epoll_event *>malloc(MAX_EVENTS * sizeof(epoll_event))
        self.fired = <Fired *>malloc(MAX_EVENTS * sizeof(Fired))
        if self.events == NULL or self.fired == NULL:
            raise MemoryError
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            PyErr_SetFromErrno(OSError)
        self.wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.wakefd < 0:
            PyErr_SetFromErrno(OSError)
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.u64 = WAKER
        if epoll_ctl(self.epfd, EPOLL_CTL_ADD, self.wakefd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        # Asked once, here, so that a container that forbids the call is not asked every turn.
        if cloop_epoll_pwait2(self.epfd, self.events, 1, 0) < 0 and errno in (ENOSYS, EPERM):
            self.have_pwait2 = False

    def __dealloc__(self):
        self.close_fds()
        free(self.events)
        free(self.fired)

    cdef void close_fds(self) noexcept:
        if self.epfd >= 0:
            close_fd(self.epfd)
        if self.wakefd >= 0:
            close_fd(self.wakefd)
        self.epfd = self.wakefd = -1

    cdef NoResult close(self) except NoResult.EXC:
        self.close_fds()
        return NoResult.OK

    cdef NoResult update(self, int fd, uint32_t gen, uint32_t old, uint32_t new) except NoResult.EXC:
        cdef int op = EPOLL_CTL_MOD if old and new else EPOLL_CTL_ADD if new else EPOLL_CTL_DEL
        if self.control(op, fd, gen, new, 0) == 0 or (new != old and not new & ~old):
            # Done; or interest is given up, which never fails.
            return NoResult.OK
        return self.other_way(op, fd, gen, new, 0)

    cdef NoResult arm(self, int fd, uint32_t gen, uint32_t direction, bint known) except NoResult.EXC:
        cdef int op = EPOLL_CTL_MOD if known else EPOLL_CTL_ADD
        if self.control(op, fd, gen, direction, EPOLLONESHOT) == 0:
            return NoResult.OK
        return self.other_way(op, fd, gen, direction, EPOLLONESHOT)

    cdef NoResult make_lasting(self, int fd, uint32_t gen, uint32_t old,
                               uint32_t new) except NoResult.EXC:
        return self.update(fd, gen, new, new)

    cdef inline int control(self, int op, int fd, uint32_t gen, uint32_t mask,
                            uint32_t flags) noexcept:
        cdef epoll_event event
        event.events = (EPOLLIN if mask & READ else 0) | (EPOLLOUT if mask & WRITE else 0) | flags
        event.data.u64 = pack(fd, gen)
        return epoll_ctl(self.epfd, op, fd, &event)

    cdef NoResult other_way(self, int op, int fd, uint32_t gen, uint32_t mask,
                            uint32_t flags) except NoResult.EXC:
        """`op` has failed: maybe the descriptor is not in the set, or is in it already."""
        if op == EPOLL_CTL_MOD and errno == ENOENT:
            op = EPOLL_CTL_ADD
        elif op == EPOLL_CTL_ADD and errno == EEXIST:
            op = EPOLL_CTL_MOD
        else:
            PyErr_SetFromErrno(OSError)
        if self.control(op, fd, gen, mask, flags) < 0:
            PyErr_SetFromErrno(OSError)
        return NoResult.OK

    cdef int wait(self, ns_t timeout_ns) except -1:
        cdef int n
        if timeout_ns == 0:
            # Returns at once, so giving up the GIL would cost more than it gives.
            n = epoll_wait(self.epfd, self.events, MAX_EVENTS, 0)
        elif self.have_pwait2 and timeout_ns > 0:
            if self.slack_ns and timeout_ns < SHORT_NS:
                n = self.wait_short(timeout_ns)
            else:
                with nogil:
                    n = cloop_epoll_pwait2(self.epfd, self.events, MAX_EVENTS, timeout_ns)
        else:
            n = self.wait_ms(timeout_ns)
        if n < 0:
            if errno == EINTR:
                return 0
            PyErr_SetFromErrno(OSError)
        return self.collect(n)

    cdef void enter(self) noexcept:
        cdef int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)
        self.slack_ns = slack_ns if slack_ns > SLACK_NS else 0

    cdef int wait_short(self, ns_t timeout_ns) noexcept:
        """A wait that ends in time."""
        cdef int n
        with nogil:
            prctl(PR_SET_TIMERSLACK, <unsigned long>SLACK_NS, 0, 0, 0)
            n = cloop_epoll_pwait2(self.epfd, self.events, MAX_EVENTS, timeout_ns)
            prctl(PR_SET_TIMERSLACK, <unsigned long>self.slack_ns, 0, 0, 0)
        return n

    cdef int wait_ms(self, ns_t timeout_ns) noexcept:
        """epoll_wait with the time-out in milliseconds, rounded up."""
        cdef int timeout = -1
        cdef int n
        if timeout_ns > 0:
            timeout = <int>min((timeout_ns + NS_PER_MS - 1) // NS_PER_MS, <ns_t>86400000)
        with nogil:
            n = epoll_wait(self.epfd, self.events, MAX_EVENTS, timeout)
        return n

    cdef int collect(self, int n) noexcept:
        cdef int i
        cdef int found = 0
        cdef uint64_t data
        cdef uint32_t events
        cdef uint64_t count
        for i in range(n):
            data = self.events[i].data.u64
            if data == WAKER:
                # The counter is reset by one read; that it was readable is all we want to know.
                read(self.wakefd, &count, sizeof(count))
                continue
            events = self.events[i].events
            self.fired[found].fd = <int><uint32_t>data
            self.fired[found].gen = <uint32_t>(data >> 32)
            self.fired[found].mask = (
                (READ if events & (EPOLLIN | EPOLLHUP | EPOLLERR) else 0)
                | (WRITE if events & (EPOLLOUT | EPOLLHUP | EPOLLERR) else 0))
            found += 1
        return found

    cdef NoResult wake(self) except NoResult.EXC:
        cdef uint64_t one = 1
        # EAGAIN: the counter is full, so the loop is being woken as it is.
        while write(self.wakefd, &one, sizeof(one)) < 0 and errno != EAGAIN:
            if errno == EBADF:
                raise RuntimeError("Event loop is closed")
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
        return NoResult.OK

    def fileno(self):
        return self.epfd

    def features(self):
        return {
            "poller": "epoll",
            "timeout": "epoll_pwait2, ns" if self.have_pwait2 else "epoll_wait, ms",
            "waker": "eventfd",
        }


def new_poller():
    """A poller for a new loop.

    Raises OSError where the process or the system is out of file descriptors.
    """
    return EpollPoller()
