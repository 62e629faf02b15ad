"""The fd table; watch.pxd is the manual."""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from posix.fcntl cimport F_GETFD, fcntl

from cloop._c.pyapi cimport CLOOP_DEBUG, PyWeakref_NewRef, cloop_list_put
from cloop.core.counts cimport register

cdef long live = 0
register("watches", &live)


cdef class WatchTable:
    """The descriptors of one loop."""

    def __cinit__(self, Poller poller not None):
        self.poller = poller
        self.owners = []
        self.files = {}

    def __dealloc__(self):
        global live
        if CLOOP_DEBUG:
            live -= self.count
        free(self.watches)

    cdef NoResult reserve(self, int fd) except NoResult.EXC:
        """Make room for a descriptor."""
        if fd < 0:
            raise ValueError(f"Invalid file descriptor: {fd}")
        # The table is as large as the largest number; one that is not open is not worth it.
        if fcntl(fd, F_GETFD) < 0:
            PyErr_SetFromErrno(OSError)
        cdef int size = max(64, self.size)
        while size <= fd:
            size *= 2
        # The list first: allocating may run the collector, finalizers and so this method.
        cdef list more = [None] * (3 * (size - self.size))
        if len(self.owners) + len(more) != 3 * size:
            return self.reserve(fd)
        cdef Watch *watches = <Watch *>realloc(self.watches, size * sizeof(Watch))
        if watches == NULL:
            raise MemoryError
        memset(&watches[self.size], 0, (size - self.size) * sizeof(Watch))
        self.watches = watches
        self.owners.extend(more)
        self.size = size
        return NoResult.OK

    cdef NoResult set_mask(self, int fd, uint32_t mask) except NoResult.EXC:
        """Tell the poller; from now on the interest is a lasting one."""
        cdef Watch *watch = &self.watches[fd]
        cdef uint32_t old = watch.mask
        if watch.shots == LASTING:
            self.poller.update(fd, watch.gen, old, mask)
        elif mask:
            if watch.shots == ARMED:
                self.poller.make_lasting(fd, watch.gen, old, mask)
            else:
                # For the kernel it is as if it had been watched for something.
                self.poller.update(fd, watch.gen, mask, mask)
            watch.shots = LASTING
        elif watch.shots == ARMED:
            self.poller.update(fd, watch.gen, old, 0)
            watch.shots = LASTING
        return self.note_mask(watch, mask)

    cdef NoResult note_mask(self, Watch *watch, uint32_t mask) except NoResult.EXC:
        """The poller knows: keep count, and let go of records that are on their way."""
        global live
        cdef uint32_t old = watch.mask
        watch.mask = mask
        if mask and not old:
            self.count += 1
            if CLOOP_DEBUG:
                live += 1
        elif old and not mask:
            self.count -= 1
            # Records of this registration that are still on their way are old from now on.
            watch.gen += 1
            if CLOOP_DEBUG:
                live -= 1
        return NoResult.OK

    cdef object watch(self, int fd, uint32_t direction, object owner, run_t run):
        if fd >= self.size or fd < 0:
            self.reserve(fd)
        # Also where it is watched already: the number may be another file's by now, one that the
        # kernel was never told of. The poller finds out and adds it.
        self.set_mask(fd, self.watches[fd].mask | direction)
        return self.put_entry(fd, direction, owner, run)

    cdef object watch_once(self, int fd, uint32_t direction, object owner, run_t run):
        if fd >= self.size or fd < 0:
            self.reserve(fd)
        cdef Watch *watch = &self.watches[fd]
        if watch.mask and (watch.shots == LASTING or watch.mask != direction):
            return self.watch(fd, direction, owner, run)
        self.poller.arm(fd, watch.gen, direction, watch.shots != LASTING)
        watch.shots = ARMED
        self.note_mask(watch, direction)
        return self.put_entry(fd, direction, owner, run)

    cdef object put_entry(self, int fd, uint32_t direction, object owner, run_t run):
        cdef Watch *watch = &self.watches[fd]
        cdef Py_ssize_t slot = slot_of(fd, direction)
        cdef object old = self.owners[slot]
        if direction == READ:
            watch.reader = run
        else:
            watch.writer = run
        cloop_list_put(<PyObject *>self.owners, slot, <PyObject *>owner)
        return old

    cdef NoResult rearm(self, int fd) except NoResult.EXC:
        cdef Watch *watch = &self.watches[fd]
        if watch.mask and watch.shots == SPENT:
            self.poller.arm(fd, watch.gen, watch.mask, True)
            watch.shots = ARMED
        return NoResult.OK

    cdef object unwatch(self, int fd, uint32_t direction):
        if fd >= self.size or fd < 0 or not self.watches[fd].mask & direction:
            return None
        cdef Py_ssize_t slot = slot_of(fd, direction)
        cdef object old = self.owners[slot]
        self.set_mask(fd, self.watches[fd].mask & ~direction)
        cloop_list_put(<PyObject *>self.owners, slot, <PyObject *>None)
        if not self.watches[fd].mask and self.files:
            self.files.pop(fd, None)
        return old

    cdef NoResult unwatch_all_of(self, object owner) except NoResult.EXC:
        cdef int fd
        cdef uint32_t direction
        for fd in range(self.size):
            for direction in (READ, WRITE):
                self.unwatch_own(fd, direction, owner)
        return NoResult.OK

    cdef NoResult fire(self, Fired *fired, Ready ready) except NoResult.EXC:
        cdef int fd = fired.fd
        cdef Watch *watch
        cdef uint32_t mask
        if fd >= self.size:
            return NoResult.OK
        watch = &self.watches[fd]
        if watch.gen != fired.gen or not watch.mask:
            # An earlier file of this number that somebody's duplicate keeps in the kernel's set.
            # It can only be taken out while nobody else has the number.
            if not watch.mask:
                self.poller.update(fd, fired.gen, READ | WRITE, 0)
            return NoResult.OK
        mask = watch.mask & fired.mask
        if watch.shots == ARMED:
            watch.shots = SPENT
        if mask & READ:
            if watch.reader == self.reads_early and self.early_bytes > 0 and self.early_times > 0:
                self.receive_early(self.owners[slot_of(fd, READ)], ready)
            else:
                ready.push(self.owners[slot_of(fd, READ)], watch.reader)
        if mask & WRITE:
            ready.push(self.owners[slot_of(fd, WRITE)], watch.writer)
        return NoResult.OK

    cdef NoResult claim(self, int fd, object transport) except NoResult.EXC:
        if fd >= self.size or fd < 0:
            self.reserve(fd)
        cdef object reference = None if transport is None else PyWeakref_NewRef(transport, None)
        cloop_list_put(<PyObject *>self.owners, slot_of(fd, CLAIM), <PyObject *>reference)
        return NoResult.OK

    cdef object claimant(self, int fd):
        cdef object reference = self.owner_of(fd, CLAIM)
        return None if reference is None else reference()

    def keep(self, int fd, file):
        """Keep the file object open while its descriptor is watched."""
        self.files[fd] = file

    def number_of(self, file):
        """The descriptor that `file` was given as, or -1."""
        for fd, kept in self.files.items():
            if kept is file:
                return fd
        return -1

    cdef object file_of(self, int fd):
        return self.files.get(fd, fd)

    def snapshot(self):
        """What is watched: a dict of descriptor to (reader's owner, writer's owner)."""
        cdef int fd
        return {fd: self.entries(fd) for fd in range(self.size) if self.watches[fd].mask}

    def claims(self):
        """The transports that claim a descriptor: a dict of descriptor to transport."""
        cdef int fd
        found = {fd: self.claimant(fd) for fd in range(self.size)}
        return {fd: transport for fd, transport in found.items() if transport is not None}

    def clear(self):
        """Stop waiting for everything."""
        cdef int fd
        for fd in range(self.size):
            if self.watches[fd].mask:
                self.set_mask(fd, 0)
                cloop_list_put(<PyObject *>self.owners, slot_of(fd, READ), <PyObject *>None)
                cloop_list_put(<PyObject *>self.owners, slot_of(fd, WRITE), <PyObject *>None)
        self.files.clear()
