"""What must not be while memory that connections share is in use, which debug builds check.

From the moment when something of one connection is put there until it is with the kernel, or copied to
where it belongs, nobody else's code may run: it could put something of another connection in its place.
Such code is not only what is called. Up to CPython 3.11 whatever makes an object that the collector
tracks (a list, an exception, a bound method) may run the collector, and with it finalizers.

So whoever fills such memory says use_memory(), and leave_memory() when it is done with it; and what runs
code, or may run some, says code_may_run(). Debug builds end the process where both come together.
Elsewhere none of this is there.
"""

from cloop._c.pyapi cimport CLOOP_DEBUG

cdef void set_used(bint used) noexcept
cdef void check_unused() noexcept

cdef inline void use_memory() noexcept:
    if CLOOP_DEBUG:
        check_unused()
        set_used(True)

cdef inline void leave_memory() noexcept:
    if CLOOP_DEBUG:
        set_used(False)

cdef inline void code_may_run() noexcept:
    if CLOOP_DEBUG:
        check_unused()
