"""Small writes go out without waiting for the peer to acknowledge earlier ones."""

# Sets TCP_NODELAY where `sock` is a TCP connection; True if it was set.
cdef bint set_no_delay(object sock) except -1
