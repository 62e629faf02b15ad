"""The pace of a loop's sends; outbox.pxd is the manual."""

cdef class Outbox:
    """Whether the loop's sends are held."""

    cdef void sample(self) noexcept:
        cdef ns_t now = monotonic_ns()
        cdef ns_t each = (now - self.since) // SAMPLE
        self.holds = CLOOP_MSG_MORE != 0 and HOLD_FROM_NS <= each <= HOLD_TO_NS
        self.since = now
        self.sends = 0
