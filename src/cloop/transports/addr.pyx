"""Socket addresses; addr.pxd is the manual."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from cloop._c.socket cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    INET6_ADDRSTRLEN,
    getsockname,
    inet_ntop,
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
    int memcmp(const void *a, const void *b, size_t size)
    size_t strnlen(const char *text, size_t size)
    object PyUnicode_FromStringAndSize(const char *text, Py_ssize_t size)
    object PyUnicode_DecodeFSDefaultAndSize(const char *text, Py_ssize_t size)


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
