"""Socket system calls."""

from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<sys/types.h>" nogil:
    pass

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t

    struct sockaddr:
        unsigned short sa_family

    struct sockaddr_storage:
        unsigned short ss_family

    struct iovec:
        void *iov_base
        size_t iov_len

    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen

    enum:
        AF_INET
        AF_INET6
        AF_UNIX
        SHUT_WR
        SOL_SOCKET
        MSG_DONTWAIT
        SO_ERROR
        IPPROTO_TCP

    ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, sockaddr *address,
                     socklen_t *address_length)
    ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const sockaddr *address,
                   socklen_t address_length)
    ssize_t recv(int fd, void *buffer, size_t length, int flags)
    ssize_t send(int fd, const void *buffer, size_t length, int flags)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int shutdown(int fd, int how)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    int getpeername(int fd, sockaddr *address, socklen_t *length)

cdef extern from "<sys/uio.h>" nogil:
    ssize_t writev(int fd, const iovec *vector, int count)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass

    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

    enum:
        INET6_ADDRSTRLEN

cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)
    uint16_t ntohs(uint16_t number)
    uint32_t ntohl(uint32_t number)
    uint16_t htons(uint16_t number)
    uint32_t htonl(uint32_t number)
    int inet_pton(int family, const char *text, void *address)

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        unsigned short sun_family
        char *sun_path

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef extern from "compat.h" nogil:
    enum:
        MSG_NOSIGNAL
    ssize_t cloop_send_vector(int fd, iovec *vector, int count, int flags)
    int cloop_accept(int fd, sockaddr *address, socklen_t *length)
    # What a pipe holds, in bytes, after it has been given another size, unless that is 0; -1 where that
    # can't be, or can't be known.
    int cloop_pipe_size(int fd, int size)

    # Many messages in one system call; where there is no such call, one.
    ctypedef struct mmsghdr "cloop_mmsghdr":
        msghdr msg_hdr
        unsigned int msg_len
    const bint CLOOP_HAS_MMSG
    int cloop_recvmmsg(int fd, mmsghdr *messages, unsigned int count)
    int cloop_sendmmsg(int fd, mmsghdr *messages, unsigned int count)

cdef extern from "compat.h":
    # Of a socket.socket, or what inherits from it; -1 once it was closed or detached.
    int cloop_socket_number(object sock)
