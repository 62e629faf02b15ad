"""The inbox; inbox.pxd is the manual."""

from cloop._c.pyapi cimport CLOOP_LOCK, CLOOP_UNLOCK

cdef extern from *:
    """
    #define raise_flag(flag) __atomic_store_n(flag, 1, __ATOMIC_SEQ_CST)
    #ifdef Py_GIL_DISABLED
    /* What was posted must be seen before the flag is read. */
    #define is_up(flag) (__atomic_thread_fence(__ATOMIC_SEQ_CST), __atomic_load_n(flag, __ATOMIC_RELAXED))
    #else
    #define is_up(flag) __atomic_load_n(flag, __ATOMIC_RELAXED)
    #endif
    #define lower_flag(flag) __atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST)
    #define load_count(count) __atomic_load_n(count, __ATOMIC_SEQ_CST)
    """
    void raise_flag(int *flag) nogil
    bint is_up(int *flag) nogil
    int lower_flag(int *flag) nogil
    size_t load_count(size_t *count) nogil

cdef class Inbox:
    """What other threads want the loop to run."""

    def __cinit__(self, Poller poller not None):
        self.poller = poller
        self.waiting = Ready()

    cdef NoResult post(self, object owner, run_t run) except NoResult.EXC:
        CLOOP_LOCK(&self.mutex)
        try:
            self.waiting.push(owner, run)
        finally:
            CLOOP_UNLOCK(&self.mutex)
        return self.wake()

    cdef NoResult wake(self) except NoResult.EXC:
        # A look first: exchanging locks the bus, and the loop is mostly awake while others post.
        if is_up(&self.sleeping) and lower_flag(&self.sleeping):
            try:
                self.poller.wake()
            except BaseException:
                # It sleeps still: the next post is to try again.
                raise_flag(&self.sleeping)
                raise
        return NoResult.OK

    cdef bint fall_asleep(self) noexcept:
        # The flag before the look: whoever posts after the look finds the flag up.
        raise_flag(&self.sleeping)
        if load_count(&self.waiting.count):
            lower_flag(&self.sleeping)
            return False
        return True

    cdef void awake(self) noexcept:
        lower_flag(&self.sleeping)

    cdef bint has_any(self) noexcept:
        return load_count(&self.waiting.count) != 0

    cdef NoResult drain(self, Ready ready) except NoResult.EXC:
        CLOOP_LOCK(&self.mutex)
        try:
            ready.take_all(self.waiting)
        finally:
            CLOOP_UNLOCK(&self.mutex)
        return NoResult.OK
