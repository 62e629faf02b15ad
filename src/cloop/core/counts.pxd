"""What is counted in builds with CLOOP_DEBUG=1 only, for the tests: live objects by kind, the leak oracle;
and work that was done, since the process began.
"""

# `live` is a counter that lives as long as the process; a kind is registered once.
cdef int register(str kind, long *live) except -1
cdef int register_total(str kind, long *done) except -1
