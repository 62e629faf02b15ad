"""Live objects by kind, counted in builds with CLOOP_DEBUG=1 only: the tests' leak oracle."""

# `live` is a counter that lives as long as the process; a kind is registered once.
cdef int register(str kind, long *live) except -1
