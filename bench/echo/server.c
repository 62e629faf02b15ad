/* An echo server on bare epoll: the floor that an event loop is measured against.
 *
 *     server [-b bytes] PORT | unix:/path | udp:PORT
 *     server [-b bytes] -S libcrypto -S libssl PORT PEM
 *
 * It does what no server can do without: one recv and one send for a message, one epoll_wait for all the
 * connections that are ready. What a send leaves over is kept until the socket takes it; meanwhile nothing
 * more is read from that connection. Of datagrams it answers what is there, up to a number, for one
 * epoll_wait; one that the socket does not take is lost. It prints one line of JSON when it listens: its pid and its port.
 * With -b it echoes nothing, but sends every connection that many bytes.
 */
#include "wire.h"

enum { BATCH = 256, BUFFER = 256 * 1024, DATAGRAMS = 16 };

struct connection {
    struct wire wire;
    char *rest; /* what the last send left over, or NULL */
    size_t rest_size;
    size_t left; /* of what the connection is to be sent, with -b */
};

static char buffer[BUFFER]; /* one for all: it is free again after each send */
static int poller;
static size_t gift; /* of -b */

static void watch(int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = connection}};
    check(epoll_ctl(poller, operation, connection->wire.fd, &event), "epoll_ctl");
}

static void drop(struct connection *connection)
{
    wire_close(&connection->wire);
    free(connection->rest);
    free(connection);
}

/* Send what can be sent: the number of bytes, 0 when the socket is full, -1 when the peer has gone. */
static ssize_t send_some(struct connection *connection, const char *data, size_t size)
{
    ssize_t sent = wire_send(&connection->wire, data, size);
    return sent == -1 && would_block() ? 0 : sent;
}

static void keep_rest(struct connection *connection, const char *data, size_t size)
{
    connection->rest = malloc(size);
    if (connection->rest == NULL)
        die("malloc");
    memcpy(connection->rest, data, size);
    connection->rest_size = size;
    watch(EPOLL_CTL_MOD, connection, EPOLLOUT);
}

static void on_readable(struct connection *connection)
{
    do {
        ssize_t size = wire_recv(&connection->wire, buffer, sizeof buffer);
        if (size == -1 && would_block())
            return;
        if (size <= 0) {
            drop(connection);
            return;
        }
        ssize_t sent = send_some(connection, buffer, (size_t)size);
        if (sent == -1) {
            drop(connection);
            return;
        }
        if (sent < size)
            keep_rest(connection, buffer + sent, (size_t)(size - sent));
    } while (wire_is_tls && connection->rest == NULL);
}

static void on_writable(struct connection *connection)
{
    ssize_t sent = send_some(connection, connection->rest, connection->rest_size);
    if (sent == -1) {
        drop(connection);
        return;
    }
    connection->rest_size -= (size_t)sent;
    memmove(connection->rest, connection->rest + sent, connection->rest_size);
    if (connection->rest_size == 0) {
        free(connection->rest);
        connection->rest = NULL;
        watch(EPOLL_CTL_MOD, connection, EPOLLIN);
        if (wire_is_tls)
            on_readable(connection);
    }
}

/* Send what is left for the connection; its peer closes it when it has got that. */
static void pour(struct connection *connection)
{
    while (connection->left > 0) {
        size_t size = connection->left < sizeof buffer ? connection->left : sizeof buffer;
        ssize_t sent = wire_send(&connection->wire, buffer, size);
        if (sent == -1 && !would_block()) {
            drop(connection);
            return;
        }
        if (sent == -1) {
            watch(EPOLL_CTL_MOD, connection, wire_wants_room(&connection->wire) ? EPOLLOUT : EPOLLIN);
            return;
        }
        connection->left -= (size_t)sent;
    }
    watch(EPOLL_CTL_MOD, connection, EPOLLIN);
    ssize_t size = wire_recv(&connection->wire, buffer, sizeof buffer);
    if (size == 0 || (size == -1 && !would_block()))
        drop(connection);
}

static void answer_datagrams(int fd)
{
    for (int i = 0; i < DATAGRAMS; i++) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        ssize_t size = recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, (struct sockaddr *)&peer, &length);
        if (size == -1)
            return;
        sendto(fd, buffer, (size_t)size, MSG_DONTWAIT, (struct sockaddr *)&peer, length);
    }
}

static void accept_one(const struct connection *listener, int tcp)
{
    int fd = accept4(listener->wire.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd == -1)
        return; /* the peer has gone again */
    if (tcp)
        set_nodelay(fd);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        die("calloc");
    connection->wire.fd = fd;
    connection->left = gift;
    wire_open(&connection->wire, 1);
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
    if (gift > 0)
        pour(connection);
}

static void listen_on(struct connection *listener, struct address *address)
{
    int on = 1;
    listener->wire.fd = check(socket(address->name.any.sa_family, address->type | SOCK_CLOEXEC, 0), "socket");
    check(setsockopt(listener->wire.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "setsockopt");
    check(bind(listener->wire.fd, &address->name.any, address->length), "bind");
    if (address->type == SOCK_STREAM)
        check(listen(listener->wire.fd, 1024), "listen");
    check(getsockname(listener->wire.fd, &address->name.any, &address->length), "getsockname");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    int port = address->name.any.sa_family == AF_INET ? ntohs(address->name.tcp.sin_port) : 0;
    printf("{\"pid\": %d, \"port\": %d}\n", getpid(), port);
    fflush(stdout);
}

/* In a wheel it is a function of programs.c. */
#ifdef AS_MODULE
#define main server_main
int main(int argc, char **argv);
#endif

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "b:S:")) == 'b' || option == 'S') {
        if (option == 'b')
            gift = (size_t)atoll(optarg);
        else
            wire_use_tls(optarg);
    }
    if (option != -1 || argc - optind != 1 + wire_is_tls) {
        fprintf(stderr, "usage: %s [-b bytes] PORT | unix:/path | udp:PORT\n"
                        "       %s [-b bytes] -S libcrypto -S libssl PORT PEM\n", argv[0], argv[0]);
        return 2;
    }
    wire_setup(wire_is_tls ? argv[optind + 1] : NULL, 0);
    struct address address = parse_address(argv[optind]);
    struct connection listener = {0};
    struct epoll_event events[BATCH];

    poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    listen_on(&listener, &address);
    for (;;) {
        int count = epoll_wait(poller, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == &listener && address.type == SOCK_DGRAM)
                answer_datagrams(listener.wire.fd);
            else if (connection == &listener)
                accept_one(&listener, is_tcp(&address));
            else if (gift > 0)
                pour(connection);
            else if (connection->rest != NULL)
                on_writable(connection);
            else
                on_readable(connection);
        }
    }
}
