"""The poller contract: which file descriptors fired?

One poller belongs to one loop and its thread; only `wake` may be called from elsewhere. The loop
tells it every change of interest (`update`), waits (`wait`) and reads the records in `fired`.

Interest and readiness are masks of READ and WRITE. An error or hang-up of the peer sets every bit, also
one that is not of the interest, so that whoever waits finds out by doing the system call; who reads the
records takes those of the interest.

A record carries the generation that was given with the interest. The kernel may report a
descriptor after it was closed and its number reused; the loop drops records whose generation is
not current, so that nothing reaches a wrong owner.
"""

from libc.stdint cimport uint32_t

from cloop._c.clock cimport ns_t
from cloop._c.pyapi cimport NoResult

cdef enum:
    READ = 1
    WRITE = 2

cdef struct Fired:
    int fd
    uint32_t gen
    uint32_t mask

cdef class Poller:
    cdef:
        # What the last `wait` found; `wait` returns how many. Owned by the poller.
        Fired *fired

        # The interest of `fd` changes from `old` to `new` (either may be 0). Raises OSError with
        # the kernel's errno (EPERM: the file can't be polled; EBADF: it isn't open) and then has
        # changed nothing. Giving up interest never fails: the kernel may have dropped the
        # descriptor already.
        NoResult update(self, int fd, uint32_t gen, uint32_t old, uint32_t new) except NoResult.EXC

        # One-shot interest in READ or WRITE: after the first record there is none, until the next
        # `arm` or `update`. There was no interest before, or one that `arm` gave. `known`: an entry
        # that has fired may still be in the kernel; being wrong about it costs a system call.
        # Raises as `update`.
        NoResult arm(self, int fd, uint32_t gen, uint32_t direction, bint known) except NoResult.EXC

        # `old` was given by `arm` and has not fired; from now on the interest is `new`, which
        # contains it, and it lasts. Raises as `update`.
        NoResult make_lasting(self, int fd, uint32_t gen, uint32_t old,
                              uint32_t new) except NoResult.EXC

        # Waits `timeout_ns` at most (0: not at all; negative: without limit), never less than
        # asked when nothing fires, and releases the GIL while it sleeps. Returns the number of
        # records; a signal or a wake-up ends it with 0 or more.
        int wait(self, ns_t timeout_ns) except -1

        # The calling thread begins, or ends, to run the loop.
        void enter(self) noexcept
        void leave(self) noexcept

        # Ends the present or the next `wait`. From any thread, and from a signal handler.
        NoResult wake(self) except NoResult.EXC

        # Frees the kernel's objects. Idempotent.
        NoResult close(self) except NoResult.EXC
