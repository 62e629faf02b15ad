"""A child process on its way to its program, beside a loop that goes on.

vfork(2), by which subprocess starts a child, stops the thread until the child has execed: it opens the
program, perhaps over a network, and closes what the parent had open, which may be much. Here the
child shares the parent's memory just as then, but both run (clone(2) with CLONE_VM and nothing else).
It is a child of the loop's thread, from which it has everything that Linux keeps by the thread: nice,
affinity, capabilities, namespaces, who is the parent for PR_SET_PDEATHSIG.

What the child needs is in one block of memory, which nobody else changes and which stays until it has
execed or ended: a stack, the arguments, a copy of the environment. The other end of the report pipe
tells when that is.

Not in the parent's memory, but where subprocess itself would fork: with preexec_fn, user, group and
extra_groups.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen
from posix.types cimport pid_t

from cloop._c.spawn cimport CLOOP_CAN_SPAWN, CLOOP_STACK, cloop_spawn, cloop_start

cdef extern from *:
    """
    extern char **environ;
    """
    char **environ

CAN_SPAWN = bool(CLOOP_CAN_SPAWN)


cdef size_t size_of_strings(list strings) except? 0:
    """The bytes that they and the pointers to them take."""
    cdef size_t size = sizeof(char *)
    cdef bytes each
    for each in strings:
        if strlen(PyBytes_AS_STRING(each)) != <size_t>PyBytes_GET_SIZE(each):
            raise ValueError("embedded null byte")
        size += sizeof(char *) + PyBytes_GET_SIZE(each) + 1
    return size


cdef list copy_of_environ():
    """The process's own environment, which other threads may change while the child reads."""
    cdef char **each = environ
    cdef list copied = []
    while each != NULL and each[0] != NULL:
        copied.append(<bytes>each[0])
        each += 1
    return copied


@cython.final
cdef class Start:
    """One child, from its start on."""

    cdef:
        cloop_start order
        char *memory           # the stack, the pointers, the strings
        char *free_pointers    # the parts of it that are not used yet
        char *free_strings
        bint running           # in our memory

    cdef readonly int pid

    def __dealloc__(self):
        # Dropped before the child has execed: as the memory is the child's, it is left to it.
        if not self.running:
            free(self.memory)

    cdef char **put(self, list strings) noexcept:
        """Copy them, with a NULL behind the last pointer."""
        cdef char **pointers = <char **>self.free_pointers
        cdef Py_ssize_t size
        cdef bytes each
        cdef int i = 0
        for each in strings:
            size = PyBytes_GET_SIZE(each) + 1
            memcpy(self.free_strings, PyBytes_AS_STRING(each), size)
            pointers[i] = self.free_strings
            self.free_strings += size
            i += 1
        pointers[i] = NULL
        self.free_pointers += (i + 1) * sizeof(char *)
        return pointers

    cdef int fill(self, list executables, list args, list environment, list cwd, tuple keep) except -1:
        """Lay out the block: stack, pointers, numbers, strings."""
        cdef list every = executables + args + environment + cwd
        # Four lists, of which size_of_strings counts one end.
        cdef size_t size = size_of_strings(every) + 3 * sizeof(char *)
        cdef size_t pointers = (len(every) + 4) * sizeof(char *)
        cdef size_t numbers = len(keep) * sizeof(int)
        cdef int *kept
        cdef int i
        self.memory = <char *>malloc(CLOOP_STACK + size + numbers)
        if self.memory == NULL:
            raise MemoryError
        self.free_pointers = self.memory + CLOOP_STACK
        kept = <int *>(self.free_pointers + pointers)
        self.free_strings = <char *>kept + numbers
        for i in range(len(keep)):
            kept[i] = keep[i]
        self.order.keep = kept
        self.order.keep_count = len(keep)
        self.order.executables = self.put(executables)
        self.order.argv = self.put(args)
        self.order.envp = self.put(environment)
        self.order.cwd = self.put(cwd)[0]
        return 0

    def execed(self):
        """The child has execed, or ended: it needs the block no more."""
        self.running = False
        free(self.memory)
        self.memory = NULL


def start(
    list args,
    list executables,
    bint close_fds,
    tuple keep,
    bytes cwd,
    list environment,
    int to_stdin,
    int to_stdout,
    int to_stderr,
    int report,
    bint restore_signals,
    bint new_session,
    int process_group,
    int umask,
):
    """Start a child, as _posixsubprocess.fork_exec; returns a Start at once.

    Arguments, paths and `NAME=value` are bytes; without an environment the child has the process's.
    `keep` is sorted and has `report` in it: the end of a pipe, above 2, to which the child writes why it
    failed, and which closes when it has execed or ended. Numbers are -1 for nothing to be done.

    Raises ValueError for a NUL in a string, OSError where there can be no child, or not in this way.
    """
    cdef Start self = Start.__new__(Start)
    self.fill(
        executables,
        args,
        copy_of_environ() if environment is None else environment,
        [] if cwd is None else [cwd],
        keep,
    )
    self.order.to_stdin = to_stdin
    self.order.to_stdout = to_stdout
    self.order.to_stderr = to_stderr
    self.order.report = report
    self.order.close_fds = close_fds
    self.order.restore_signals = restore_signals
    self.order.new_session = new_session
    self.order.process_group = process_group
    self.order.umask = umask
    cdef pid_t pid = cloop_spawn(&self.order, self.memory)
    if pid < 0:
        PyErr_SetFromErrno(OSError)
    self.running = True
    self.pid = pid
    return self
