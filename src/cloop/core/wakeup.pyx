"""The wake-up descriptor; wakeup.pxd is the manual."""

import os
import signal
import threading

from cpython.object cimport PyObject
from posix.unistd cimport close as close_fd
from posix.unistd cimport read, write

from cloop._c.pyapi cimport (
    CLOOP_CAN_SWAP_WAKEUP_FD,
    PyErr_CheckSignals,
    PyThread_get_thread_ident,
    cloop_swap_wakeup_fd,
)
from cloop.core.handle cimport Handle, drop, run_handle
from cloop.core.ring cimport init_ring, link_node, owner_of, unlink_node
from cloop.poll.poller cimport READ

cdef enum:
    # Read at once; and where as many numbers are waiting, a pipe may have been full: four KiB is
    # what it holds at least.
    CHUNK = 4096
    # Enough for one look; what comes meanwhile waits for the next.
    MOST = 16 * CHUNK

# All that have a pipe. If one closes that another has replaced, the other must not give the place
# back to it.
cdef Node pipes
init_ring(&pipes)

cdef unsigned long main_thread = threading.main_thread().ident


cdef NoResult note_main_thread() except NoResult.EXC:
    global main_thread
    main_thread = PyThread_get_thread_ident()
    return NoResult.OK


cdef int swap(int fd):
    """Set the wake-up descriptor, -1 for none; returns the one that was set.

    What does not change it, where the interpreter takes a look first, is -1 as well: another thread
    than the main one, or a descriptor that is closed.
    """
    if CLOOP_CAN_SWAP_WAKEUP_FD:
        return cloop_swap_wakeup_fd(fd)
    cdef int found = -1
    try:
        found = signal.set_wakeup_fd(fd)
    except OSError:
        found = signal.set_wakeup_fd(-1)
    except ValueError:
        pass
    return found


cdef tuple identity_of(int fd):
    """Which file a descriptor is open on; None where it is not open."""
    found = None
    try:
        found = os.fstat(fd)
    except OSError:
        pass
    return None if found is None else (found.st_dev, found.st_ino)


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

    def __cinit__(self, WatchTable watches not None):
        self.watches = watches
        self.reader = self.writer = self.previous = -1
        self.made = True

    def __dealloc__(self):
        unlink_node(&self.node)
        if not self.made:
            # Its arguments were refused: 0 is a descriptor of somebody else's.
            return
        if self.reader >= 0:
            close_fd(self.reader)
        if self.writer >= 0:
            close_fd(self.writer)

    cdef NoResult enter(self) except NoResult.EXC:
        self.in_main = PyThread_get_thread_ident() == main_thread
        if self.in_main and self.writer < 0:
            try:
                self.open_pipe()
            except OSError:
                pass
        return self.begin()

    cdef NoResult leave(self) except NoResult.EXC:
        cdef int found
        if self.lasting:
            self.lasting = False
            found = swap(-1)
            if found != self.writer:
                swap(found)
                self.known = True
        self.in_main = self.each_wait = False
        return NoResult.OK

    cdef NoResult begin(self) except NoResult.EXC:
        """Without handlers of its own: which way a run in the main thread uses the place."""
        cdef int found
        self.each_wait = False
        if not self.in_main or self.writer < 0 or self.held:
            return NoResult.OK
        if not CLOOP_CAN_SWAP_WAKEUP_FD:
            found = swap(self.writer)
            if found < 0 or found == self.writer:
                self.lasting = True
                return NoResult.OK
            swap(found)
        self.each_wait = True
        return NoResult.OK

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
        link_node(&pipes, &self.node)
        return NoResult.OK

    cdef NoResult watch_quietly(self) except NoResult.EXC:
        """Watch the pipe; a busy loop, which sees signals anyway, need not poll for it."""
        self.watches.watch(self.reader, READ, self, run_quietly)
        self.watches.quiet = 1
        return NoResult.OK

    # ---- While the loop waits

    cdef NoResult take_place(self) except NoResult.EXC:
        cdef int found
        self.previous = swap(self.writer)
        if self.previous == self.writer:
            self.previous = -1
        try:
            PyErr_CheckSignals()
        except BaseException:
            self.leave_place()
            raise
        # Code of a handler may have set another one, and have got ours as the previous one.
        found = swap(self.writer)
        if found != self.writer:
            self.previous = found
            self.known = True
        return NoResult.OK

    cdef NoResult leave_place(self) except NoResult.EXC:
        cdef int found = swap(self.previous)
        if found != self.writer:
            swap(found)
            self.known = True
        elif self.previous >= 0:
            self.forward()
        self.previous = -1
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

    def hold(self, Handle handle not None):
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
        if previous != self.writer or not self.held:
            self.identity = identity_of(self.previous)
        if self.noted is None:
            self.noted = Noted()
        if not self.held:
            self.held = True
            self.lasting = self.each_wait = False
            self.watches.watch(self.reader, READ, handle, run_handle)
            self.watches.quiet = 0

    def let_go(self):
        """There are no handlers any more: give the place back."""
        if not self.held:
            return
        cdef object handle = self.watches.unwatch(self.reader, READ)
        self.restore_place()
        self.watch_quietly()
        self.begin()
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
        cdef Node *node = pipes.next
        cdef int found = swap(successor)
        if found != self.writer:
            swap(found)
        while node != &pipes:
            other = <Wakeup>owner_of(node, <char *>&self.node - <char *><PyObject *>self)
            if other.previous == self.writer:
                other.previous = successor
                other.identity = self.identity
            node = node.next
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
        unlink_node(&self.node)
        close_fd(reader)
        close_fd(writer)
        return NoResult.OK

    cdef NoResult forget(self) except NoResult.EXC:
        cdef int found
        if self.writer < 0:
            return NoResult.OK
        # Signals of the child are none of the parent's business.
        found = swap(-1)
        if found != self.writer:
            swap(found)
        self.held = self.in_main = self.lasting = self.each_wait = False
        close_fd(self.reader)
        close_fd(self.writer)
        self.reader = self.writer = self.previous = -1
        unlink_node(&self.node)
        return NoResult.OK


cdef NoResult run_quietly(object owner) except NoResult.EXC:
    """A wait was ended; what the signal is for has been done by the interpreter."""
    (<Wakeup>owner).read_all()
    return NoResult.OK
