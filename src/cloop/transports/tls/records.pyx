"""Records; records.pxd is the manual."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from cloop._c.pyapi cimport PyContext_CopyCurrent
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.tls.engine cimport AGAIN, RECORD, REFUSED, WHOLE_RECORD


cpdef object context_of(transport):
    """The contextvars.Context that the callbacks of a transport run in."""
    context = getattr(transport, "_context", None)
    return PyContext_CopyCurrent() if context is None else context


cdef class Records:
    """The bytes of a TLS connection."""

    cdef NoResult set_below(self, object transport) except NoResult.EXC:
        self.below = transport
        self.stream = <StreamTransport>transport if type(transport) is StreamTransport else None
        return NoResult.OK

    # ---- Out

    cdef Py_ssize_t encrypt(self, const char *start, Py_ssize_t size, Py_ssize_t *made,
                            bint all) except -1:
        cdef TlsEngine engine = self.engine
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t step, n
        if made[0] == 0 and self.stream is not None:
            self.stream.make_room()
        while done < size and (all or not self.below_full):
            step = min(size - done, <Py_ssize_t>RECORD)
            self.at_work = True
            try:
                n = engine.write(start + done, step)
                if n == REFUSED:
                    # First what is made: the rest runs code of Python's.
                    self.pass_on(made)
                    n = engine.write_again(start + done, step)
            finally:
                self.at_work = False
            if n == AGAIN:
                break
            done += n
            self.collect(made)
        return done

    cdef NoResult collect(self, Py_ssize_t *made) except NoResult.EXC:
        """Take the engine's records to where they can be sent from; what others do not take stays there."""
        cdef Py_ssize_t capacity = self.scratch.size
        if self.stream is None or not self.engine.direct:
            return NoResult.OK
        if made[0] == 0:
            use_memory()
        # Also such that had to be made for other reasons.
        made[0] += self.engine.take(self.scratch.memory + made[0], capacity - made[0])
        if made[0] + 2 * WHOLE_RECORD > capacity:
            return self.pass_on(made)
        return NoResult.OK

    cdef NoResult pass_on(self, Py_ssize_t *made) except NoResult.EXC:
        cdef Py_ssize_t n = made[0]
        made[0] = 0
        if n == 0:
            return self.send_out()
        if self.stream is None:
            # The connection was lost meanwhile.
            leave_memory()
            return NoResult.OK
        return self.stream.put(None, self.scratch.memory, n)

    cdef NoResult send_out(self) except NoResult.EXC:
        cdef StreamTransport stream = self.stream
        cdef Py_ssize_t made = 0
        if self.below is None or self.engine.unsent() == 0:
            return NoResult.OK
        if stream is not None and self.engine.direct:
            stream.make_room()
            self.collect(&made)
            return self.pass_on(&made)
        data = self.engine.take_all()
        if stream is not None:
            return stream.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        self.below.write(data)
        return NoResult.OK

    cdef NoResult send_alert(self) except NoResult.EXC:
        cdef StreamTransport stream = self.stream
        cdef bytes data = self.engine.take_all()
        try:
            if stream is None:
                if data:
                    self.below.write(data)
            elif data and not stream.conn_lost:
                stream.flush()
                if not stream.queued:
                    # Where that fails, the reason for the end is still the one that there was before.
                    stream.send_memory(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        except Exception:
            pass
        return NoResult.OK

    # ---- In

    cdef NoResult feed(self, const char **start, Py_ssize_t *size) except NoResult.EXC:
        cdef Py_ssize_t n = size[0]
        size[0] = 0
        if n:
            self.engine.feed(start[0], n)
        leave_memory()
        return NoResult.OK

    cdef int decrypt(self, char *to, Py_ssize_t capacity, const char **start, Py_ssize_t *size,
                     Py_ssize_t *filled) except -2:
        cdef TlsEngine engine = self.engine
        cdef Py_ssize_t step
        cdef Py_ssize_t n = AGAIN
        while True:
            if size[0]:
                step = min(size[0], <Py_ssize_t>WHOLE_RECORD) if engine.direct else size[0]
                engine.feed(start[0], step)
                start[0] += step
                size[0] -= step
            if size[0] == 0:
                leave_memory()
            while filled[0] < capacity:
                n = engine.read(to + filled[0], capacity - filled[0])
                if n <= 0:
                    break
                filled[0] += n
                if engine.direct and engine.unread() == 0 and filled[0] < capacity:
                    # A record that was read to its end, and no other.
                    n = AGAIN
                    break
            if n != AGAIN or size[0] == 0:
                self.feed(start, size)
                return FULL if n > 0 else <int>n
