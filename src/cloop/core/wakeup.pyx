"""The wake-up descriptor; wakeup.pxd is the manual."""

import os
import signal
import threading
import weakref

from posix.unistd cimport close as close_fd
from posix.unistd cimport read, write

from cloop._c.pyapi cimport PyErr_CheckSignals, PySignal_SetWakeupFd, PyThread_get_thread_ident
from cloop.core.handle cimport Handle, drop, run_handle
from cloop.poll.poller cimport READ

cdef enum:
    # Read at once; and where as many numbers are waiting, a pipe may have been full: four KiB is
    # what it holds at least.
    CHUNK = 4096
    # Enough for one look; what comes meanwhile waits for the next.
    MOST = 16 * CHUNK

# All that have a pipe. If one closes that another has replaced, the other must not give the place
# back to it.
cdef object pipes = weakref.WeakSet()


cdef bint in_main_thread() noexcept:
    # Not kept: after a fork it is the thread that forked.
    try:
        return threading.main_thread().ident == PyThread_get_thread_ident()
    except BaseException:
        return False


cdef tuple identity_of(int fd):
    """Which file a descriptor is open on; None where it is not open."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Noted(set):
    """The signals that came, by the interpreter's account: the handler that Python is given.

    It counts a signal once, however often it comes before Python looks, but misses none; the pipe
    tells every one, until it is full. (Nothing here leads to the loop, which the interpreter would
    keep alive.)
    """

    def __call__(self, signum, frame):
        self.add(signum)


cdef class Wakeup:
    """The pipe of one loop that signals are written into."""

    def __cinit__(self, WatchTable watches):
        self.watches = watches
        self.reader = self.writer = self.previous = -1

    def __dealloc__(self):
        if self.reader >= 0:
            close_fd(self.reader)
        if self.writer >= 0:
            close_fd(self.writer)

    cdef NoResult enter(self) except NoResult.EXC:
        self.in_main = in_main_thread()
        if self.in_main and self.writer < 0:
            try:
                self.open_pipe()
            except OSError:
                pass
        return NoResult.OK

    cdef void leave(self) noexcept:
        self.in_main = False

    cdef NoResult open_pipe(self) except NoResult.EXC:
        reader, writer = os.pipe()
        try:
            os.set_blocking(reader, False)
            os.set_blocking(writer, False)
            self.reader = reader
            self.watch_quietly()
        except BaseException:
            self.reader = -1
            os.close(reader)
            os.close(writer)
            raise
        self.writer = writer
        pipes.add(self)
        return NoResult.OK

    cdef NoResult watch_quietly(self) except NoResult.EXC:
        """Watch the pipe; a busy loop, which sees signals anyway, need not poll for it."""
        self.watches.watch(self.reader, READ, self, run_quietly)
        self.watches.quiet = 1
        return NoResult.OK

    # ---- While the loop waits

    cdef NoResult take_place(self) except NoResult.EXC:
        cdef int found
        self.previous = PySignal_SetWakeupFd(self.writer)
        if self.previous == self.writer:
            self.previous = -1
        try:
            PyErr_CheckSignals()
        except BaseException:
            self.leave_place()
            raise
        # Code of a handler may have set another one, and have got ours as the previous one.
        found = PySignal_SetWakeupFd(self.writer)
        if found != self.writer:
            self.previous = found
            self.known = True
        return NoResult.OK

    cdef NoResult leave_place(self) except NoResult.EXC:
        cdef int found = PySignal_SetWakeupFd(self.previous)
        if found != self.writer:
            PySignal_SetWakeupFd(found)
            self.known = True
        elif self.previous >= 0:
            self.forward()
        return NoResult.OK

    cdef NoResult forward(self) except NoResult.EXC:
        """What came in our place is the other's."""
        cdef bytes numbers = self.read_all()
        cdef const char *start = numbers
        if numbers:
            # As the interpreter would: without waiting, and where it is full there is one already.
            write(self.previous, start, len(numbers))
        return NoResult.OK

    cdef bytes read_all(self):
        cdef char buffer[CHUNK]
        cdef Py_ssize_t n = CHUNK
        cdef bytes found = b""
        while n == CHUNK and len(found) < MOST and self.reader >= 0:
            n = read(self.reader, buffer, CHUNK)
            if n > 0:
                found += buffer[:n]
        return found

    # ---- While the loop has handlers

    def hold(self, Handle handle):
        """Take the place for as long as there are handlers; again, if somebody else took it.

        `handle` is run when there are signals to read. Raises ValueError outside of the main thread,
        OSError.
        """
        cdef bint opened = self.writer < 0
        cdef int previous
        if opened:
            self.open_pipe()
        elif not self.held:
            # What ended a wait in the past is not for the handlers to come.
            self.read_all()
        try:
            # A full pipe is no news: see `Noted`.
            previous = signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)
        except BaseException:
            if opened:
                self.close_pipe()
            raise
        if previous != self.writer:
            self.previous = previous
            self.identity = identity_of(previous)
        if self.noted is None:
            self.noted = Noted()
        if not self.held:
            self.held = True
            self.watches.watch(self.reader, READ, handle, run_handle)
            self.watches.quiet = 0

    def let_go(self):
        """There are no handlers any more: give the place back."""
        if not self.held:
            return
        cdef object handle = self.watches.unwatch(self.reader, READ)
        self.restore_place()
        self.watch_quietly()
        if isinstance(handle, Handle):
            drop(<Handle>handle)

    cdef NoResult restore_place(self) except NoResult.EXC:
        cdef int successor = -1
        self.held = False
        # Closed by its owner, the number may be somebody else's by now.
        if self.previous >= 0 and identity_of(self.previous) == self.identity:
            successor = self.previous
        self.clear_place(successor)
        self.previous = -1
        return NoResult.OK

    cdef NoResult clear_place(self, int successor) except NoResult.EXC:
        """Put the successor where ours is: in the place, or in the memory of another loop."""
        cdef Wakeup other
        cdef int found = PySignal_SetWakeupFd(successor)
        if found != self.writer:
            PySignal_SetWakeupFd(found)
        for each in list(pipes):
            other = each
            if other is not self and other.previous == self.writer:
                other.previous = successor
                other.identity = self.identity
        return NoResult.OK

    def read(self):
        """The numbers of the signals that came, in their order, as bytes; b"" if there are none."""
        return self.read_all()

    # ---- The end

    cdef NoResult close(self) except NoResult.EXC:
        if self.writer < 0:
            return NoResult.OK
        if self.held:
            self.restore_place()
        elif self.known:
            self.clear_place(-1)
        return self.close_pipe()

    cdef NoResult close_pipe(self) except NoResult.EXC:
        cdef int reader = self.reader
        cdef int writer = self.writer
        self.watches.unwatch(reader, READ)
        self.watches.quiet = 0
        self.reader = self.writer = -1
        pipes.discard(self)
        close_fd(reader)
        close_fd(writer)
        return NoResult.OK

    cdef NoResult forget(self) except NoResult.EXC:
        cdef int found
        if self.writer < 0:
            return NoResult.OK
        # Signals of the child are none of the parent's business.
        found = PySignal_SetWakeupFd(-1)
        if found != self.writer:
            PySignal_SetWakeupFd(found)
        self.held = self.in_main = False
        close_fd(self.reader)
        close_fd(self.writer)
        self.reader = self.writer = self.previous = -1
        pipes.discard(self)
        return NoResult.OK


cdef NoResult run_quietly(object owner) except NoResult.EXC:
    """A wait was ended; what the signal is for has been done by the interpreter."""
    (<Wakeup>owner).read_all()
    return NoResult.OK
