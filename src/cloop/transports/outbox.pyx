"""When the stream transports of one loop send; outbox.pxd is the manual."""

from cloop._c.clock cimport thread_ns


cdef class Outbox:
    """Whether the loop's sends are held."""

    def __cinit__(self):
        self.windows = self.pause = FIRST_PAUSE

    cdef void end_window(self) noexcept:
        """Choose for the next window by what this one has cost.

        CPU time and not time: what the loop waits for its peers says nothing of either way.
        """
        cdef ns_t now = thread_ns()
        cdef ns_t each = (now - self.since) // self.sends
        self.sends = 0
        self.since = now
        if each > HOLD_TO_NS or CLOOP_MSG_MORE == 0:
            self.holds = False
            self.left = 0
            self.windows = self.pause
        elif self.left == 0:
            self.windows -= 1
            if self.windows <= 0:
                self.left = TRIAL
                self.usual = self.other = 0
                self.holds = not self.holds
        else:
            # The first window of a trial is the other way's, the last one the usual way's.
            if self.left % 2 == 0:
                self.other += each
            else:
                self.usual += each
            self.left -= 1
            if self.left == 0:
                self.end_trial()
            else:
                self.holds = not self.holds

    cdef void end_trial(self) noexcept:
        if self.other * 100 < self.usual * WIN_PERCENT:
            self.holds = not self.holds
            self.pause = FIRST_PAUSE
        else:
            self.pause = min(2 * self.pause, LAST_PAUSE)
        self.windows = self.pause
