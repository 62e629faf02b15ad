"""Steps; step.pxd is the manual."""

cdef extern from "compat.h":
    bint cloop_drop_errors(int fd) noexcept
    bint cloop_has_ended(int fd) noexcept

# In seconds. Longer than a turn, shorter than what anybody would call slow.
cdef double MOMENT = 0.005


cdef class Step:
    """A step of a transport, or of an operation on a socket, as a callable."""

    def __call__(self):
        if self.run != NULL:
            self.run(self.owner)

    def __repr__(self):
        return repr(self.owner)


cdef Step new_step(object owner, run_t run):
    cdef Step step = Step()
    step.owner = owner
    step.run = run
    return step


cdef NoResult in_a_moment(Reactor loop, object owner, run_t run) except NoResult.EXC:
    loop.call_later(MOMENT, new_step(owner, run))
    return NoResult.OK


cdef bint drop_errors(int fd) noexcept:
    return cloop_drop_errors(fd)


cdef bint has_ended(int fd) noexcept:
    return cloop_has_ended(fd)
