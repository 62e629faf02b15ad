"""A child process on its way to its program, beside a loop that goes on.

vfork(2), by which subprocess starts a child, stops the thread until the child has execed: it opens the
program, perhaps over a network, and closes what the parent had open, which may be much. Here the
child shares the parent's memory just as then, but both run (clone3(2) with CLONE_VM and without
CLONE_VFORK; it also spares the child to look for handlers of signals, and the loop to ask for the pidfd).
It is a child of the loop's thread, from which it has everything that Linux keeps by the thread: nice,
affinity, capabilities, namespaces, who is the parent for PR_SET_PDEATHSIG.

What the child needs is in one block of memory, which nobody else changes and which stays until it has
execed or ended: a stack, the arguments, a copy of the environment. The other end of the report pipe
tells when that is.

With user, group or extra_groups the child gets a copy of the parent's memory, as by fork(2): sharing it
would let who it becomes reach the parent's. With preexec_fn subprocess itself starts it.
"""

import os
import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.number cimport PyNumber_Index
from libc.errno cimport EINTR, ESRCH, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen
from posix.signal cimport kill
from posix.unistd cimport close, read

from cloop._c.pyapi cimport PyUnicode_EncodeFSDefault
from cloop._c.spawn cimport (
    CLOOP_CAN_SPAWN,
    CLOOP_STACK,
    cloop_exit_status,
    cloop_open_report,
    cloop_spawn,
    cloop_start,
)

cdef extern from *:
    """
    extern char **environ;
    """
    char **environ

# Valgrind ends a program that asks the kernel for such a child.
CAN_SPAWN = bool(CLOOP_CAN_SPAWN) and "/vgpreload_" not in os.environ.get("LD_PRELOAD", "")

cdef str SHELL = "/system/bin/sh" if hasattr(sys, "getandroidapilevel") else "/bin/sh"
cdef bint flags_are_numbers = sys.version_info < (3, 12)
cdef bytes PATH_SEPARATOR = os.fsencode(os.pathsep)


# ---- What a child is to be


cdef bytes encode(object path):
    """As os.fsencode. Raises ValueError for a NUL."""
    cdef bytes encoded = PyUnicode_EncodeFSDefault(path) if type(path) is str else os.fsencode(path)
    if strlen(PyBytes_AS_STRING(encoded)) != <size_t>PyBytes_GET_SIZE(encoded):
        raise ValueError("embedded null byte")
    return encoded


cdef bytes encode_variable(object name, object value):
    """A variable of the environment as the kernel has it."""
    cdef bytes encoded = encode(name)
    if b"=" in encoded:
        raise ValueError("illegal environment variable name")
    return encoded + b"=" + encode(value)


cdef list search_path(object env):
    """The folders where a program is looked for, as os.get_exec_path."""
    if env is not None:
        return [encode(each) for each in os.get_exec_path(env)]
    return encode(os.environ.get("PATH", os.defpath)).split(PATH_SEPARATOR)


cdef list in_each(list folders, bytes name):
    """The paths of that name, as os.path.join."""
    cdef bytes after_slash = b"/" + name
    cdef bytes folder
    cdef Py_ssize_t size
    cdef list paths = []
    for folder in folders:
        size = PyBytes_GET_SIZE(folder)
        if size == 0 or PyBytes_AS_STRING(folder)[size - 1] == b"/":
            paths.append(folder + name)
        else:
            paths.append(folder + after_slash)
    return paths


@cython.final
cdef class Order:
    """A child's arguments, program and environment, also in bytes.

    The arguments are Popen's. Raises what they deserve, though not in Popen's words.
    """

    cdef:
        list encoded_args
        list programs        # tried in turn
        list environment     # None: the process's own
        list encoded_cwd     # or empty

    cdef readonly:
        list args
        object cwd

    cdef public object executable    # as errors name it

    def __init__(self, args, executable, bint shell, cwd, env):
        cdef bytes program
        if isinstance(args, (str, bytes)) or isinstance(args, os.PathLike):
            if shell and isinstance(args, os.PathLike):
                raise TypeError("path-like args is not allowed when shell is true")
            self.args = [args]
        else:
            self.args = list(args)
        if not self.args:
            raise IndexError("list index out of range")
        if shell:
            self.args = [SHELL, "-c", *self.args]
            if executable:
                self.args[0] = executable
        self.executable = self.args[0] if executable is None else executable
        self.cwd = cwd
        self.encoded_args = [encode(each) for each in self.args]
        self.encoded_cwd = [] if cwd is None else [encode(cwd)]
        if env is not None:
            self.environment = [encode_variable(name, value) for name, value in env.items()]
        program = encode(self.executable)
        # As os.execvp() would.
        self.programs = [program] if b"/" in program else in_each(search_path(env), program)


# ---- Its start


@cython.final
cdef class Start:
    """One child, from its start on; can be read from once it has execed, or ended."""

    cdef:
        char *memory           # the stack, the structure, the pointers, the numbers, the strings
        char *free_pointers    # the parts of it that are not used yet
        char *free_strings
        bint running           # in our memory
        int report             # the end of the pipe that is ours
        int pidfd

    cdef readonly int pid

    def __cinit__(self):
        self.report = self.pidfd = -1

    def __dealloc__(self):
        # Dropped before the child has execed: as the memory is the child's, it is left to it.
        if not self.running:
            free(self.memory)
        if self.report >= 0:
            close(self.report)
        if self.pidfd >= 0:
            close(self.pidfd)

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

    cdef char **put_environ(self, int most, size_t room) noexcept:
        """The process's own, which other threads may change while the child reads; at most so much."""
        cdef char **pointers = <char **>self.free_pointers
        cdef size_t size
        cdef int i = 0
        while i < most and environ[i] != NULL:
            size = strlen(environ[i]) + 1
            if size > room:
                break
            memcpy(self.free_strings, environ[i], size)
            pointers[i] = self.free_strings
            self.free_strings += size
            room -= size
            i += 1
        pointers[i] = NULL
        self.free_pointers += (most + 1) * sizeof(char *)
        return pointers

    cdef cloop_start *fill(self, Order order, list keep, list groups) except NULL:
        """Lay out the block; the settings are left to the caller."""
        cdef size_t room = 0
        cdef int i, variables = 0
        cdef int *kept
        cdef cloop_start *laid
        if order.environment is not None:
            variables = len(order.environment)
            room = size_of(order.environment)
        elif environ != NULL:
            while environ[variables] != NULL:
                room += strlen(environ[variables]) + 1
                variables += 1
        cdef size_t pointers = sizeof(char *) * (
            len(order.programs) + len(order.encoded_args) + variables + len(order.encoded_cwd) + 4)
        cdef size_t strings = (
            size_of(order.programs) + size_of(order.encoded_args) + room + size_of(order.encoded_cwd))
        cdef size_t numbers = (len(keep) + len(groups)) * sizeof(int)
        self.memory = <char *>malloc(CLOOP_STACK + sizeof(cloop_start) + pointers + numbers + strings)
        if self.memory == NULL:
            raise MemoryError
        laid = <cloop_start *>(self.memory + CLOOP_STACK)
        self.free_pointers = <char *>(laid + 1)
        kept = <int *>(self.free_pointers + pointers)
        self.free_strings = <char *>kept + numbers
        for i in range(len(keep)):
            kept[i] = keep[i]
        laid.keep = kept
        laid.keep_count = len(keep)
        laid.groups = <unsigned int *>kept + len(keep)
        for i in range(len(groups)):
            (<unsigned int *>kept)[len(keep) + i] = groups[i]
        laid.executables = self.put(order.programs)
        laid.argv = self.put(order.encoded_args)
        if order.environment is None:
            laid.envp = self.put_environ(variables, room)
        else:
            laid.envp = self.put(order.environment)
        laid.cwd = self.put(order.encoded_cwd)[0]
        return laid

    def fileno(self):
        """The descriptor to read from; -1 once that was done."""
        return self.report

    def read(self):
        """What the child has reported of its failure, whose end is to be waited for; b"" if it has execed.

        Once, when it can be read; b"" again later.
        """
        cdef char text[64]
        cdef ssize_t size
        if self.report < 0:
            return b""
        while True:
            size = read(self.report, text, sizeof(text))
            if size >= 0 or errno != EINTR:
                break
        close(self.report)
        self.report = -1
        if size > 0:
            return text[:size]
        if size == 0:
            # The child's end was closed, by exec or with the child.
            self.free_block()
        return b""

    def ended(self):
        """The child is over and reaped."""
        # Where it is not, its memory is left to it; so also where another process has its PID by now.
        if self.running and kill(self.pid, 0) < 0 and errno == ESRCH:
            self.free_block()
        if self.pidfd >= 0:
            close(self.pidfd)
            self.pidfd = -1

    cdef void free_block(self) noexcept:
        """The child needs it no more."""
        self.running = False
        free(self.memory)
        self.memory = NULL

    def take_pidfd(self):
        """The child's pidfd, which the caller closes; -1 where the kernel gave none."""
        cdef int pidfd = self.pidfd
        self.pidfd = -1
        return pidfd


cdef size_t size_of(list strings) noexcept:
    """The bytes that they take."""
    cdef size_t size = 0
    cdef bytes each
    for each in strings:
        size += PyBytes_GET_SIZE(each) + 1
    return size


cdef int flag(object value) except? -1:
    """As _posixsubprocess takes one."""
    return PyNumber_Index(value) if flags_are_numbers else bool(value)


def start(
    Order order not None,
    bint close_fds,
    pass_fds,
    to_stdin,
    to_stdout,
    to_stderr,
    restore_signals,
    new_session,
    process_group,
    umask,
    group,
    groups,
    user,
):
    """Start a child, as Popen does with these arguments; returns a Start at once.

    Numbers are -1, and the last three None, for nothing to be done. Raises OSError where there can be no
    child, or not in this way, ValueError for a negative number in `pass_fds`, TypeError and
    OverflowError for what is no C int.
    """
    cdef Start self = Start.__new__(Start)
    cdef cloop_start *laid
    cdef list keep
    cdef int ends[2]
    if cloop_open_report(ends) < 0:
        PyErr_SetFromErrno(OSError)
    self.report = ends[0]
    try:
        keep = sorted({*map(int, pass_fds), ends[1]}) if pass_fds else [ends[1]]
        if keep[0] < 0:
            raise ValueError("bad value(s) in fds_to_keep")
        laid = self.fill(order, keep, [] if groups is None else list(groups))
        laid.to_stdin = PyNumber_Index(to_stdin)
        laid.to_stdout = PyNumber_Index(to_stdout)
        laid.to_stderr = PyNumber_Index(to_stderr)
        laid.report = ends[1]
        laid.close_fds = close_fds
        laid.restore_signals = flag(restore_signals)
        laid.new_session = flag(new_session)
        laid.process_group = PyNumber_Index(process_group)
        laid.umask = PyNumber_Index(umask)
        laid.group_count = -1 if groups is None else len(groups)
        laid.group = -1 if group is None else <unsigned int>group
        laid.user = -1 if user is None else <unsigned int>user
        self.pid = cloop_spawn(laid, self.memory)
        if self.pid < 0:
            PyErr_SetFromErrno(OSError)
        self.running = True
        self.pidfd = laid.pidfd
    finally:
        close(ends[1])
    return self


# ---- Its end


def exit_status(int pidfd):
    """How the process of a pidfd has ended, as waitpid(2) has it, where somebody else has waited for it.

    Raises BlockingIOError where nobody has yet, another OSError where the kernel does not tell: it does
    from Linux 6.15 on.
    """
    cdef int status = cloop_exit_status(pidfd)
    if status < 0:
        PyErr_SetFromErrno(OSError)
    return status
