"""When the stream transports of one loop send; outbox.pxd is the manual."""

from cloop._c.clock cimport thread_ns


cdef class Outbox:
    """Whether the loop's sends are held."""

    def __cinit__(self):
        self.windows = self.pause = FIRST_TRY

    cdef void end_window(self) noexcept:
        """Choose for the next window by what this one has cost.

        CPU time and not time: what the loop waits for its peers says nothing of either way.
        """
        cdef ns_t now = thread_ns()
        cdef ns_t each = (now - self.since) // self.sends
        self.sends = 0
        self.since = now
        if self.trying:
            self.end_try(each)
        else:
            self.before = each
            self.windows -= 1
            self.trying = self.windows <= 0 and CLOOP_MSG_MORE != 0
            if self.trying:
                self.holds = not self.holds
        if each > HOLD_TO_NS:
            self.holds = self.trying = False

    cdef void end_try(self, ns_t each) noexcept:
        self.trying = False
        if each * 100 >= self.before * WIN_PERCENT:
            # Back to the usual way.
            self.holds = not self.holds
            self.won = False
            self.pause = min(2 * self.pause, LAST_TRY)
        elif self.won:
            # What was tried is usual from now on.
            self.before = each
            self.won = False
            self.pause = FIRST_TRY
        else:
            # Maybe by chance: once more, soon.
            self.holds = not self.holds
            self.won = True
            self.windows = 1
            return
        self.windows = self.pause
