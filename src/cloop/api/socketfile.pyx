"""Files: sendfile(2), and the file that a unix socket is bound to, by system calls of our own.

Tools that report whoever calls os.sendfile() or os.stat() on a loop's thread take a call from asyncio's own
files for harmless, and from here they would not. It is as harmless: the loop's sockets do not block. A
server's file is looked at when the loop has bound it, or could not, and when it closes. By then the kernel
has the file at hand, for bind(2) has looked the path up: so the calls do not wait for a disk, and no
thread is started for them.

sendfile() is derived from CPython's Modules/posixmodule.c (PSF License Agreement).
"""

import os
from asyncio.log import logger
from operator import getitem
from socket import AF_UNIX

from cpython.exc cimport PyErr_SetFromErrno, PyErr_SetFromErrnoWithFilenameObject
from libc.errno cimport EINTR, errno
from posix.stat cimport S_ISSOCK, stat, struct_stat
from posix.types cimport off_t
from posix.unistd cimport unlink

from cloop._c.pyapi cimport PyErr_CheckSignals

cdef extern from "sendfile.h" nogil:
    ssize_t sendfile_at "cloop_sendfile"(int out, int fd, off_t offset, size_t count)


def sendfile(int out, int fd, offset, Py_ssize_t count):
    """os.sendfile(): send up to `count` bytes of a file to a socket. Returns how many. Raises OSError."""
    cdef off_t position = offset
    cdef ssize_t sent
    while True:
        with nogil:
            sent = sendfile_at(out, fd, position, count)
        if sent >= 0:
            return sent
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


cdef struct_stat look_at(object path) except *:
    cdef struct_stat found
    cdef bytes encoded = os.fsencode(path)
    cdef const char *name = encoded
    cdef int result
    with nogil:
        result = stat(name, &found)
    if result < 0:
        PyErr_SetFromErrnoWithFilenameObject(OSError, path)
    return found


cdef object remove(object path):
    cdef bytes encoded = os.fsencode(path)
    cdef const char *name = encoded
    cdef int result
    with nogil:
        result = unlink(name)
    if result < 0:
        PyErr_SetFromErrnoWithFilenameObject(OSError, path)


def is_abstract(path):
    """Whether it is a name that has no file. IndexError where it is empty, as in asyncio."""
    # Not path[0], which Cython takes from a list or tuple without a look at its length.
    return getitem(path, 0) in (0, "\x00")


def bind(sock, address):
    """Bind a socket of any family. A unix socket that nobody may listen on any more makes way."""
    if sock.family != AF_UNIX or is_abstract(address):
        sock.bind(address)
        return
    try:
        sock.bind(address)
    except OSError:
        remove_stale(address)
        sock.bind(address)


def inode_of(path):
    """The file's inode number, or None where there is no file. Raises OSError."""
    found = None
    try:
        found = look_at(path).st_ino
    except FileNotFoundError:
        pass
    return found


def remove_stale(path):
    """Remove a socket from where a new one is to be bound; another kind of file stays and is in the way."""
    try:
        if S_ISSOCK(look_at(path).st_mode):
            remove(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        # The directory may let us make a socket and do nothing else.
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, exc)


def remove_own(path, inode):
    """Remove the file of a server that has closed, unless another one has taken the path over."""
    try:
        if look_at(path).st_ino == inode:
            remove(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.error("Unable to clean up listening UNIX socket %r: %r", path, exc)
