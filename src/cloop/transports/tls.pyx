"""TlsTransport; tls.pxd is the manual.

Derived in its rules, order and messages from CPython's asyncio/sslproto.py (PSF License Agreement),
which contains code from uvloop (MIT License, Copyright (c) 2015-2021 MagicStack Inc.).
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject

from cloop._c.pyapi cimport Py_DECREF, cloop_hide_new
from cloop._c.socket cimport MSG_NOSIGNAL, send
from cloop.transports.intake cimport Intake
from cloop.core.shared cimport leave_memory, use_memory
from cloop.transports.scratch cimport LEVELS, bytes_memory, capacity_of, copied, level_for, set_size
from cloop.transports.stream cimport StreamTransport
from cloop.transports.tls_engine cimport AGAIN, RECORD, REFUSED, WHOLE_RECORD, TlsEngine

cdef extern from *:
    # NULL is looked at by hand: there is something to be given back first.
    PyObject *call_method "PyObject_CallMethodOneArg"(object self, object name, object argument)

cdef enum:
    # decrypt() has filled the memory: there may be more.
    FULL = 1
    # What is offered where next to nothing has come: an end is not seen with no room at all.
    LEAST = 64


cdef bytes copy_of(object data):
    """Its bytes, which nobody can change."""
    cdef Py_buffer view
    if type(data) is bytes:
        return data
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<const char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef class TlsTransport(TlsBase):
    """TLS over another transport, of which it is the protocol."""

    # ---- Reading

    cdef NoResult read_on(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        if self.reading_paused:
            if size:
                self.engine.feed(start, size)
                leave_memory()
            return self.control_reading()
        if self.buffered:
            if size:
                self.engine.feed(start, size)
                leave_memory()
            self.read_buffered()
        elif self.intake is not None and self.engine.direct and self.intake.open_block():
            self.read_intake(start, size)
        else:
            self.read_data(start, size)
        if self.backlog is not None:
            self.write_backlog()
        else:
            self.send_out()
        return self.control_reading()

    cdef NoResult read_data(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        """Decrypt all that there is and deliver it by one call."""
        cdef int level = max(level_for(size + self.engine.unread()), 1)
        cdef PyObject *data = self.scratch.take(level)
        cdef Py_ssize_t n = 0
        cdef Py_ssize_t status
        try:
            status = self.decrypt(bytes_memory(data), capacity_of(level), &start, &size, &n)
        except BaseException:
            leave_memory()
            self.scratch.give(level, data)
            raise
        if status == FULL:
            return self.read_much(data, level, start, size)
        self.deliver(data, level, n)
        if status == 0:
            self.tell_end()
            return self.start_shutdown()
        return NoResult.OK

    cdef Py_ssize_t decrypt(self, char *to, Py_ssize_t capacity, const char **start,
                            Py_ssize_t *size, Py_ssize_t *filled) except -2:
        """Fill the memory: AGAIN, 0 for close_notify, or FULL. Advances `start` to what is not fed.

        It is fed by the record, so that the engine never has to keep much.
        """
        cdef TlsEngine engine = self.engine
        cdef Py_ssize_t step = size[0]
        cdef Py_ssize_t n
        while True:
            if size[0]:
                step = min(size[0], <Py_ssize_t>WHOLE_RECORD) if engine.direct else size[0]
                engine.feed(start[0], step)
                start[0] += step
                size[0] -= step
            if size[0] == 0:
                leave_memory()
            while True:
                n = engine.read(to + filled[0], capacity - filled[0])
                if n <= 0:
                    break
                filled[0] += n
                if filled[0] == capacity:
                    return FULL
                if engine.direct and engine.unread() == 0:
                    # A record that was read to its end, and no other.
                    n = AGAIN
                    break
            if n == REFUSED:
                if size[0]:
                    engine.feed(start[0], size[0])
                    size[0] = 0
                    leave_memory()
                n = engine.read_again()
            if n == 0 or size[0] == 0:
                leave_memory()
                return n

    cdef NoResult read_intake(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        """Decrypt all that there is to where a StreamReader reads it."""
        cdef Intake intake = self.intake
        cdef Py_ssize_t room = max(size + self.engine.unread(), <Py_ssize_t>LEAST)
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t n
        cdef Py_ssize_t status = FULL
        cdef char *to
        while status == FULL:
            n = 0
            to = intake.reserve(room)
            try:
                status = self.decrypt(to, room, &start, &size, &n)
            finally:
                # Also before a record that is refused.
                intake.fill(to, n)
            total += n
            room = RECORD
        if total:
            intake.delivered()
        if status == 0:
            self.tell_end()
            return self.start_shutdown()
        return NoResult.OK

    cdef NoResult read_much(self, PyObject *first, int level, const char *start,
                            Py_ssize_t size) except NoResult.EXC:
        """There is more than one object holds: join several."""
        cdef Py_ssize_t n = capacity_of(level)
        cdef Py_ssize_t status = FULL
        cdef PyObject *memory
        cdef list pieces
        set_size(first, n)
        # Before anything that the collector may be called by.
        self.engine.feed(start, size)
        leave_memory()
        size = 0
        pieces = [<object>first]
        Py_DECREF(first)
        while status == FULL:
            memory = self.scratch.take(LEVELS)
            n = 0
            try:
                status = self.decrypt(bytes_memory(memory), capacity_of(LEVELS), &start, &size, &n)
                pieces.append(PyBytes_FromStringAndSize(bytes_memory(memory), n))
            finally:
                self.scratch.give(LEVELS, memory)
        try:
            self.protocol.data_received(b"".join(pieces))
        except BaseException:
            self.blamed = True
            raise
        if status == 0:
            self.tell_end()
            return self.start_shutdown()
        return NoResult.OK

    cdef NoResult deliver(self, PyObject *data, int level, Py_ssize_t n) except NoResult.EXC:
        """Give the protocol the first `n` bytes of a spare object, and that back to where it is from."""
        cdef object protocol = self.protocol
        cdef PyObject *result
        cdef PyObject *copy
        if n == 0:
            self.scratch.give(level, data)
            return NoResult.OK
        if self.keeps or 4 * n < capacity_of(level):
            copy = copied(bytes_memory(data), n)
            self.scratch.give(level, data)
            if copy == NULL:
                return NoResult.EXC
            data = copy
            level = 0
        else:
            set_size(data, n)
        result = call_method(protocol, "data_received", <object>data)
        if level == 0:
            Py_DECREF(data)
        elif not self.scratch.give(level, data):
            self.keeps = True
        if result == NULL:
            self.blamed = True
            return NoResult.EXC
        Py_DECREF(result)
        return NoResult.OK

    cdef NoResult read_buffered(self) except NoResult.EXC:
        """Decrypt into the protocol's buffer."""
        cdef Py_buffer view
        cdef object protocol = self.protocol
        cdef TlsEngine engine = self.engine
        cdef Py_ssize_t filled = 0
        cdef Py_ssize_t n = AGAIN
        try:
            buffer = protocol.get_buffer(engine.unread())
        except BaseException:
            self.blamed = True
            raise
        try:
            PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        except BaseException:
            raise TypeError("read() argument 2 must be read-write bytes-like object, not "
                            f"{type(buffer).__name__}") from None
        try:
            if view.len == 0:
                raise RuntimeError("get_buffer() returned an empty buffer")
            while filled < view.len:
                n = engine.read(<char *>view.buf + filled, view.len - filled)
                if n == REFUSED:
                    n = engine.read_again()
                if n <= 0:
                    break
                filled += n
            else:
                self.loop.call_soon(self._do_read, context=self.context)
        finally:
            PyBuffer_Release(&view)
        if filled:
            try:
                protocol.buffer_updated(filled)
            except BaseException:
                self.blamed = True
                raise
        if n == 0:
            self.tell_end()
            return self.start_shutdown()
        return NoResult.OK

    # ---- Writing

    cpdef write(self, data):
        """Encrypt and send bytes, a bytearray or a memoryview."""
        cdef Py_buffer view
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
        if not data:
            return
        if self.is_over():
            self.count_lost_write()
            return
        try:
            if type(data) is bytes:
                self.put_bytes(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
                return
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
            try:
                self.put_bytes(<const char *>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
        except Exception as exc:
            self.fatal_error(exc, "Fatal error on SSL protocol")

    def writelines(self, list_of_data):
        """Encrypt and send several bytes-like objects, each in records of its own."""
        if self.is_over():
            self.count_lost_write()
            return
        # All of them first: what has no length raises here, as in asyncio.
        cdef list pieces = [data for data in list_of_data if len(data)]
        try:
            self.put([data for data in [copy_of(piece) for piece in pieces] if data])
        except Exception as exc:
            self.fatal_error(exc, "Fatal error on SSL protocol")

    cdef bint is_straight(self) except -1:
        """Whether what is written goes through the shared memory to the kernel."""
        return (self.state == WRAPPED and self.backlog is None and self.stream is not None
                and self.straight and not self.below_full)

    cdef NoResult put_bytes(self, const char *start, Py_ssize_t size) except NoResult.EXC:
        cdef Py_ssize_t made = 0
        if size == 0:
            return NoResult.OK
        self.make_room()
        if not self.is_straight():
            if self.kernel and self.may_pass():
                self.stream.put(None, start, size)
                return self.control_writing()
            return self.put([PyBytes_FromStringAndSize(start, size)])
        self.put_part(start, size, &made)
        return self.end_put(&made)

    cdef NoResult end_put(self, Py_ssize_t *made) except NoResult.EXC:
        self.send_made(made)
        # What the engine has not taken is waiting for an answer to what it has made, as a rule.
        return self.control_writing() if self.backlog is None else self.send_out()

    cdef NoResult put(self, list pieces) except NoResult.EXC:
        cdef Py_ssize_t made = 0
        cdef Py_ssize_t i
        self.make_room()
        if self.is_straight():
            for i in range(PyList_GET_SIZE(pieces)):
                self.put_part(PyBytes_AS_STRING(pieces[i]), PyBytes_GET_SIZE(pieces[i]), &made)
            return self.end_put(&made)
        if self.backlog is None:
            self.backlog = []
        self.backlog.extend(pieces)
        for i in range(PyList_GET_SIZE(pieces)):
            self.backlog_size += PyBytes_GET_SIZE(pieces[i])
        return self.write_backlog() if self.state == WRAPPED else NoResult.OK

    cdef NoResult put_part(self, const char *start, Py_ssize_t size,
                           Py_ssize_t *made) except NoResult.EXC:
        """Encrypt one piece behind the `made` bytes in the shared memory, which is sent when full."""
        cdef Py_ssize_t n
        while size > 0:
            n = AGAIN if self.backlog is not None else self.encrypt(start, size, made)
            if n == AGAIN or n == REFUSED:
                # First what is made: the rest may run code.
                if self.send_made(made):
                    return NoResult.OK
                if n == REFUSED:
                    n = self.engine.write_again(start, min(size, <Py_ssize_t>RECORD))
            if n == AGAIN:
                if self.backlog is None:
                    self.backlog = []
                self.backlog.append(PyBytes_FromStringAndSize(start, size))
                self.backlog_size += size
                return NoResult.OK
            start += n
            size -= n
            if size > 0 and self.send_made(made):
                return NoResult.OK
        return NoResult.OK

    cdef Py_ssize_t encrypt(self, const char *start, Py_ssize_t size, Py_ssize_t *made) except -2:
        """Fill the shared memory with records: how much of the piece is in them, or AGAIN."""
        cdef TlsEngine engine = self.engine
        cdef char *memory = self.scratch.memory
        cdef Py_ssize_t capacity = self.scratch.size
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t n
        while done < size and made[0] + 2 * WHOLE_RECORD <= capacity:
            n = engine.write(start + done, min(size - done, <Py_ssize_t>RECORD))
            if n == AGAIN or n == REFUSED:
                return n if done == 0 else done
            done += n
            if made[0] == 0:
                use_memory()
            # Records that had to be sent for other reasons are before it.
            made[0] += engine.take(memory + made[0], capacity - made[0])
        return done

    cdef bint send_made(self, Py_ssize_t *made) except -1:
        """Send what is in the shared memory; whether the connection has ended by that."""
        cdef StreamTransport stream = self.stream
        cdef Py_ssize_t n = made[0]
        made[0] = 0
        if stream is None:
            leave_memory()
            return True
        if n:
            stream.put(None, self.scratch.memory, n)
        return stream.conn_lost != 0 or self.state == UNWRAPPED

    cdef NoResult write_backlog(self) except NoResult.EXC:
        cdef list pieces = self.backlog
        cdef Py_ssize_t gone = 0
        cdef Py_ssize_t size, n
        cdef bytes piece
        if self.kernel:
            return self.pass_on()
        try:
            while pieces is not None and gone < PyList_GET_SIZE(pieces):
                piece = <bytes>pieces[gone]
                size = PyBytes_GET_SIZE(piece) - self.backlog_offset
                n = self.engine.write(PyBytes_AS_STRING(piece) + self.backlog_offset,
                                      min(size, <Py_ssize_t>RECORD))
                if n == REFUSED:
                    n = self.engine.write_again(PyBytes_AS_STRING(piece) + self.backlog_offset,
                                                min(size, <Py_ssize_t>RECORD))
                if n == AGAIN:
                    break
                self.backlog_size -= n
                self.backlog_offset += n
                if n == size:
                    self.backlog_offset = 0
                    pieces[gone] = None
                    gone += 1
        finally:
            if gone:
                del pieces[:gone]
        if not pieces:
            self.backlog = None
        return self.send_out()

    cdef NoResult send_out(self) except NoResult.EXC:
        """Pass what the engine has made on to the transport below."""
        cdef StreamTransport stream = self.stream
        cdef Py_ssize_t n
        self.make_room()
        if not self.below_full and self.transport is not None:
            if stream is not None and self.straight:
                while True:
                    use_memory()
                    n = self.engine.take(self.scratch.memory, self.scratch.size)
                    if n == 0:
                        leave_memory()
                    if n == 0 or self.send_made(&n):
                        break
            elif self.kernel:
                return self.pass_on()
            else:
                data = self.engine.outgoing.read()
                if data and stream is not None:
                    stream.put(<bytes>data, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
                elif data:
                    self.transport.write(data)
        return self.control_writing()

    cdef NoResult send_alert(self) except NoResult.EXC:
        cdef StreamTransport stream = self.stream
        cdef bytes data = self.engine.outgoing.read()
        try:
            if stream is None:
                if data:
                    self.transport.write(data)
            elif not stream.conn_lost and self.is_idle():
                # Where it fails, the reason for the end is still the one that there was before.
                if self.kernel:
                    self.engine.send_records(stream.live_fd())
                elif data:
                    send(stream.live_fd(), PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_NOSIGNAL)
        except Exception:
            pass
        return NoResult.OK

    # ---- Where the kernel makes the records

    cdef bint may_pass(self) except -1:
        """Whether plaintext may go to the socket: nothing has to be sent before it."""
        return (self.state == WRAPPED and self.backlog is None and self.stream is not None
                and not self.below_full and not self.engine.has_records()
                and not self.engine.has_to_speak())

    cdef bint pass_records(self) except -1:
        """Send the engine's records, behind all that was passed on: whether that could be done."""
        if not self.engine.has_records():
            return True
        if not self.is_idle():
            return False
        cdef bint done = True
        try:
            done = self.engine.send_records(self.stream.live_fd())
        except OSError as exc:
            self.stream.fatal_error(exc, "Fatal write error on socket transport")
        return done

    cdef NoResult pass_on(self) except NoResult.EXC:
        """Send the engine's records, and then what waits behind them."""
        cdef StreamTransport stream = self.stream
        cdef TlsEngine engine = self.engine
        cdef bint spoken = True
        if not self.kernel or stream is None or self.below_full or stream.conn_lost:
            return self.control_writing()
        if (self.backlog is not None or self.file_waiter is not None) and engine.has_to_speak():
            # It is for before what waits, and behind what was passed on. If it takes an answer, that is read.
            spoken = engine.speak() != AGAIN
        if not self.pass_records():
            self.hold()
        elif spoken and self.backlog is not None and not stream.conn_lost:
            self.pass_pieces(stream)
        return self.control_writing()

    cdef NoResult pass_pieces(self, StreamTransport stream) except NoResult.EXC:
        """Give the transport below what waits."""
        stream.make_room()
        cdef list pieces = self.backlog
        cdef Py_ssize_t size = self.backlog_size
        self.backlog = None
        self.backlog_size = 0
        return stream.put_pieces(pieces, size)

    cdef NoResult hold(self) except NoResult.EXC:
        """Pass nothing on until all that was is with the kernel, and that takes more."""
        cdef StreamTransport stream = self.stream
        stream.flush()
        self.held = self.below_full = True
        stream.empty_waiter = Release(self)
        if stream.queued == 0:
            stream.wait_writable()
        return NoResult.OK

    cdef NoResult go_on_writing(self) except NoResult.EXC:
        """All that was passed on is with the kernel."""
        self.held = self.below_full = False
        self.pass_on()
        if self.file_waiter is not None and not self.file_waiter.done() and not self.held:
            self.start_file()
        return self.end_after_backlog()

    # asyncio's private names, for sendfile: as those of a StreamTransport.

    def _make_empty_waiter(self):
        if self.file_waiter is not None:
            raise RuntimeError("Empty waiter is already set")
        self.file_waiter = self.loop.create_future()
        if not self.held:
            self.pass_on()
        if not self.held:
            self.start_file()
        return self.file_waiter

    cdef NoResult start_file(self) except NoResult.EXC:
        """The file is next, once everything before it is with the kernel."""
        if self.stream is None or self.stream.conn_lost or self.closed:
            self.file_waiter.set_exception(ConnectionError("Connection is closed by peer"))
            return NoResult.OK
        if self.waits() or not self.is_idle():
            return self.hold()
        self.held = self.below_full = self.file_goes = True
        self.file_waiter.set_result(None)
        return NoResult.OK

    def _wait_with(self, future):
        if self.stream is not None:
            self.stream.empty_waiter = future

    def _reset_empty_waiter(self):
        self.file_waiter = None
        if not self.file_goes:
            return
        self.file_goes = False
        if self.stream is None:
            return
        self.stream.empty_waiter = None
        try:
            self.go_on_writing()
        except Exception as exc:
            self.fatal_error(exc, "Fatal error on SSL protocol")


# Programs look for "SSL" in the name of a transport's type.
(<PyTypeObject *>TlsTransport).tp_name = "cloop.transports.tls._SSLProtocolTransport"


cdef class Release:
    """The end of a hold, for a StreamTransport whose queue becomes empty."""

    def __cinit__(self, TlsTransport transport not None):
        self.transport = transport

    def done(self):
        """Whether nobody waits any more: never."""
        return False

    def set_result(self, result):
        """Go on."""
        cdef TlsTransport transport = self.transport
        if transport.stream is None or transport.stream.empty_waiter is not self:
            return
        transport.stream.empty_waiter = None
        try:
            transport.go_on_writing()
        except Exception as exc:
            transport.fatal_error(exc, "Fatal error on SSL protocol")

    def set_exception(self, exception):
        """The connection is lost, which the transport learns otherwise."""


cloop_hide_new(<PyTypeObject *>TlsTransport)
