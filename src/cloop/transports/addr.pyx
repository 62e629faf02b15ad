"""Socket addresses; addr.pxd is the manual."""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset, strlen

from cloop._c.pyapi cimport NoResult
from cloop._c.socket cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    INET6_ADDRSTRLEN,
    getsockname,
    htonl,
    htons,
    inet_ntop,
    inet_pton,
    ntohl,
    ntohs,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
    socklen_t,
    sockaddr_un,
)

cdef extern from *:
    """
    #include <stddef.h>
    #include <string.h>
    #define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
    #ifdef __linux__
    #define HAS_ABSTRACT 1
    #else
    #define HAS_ABSTRACT 0
    #endif
    """
    const int UNIX_PATH_OFFSET
    const bint HAS_ABSTRACT
    size_t strnlen(const char *text, size_t size)
    object PyUnicode_FromStringAndSize(const char *text, Py_ssize_t size)
    object PyUnicode_DecodeFSDefaultAndSize(const char *text, Py_ssize_t size)
    object PyUnicode_EncodeFSDefault(object text)
    bint PyUnicode_IS_ASCII(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    MANY = 64            # peers that are remembered; a power of two
    MAX_FLOW = 0xfffff


cdef object address_of(const sockaddr *address, socklen_t length):
    if address.sa_family == AF_INET:
        return ipv4_address(<const sockaddr_in *>address)
    if address.sa_family == AF_INET6:
        return ipv6_address(<const sockaddr_in6 *>address)
    if address.sa_family == AF_UNIX:
        return unix_address(<const sockaddr_un *>address, length)
    return NotImplemented


cdef object ipv4_address(const sockaddr_in *address):
    # By hand: inet_ntop() does it with snprintf(), which takes longer than accept4().
    cdef const unsigned char *octets = <const unsigned char *>&address.sin_addr
    cdef char text[16]
    cdef int i
    cdef int size = 0
    for i in range(4):
        if octets[i] >= 100:
            text[size] = 48 + octets[i] // 100
            size += 1
        if octets[i] >= 10:
            text[size] = 48 + octets[i] // 10 % 10
            size += 1
        text[size] = 48 + octets[i] % 10
        text[size + 1] = 46
        size += 2
    return (PyUnicode_FromStringAndSize(text, size - 1), ntohs(address.sin_port))


cdef object ipv6_address(const sockaddr_in6 *address):
    cdef char text[INET6_ADDRSTRLEN]
    inet_ntop(AF_INET6, &address.sin6_addr, text, INET6_ADDRSTRLEN)
    return ((<bytes>text).decode("ascii"), ntohs(address.sin6_port),
            ntohl(address.sin6_flowinfo), address.sin6_scope_id)


cdef object unix_address(const sockaddr_un *address, socklen_t length):
    """A path; bytes in Linux's abstract namespace; '' for a socket without a name."""
    cdef Py_ssize_t size = <Py_ssize_t>length - UNIX_PATH_OFFSET
    if HAS_ABSTRACT and size > 0 and address.sun_path[0] == 0:
        return PyBytes_FromStringAndSize(address.sun_path, size)
    if size <= 0:
        return ""
    return PyUnicode_DecodeFSDefaultAndSize(address.sun_path, strnlen(address.sun_path, size))


# The last one of local_address, which the next accepted connection usually has too.
cdef sockaddr_storage last_local
cdef socklen_t last_local_length = 0
cdef object last_local_address = None


cdef object local_address(int fd):
    global last_local, last_local_length, last_local_address
    cdef sockaddr_storage name
    cdef socklen_t length = sizeof(name)
    if fd < 0 or getsockname(fd, <sockaddr *>&name, &length) < 0 or length > sizeof(name):
        return NotImplemented
    if length == last_local_length and memcmp(&name, &last_local, length) == 0:
        return last_local_address
    address = address_of(<sockaddr *>&name, length)
    last_local, last_local_length, last_local_address = name, length, address
    return address


# ---- Reading

cdef socklen_t read_address(int family, object name, sockaddr_storage *address) except? 1:
    if family == AF_INET:
        return read_ipv4(name, <sockaddr_in *>address)
    if family == AF_INET6:
        return read_ipv6(name, <sockaddr_in6 *>address)
    if family == AF_UNIX:
        return read_unix(name, <sockaddr_un *>address)
    return 0


cdef socklen_t read_ipv4(object name, sockaddr_in *address) except? 1:
    cdef long long port
    if not PyTuple_CheckExact(name) or PyTuple_GET_SIZE(name) != 2:
        return 0
    port = number((<tuple>name)[1], 0xffff)
    if port < 0:
        return 0
    memset(address, 0, sizeof(sockaddr_in))
    if not read_host(AF_INET, (<tuple>name)[0], &address.sin_addr):
        return 0
    address.sin_family = AF_INET
    address.sin_port = htons(<unsigned short>port)
    return sizeof(sockaddr_in)


cdef socklen_t read_ipv6(object name, sockaddr_in6 *address) except? 1:
    cdef Py_ssize_t size
    cdef long long port
    cdef long long flow = 0
    cdef long long scope = 0
    if not PyTuple_CheckExact(name):
        return 0
    size = PyTuple_GET_SIZE(name)
    if size < 2 or size > 4:
        return 0
    port = number((<tuple>name)[1], 0xffff)
    if size > 2:
        flow = number((<tuple>name)[2], MAX_FLOW)
    if size > 3:
        scope = number((<tuple>name)[3], 0xffffffff)
    if port < 0 or flow < 0 or scope < 0:
        return 0
    memset(address, 0, sizeof(sockaddr_in6))
    if not read_host(AF_INET6, (<tuple>name)[0], &address.sin6_addr):
        return 0
    address.sin6_family = AF_INET6
    address.sin6_port = htons(<unsigned short>port)
    address.sin6_flowinfo = htonl(<unsigned int>flow)
    address.sin6_scope_id = <unsigned int>scope
    return sizeof(sockaddr_in6)


cdef long long number(object value, long long largest) except? -1:
    """An int from 0 to `largest`; -1 for all else."""
    cdef int overflow = 0
    cdef long long result
    if not PyLong_CheckExact(value):
        return -1
    result = PyLong_AsLongLongAndOverflow(value, &overflow)
    return -1 if overflow or result < 0 or result > largest else result


cdef bint read_host(int family, object host, void *address) except -1:
    """Whether `host` is an address in numbers, without a scope."""
    cdef Py_ssize_t size
    cdef const char *text
    if not PyUnicode_CheckExact(host) or not PyUnicode_IS_ASCII(host):
        return False
    text = PyUnicode_AsUTF8AndSize(host, &size)
    return inet_pton(family, text, address) == 1 and strlen(text) == <size_t>size


cdef socklen_t read_unix(object name, sockaddr_un *address) except? 1:
    cdef bytes path = None
    cdef Py_ssize_t size
    if PyUnicode_CheckExact(name):
        try:
            path = PyUnicode_EncodeFSDefault(name)
        except UnicodeEncodeError:
            pass
    elif PyBytes_CheckExact(name):
        path = <bytes>name
    if path is None:
        return 0
    size = PyBytes_GET_SIZE(path)
    if size == 0 or size >= <Py_ssize_t>sizeof(address.sun_path):
        return 0
    memset(address, 0, sizeof(sockaddr_un))
    address.sun_family = AF_UNIX
    memcpy(address.sun_path, PyBytes_AS_STRING(path), size)
    # In Linux's abstract namespace every byte counts; elsewhere the zero at the end does too.
    return UNIX_PATH_OFFSET + size + (0 if HAS_ABSTRACT and address.sun_path[0] == 0 else 1)


# ---- Peers

cdef Peers new_peers(int family):
    cdef Peers peers = Peers()
    peers.family = family
    return peers


cdef class Peers:
    """Names of a socket's peers, remembered."""

    def __cinit__(self):
        self.reserve(1)

    def __dealloc__(self):
        free(self.known)

    cdef NoResult reserve(self, size_t count) except NoResult.EXC:
        """Room for `count` peers that were received from; forgets those that there are."""
        cdef list names = [None] * count
        cdef Peer *known = <Peer *>calloc(count, sizeof(Peer))
        if known == NULL:
            raise MemoryError
        free(self.known)
        self.known = known
        self.names = names
        self.mask = count - 1
        self.last = 0
        return NoResult.OK

    cdef object name_of(self, const sockaddr_storage *address, socklen_t length):
        cdef size_t i
        cdef Peer *peer
        if length == 0:
            return None
        length = min(length, <socklen_t>sizeof(sockaddr_storage))
        i = spread(address, length) & self.mask
        peer = &self.known[i]
        if peer.length != length or memcmp(&peer.address, address, length) != 0:
            if peer.length and not self.mask:
                self.reserve(MANY)
                i = spread(address, length) & self.mask
            self.names[i] = address_of(<const sockaddr *>address, length)
            peer = &self.known[i]
            memcpy(&peer.address, address, length)
            peer.length = length
        self.last = i
        return self.names[i]

    cdef const Peer *find(self, object name) except? NULL:
        cdef socklen_t length
        if name is None:
            return NULL
        if name is self.names[self.last]:
            return &self.known[self.last]
        if name is not self.chosen_name:
            self.chosen_name = None
            length = read_address(self.family, name, &self.chosen.address)
            if length == 0:
                return NULL
            self.chosen.length = length
            self.chosen_name = name
        return &self.chosen


cdef inline size_t spread(const sockaddr_storage *address, socklen_t length) noexcept:
    """A number that differs from peer to peer in its low bits."""
    cdef uint64_t mixed = length
    cdef uint64_t word
    cdef socklen_t at = 0
    while at < length:
        word = 0
        memcpy(&word, <const char *>address + at, min(<socklen_t>8, length - at))
        mixed = (mixed ^ word) * <uint64_t>0x9e3779b97f4a7c15
        mixed ^= mixed >> 32
        at += 8
    return <size_t>mixed
