/* What the echo server and the load generator share: addresses, sockets, and giving up. */
#ifndef BENCH_ECHO_COMMON_H
#define BENCH_ECHO_COMMON_H

#define _GNU_SOURCE /* accept4 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The value of a call that returns -1 on failure; ends the program when it did. */
static inline int check(int result, const char *what)
{
    if (result == -1)
        die(what);
    return result;
}

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in tcp;
        struct sockaddr_un unix_path;
    } name;
    socklen_t length;
    int type; /* of the socket */
};

/* "unix:/path", or a port number on 127.0.0.1: of TCP, of UDP with "udp:" before it. */
static inline struct address parse_address(const char *text)
{
    struct address result;
    memset(&result, 0, sizeof result);
    result.type = SOCK_STREAM;
    if (strncmp(text, "udp:", 4) == 0) {
        result.type = SOCK_DGRAM;
        text += 4;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        result.name.unix_path.sun_family = AF_UNIX;
        strncpy(result.name.unix_path.sun_path, text + 5, sizeof result.name.unix_path.sun_path - 1);
        result.length = sizeof result.name.unix_path;
    } else {
        result.name.tcp.sin_family = AF_INET;
        result.name.tcp.sin_port = htons((uint16_t)atoi(text));
        result.name.tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        result.length = sizeof result.name.tcp;
    }
    return result;
}

static inline int is_tcp(const struct address *address)
{
    return address->name.any.sa_family == AF_INET && address->type == SOCK_STREAM;
}

/* As asyncio does for its TCP transports: a message leaves at once. */
static inline void set_nodelay(int fd)
{
    int on = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
}

static inline int would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

#endif
