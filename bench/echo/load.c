/* Load for an echo server: n connections, each with one message under way at a time, on epoll.
 *
 *     load [-c connections] [-i idle connections] [-f floods] [-r] [-t] [-s size] [-d seconds]
 *          [-w warm-up seconds] [-n messages] [-S libcrypto -S libssl] PORT | unix:/path | udp:PORT
 *
 * Prints one line of JSON: the messages echoed in all, those echoed in the measured time (after the warm-up),
 * a second's share of these, the median, 99th percentile and maximum of the time from send to the whole echo
 * in us, and the datagrams lost. With -n there is no warm-up, and it ends after that many messages instead of after a time
 * (-n 0: it connects and ends).
 * The idle connections send nothing. A flood sends as much as the server takes, without waiting for
 * anything to come back, and throws away what does; it is not measured. With -r each message has a connection of its own, which is closed after
 * its echo; the time begins before connect.
 * With -S, the paths of OpenSSL's libraries, it is over TLS and trusts anybody; with -r and -t it resumes the session
 * of the connection before.
 * Of UDP a connection is a connected socket, and its message a datagram; one that has not come back after
 * LOST_NS is counted as lost, and another is sent.
 * The first echo of each connection is compared with what was sent. Messages end in a newline and hold no
 * other, so that a server which reads lines serves as well.
 */
#include "wire.h"
#include <stdint.h>
#include <time.h>

enum { BATCH = 256, RECEIVE = 256 * 1024, FLOOD = 64 * 1024, STEP_NS = 100, STEPS = 1000 * 1000, LOST_NS = 200 * 1000 * 1000 };

struct connection {
    struct wire wire;
    int waits_for_room;
    int floods;
    int checked; /* its first echo was right */
    size_t sent, received; /* of the message under way */
    int64_t started_ns;
};

static struct {
    int connections, idle, floods, reconnect, resume;
    size_t size;
    double seconds, warm_up;
    long messages; /* -1: by time */
} options = {.connections = 10, .size = 1024, .seconds = 3, .warm_up = 0.3, .messages = -1};

static char *message;
static char received[RECEIVE];
static uint32_t histogram[STEPS]; /* latencies in steps of STEP_NS; the last step takes all above */
static long measured, total, lost;
static int64_t longest_ns;
static int poller, datagrams;
static struct address address;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void watch(int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = connection}};
    check(epoll_ctl(poller, operation, connection->wire.fd, &event), "epoll_ctl");
}

/* Go on sending the message under way; the connection is watched for room only while it has none. */
static void send_rest(struct connection *connection)
{
    ssize_t sent = wire_send(&connection->wire, message + connection->sent, options.size - connection->sent);
    if (sent == -1 && !would_block())
        die("send");
    connection->sent += sent > 0 ? (size_t)sent : 0;
    int waits = connection->sent < options.size && wire_wants_room(&connection->wire);
    if (waits != connection->waits_for_room)
        watch(EPOLL_CTL_MOD, connection, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
    connection->waits_for_room = waits;
}

/* Connections of one load come from several local addresses: a port of one is not free again at once. */
static void bind_to_some_address(int fd)
{
    static uint32_t turn;
    int on = 1;
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1 + turn++ % 16)}};
    check(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on), "setsockopt");
    check(bind(fd, (struct sockaddr *)&local, sizeof local), "bind");
}

static void connect_to(struct connection *connection)
{
    connection->wire.fd = check(socket(address.name.any.sa_family, address.type | SOCK_CLOEXEC, 0), "socket");
    if (is_tcp(&address) && (options.reconnect || options.idle))
        bind_to_some_address(connection->wire.fd);
    check(connect(connection->wire.fd, &address.name.any, address.length), "connect");
    check(fcntl(connection->wire.fd, F_SETFL, O_NONBLOCK), "fcntl");
    if (is_tcp(&address))
        set_nodelay(connection->wire.fd);
    wire_open(&connection->wire, 0);
    watch(EPOLL_CTL_ADD, connection, EPOLLIN);
}

static void start_message(struct connection *connection)
{
    connection->sent = connection->received = 0;
    connection->started_ns = now_ns();
    if (options.reconnect)
        connect_to(connection);
    send_rest(connection);
}

/* Start the messages again that seem to be lost. */
static void start_lost(struct connection *all, int64_t now)
{
    for (int i = 0; i < options.connections; i++)
        if (now - all[i].started_ns > LOST_NS) {
            lost++;
            start_message(&all[i]);
        }
}

static void record(int64_t latency_ns)
{
    int64_t step = latency_ns / STEP_NS;
    histogram[step < STEPS ? step : STEPS - 1]++;
    if (latency_ns > longest_ns)
        longest_ns = latency_ns;
    measured++;
}

/* Take in what has come: true when the echo is complete. */
static int receive(struct connection *connection)
{
    do {
        ssize_t size = wire_recv(&connection->wire, received, sizeof received);
        if (size == -1 && would_block())
            return 0;
        if (size == -1)
            die("recv");
        if (size == 0)
            fail("the server closed a connection");
        if (connection->received + (size_t)size > options.size)
            fail("the echo is longer than the message");
        if (!connection->checked && memcmp(received, message + connection->received, (size_t)size) != 0)
            fail("the echo is not what was sent");
        connection->received += (size_t)size;
    } while (wire_is_tls && connection->received < options.size);
    return connection->received == options.size;
}

/* One step of a flood: little at a time, so that the others are measured in between. */
static void flood(struct connection *connection, uint32_t events)
{
    if (events & EPOLLIN && wire_recv(&connection->wire, received, FLOOD) == 0)
        fail("the server closed a connection");
    if (events & EPOLLOUT && wire_send(&connection->wire, received, FLOOD) == -1 && !would_block())
        die("send");
}

static void run(struct connection *all, int64_t start_ns, int64_t end_ns)
{
    struct epoll_event events[BATCH];
    int64_t look_ns = now_ns() + LOST_NS;
    for (;;) {
        int count = epoll_wait(poller, events, BATCH, datagrams ? 100 : 1000);
        int64_t now = now_ns();
        if (now >= end_ns)
            return;
        if (datagrams && now >= look_ns) {
            start_lost(all, now);
            look_ns = now + LOST_NS;
        }
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->floods) {
                flood(connection, events[i].events);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                send_rest(connection);
            if (!(events[i].events & ~(uint32_t)EPOLLOUT) || !receive(connection)) {
                /* A handshake goes on by what arrives, and receive may have been the one that ended it. */
                if (wire_is_tls && connection->sent < options.size && !connection->waits_for_room)
                    send_rest(connection);
                continue;
            }
            connection->checked = 1;
            now = now_ns();
            if (now >= start_ns)
                record(now - connection->started_ns);
            if (options.reconnect)
                wire_close(&connection->wire);
            if (++total == options.messages)
                return;
            start_message(connection);
        }
    }
}

/* The latency in us that `share` of the messages do not exceed. */
static double percentile(double share)
{
    long seen = 0, wanted = (long)(share * (double)measured);
    for (long step = 0; step < STEPS; step++) {
        seen += histogram[step];
        if (seen > wanted)
            return (double)(step + 1) * STEP_NS / 1000;
    }
    return 0;
}

static void parse_options(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "c:i:f:rts:d:w:n:S:")) != -1) {
        switch (option) {
        case 'c': options.connections = atoi(optarg); break;
        case 'i': options.idle = atoi(optarg); break;
        case 'f': options.floods = atoi(optarg); break;
        case 'r': options.reconnect = 1; break;
        case 't': options.resume = 1; break;
        case 's': options.size = (size_t)atol(optarg); break;
        case 'd': options.seconds = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case 'n': options.messages = atol(optarg); break;
        case 'S': wire_use_tls(optarg); break;
        default: exit(2);
        }
    }
    if (optind != argc - 1 || options.connections < 1 || options.size < 1) {
        fprintf(stderr,
                "usage: %s [-c n] [-i n] [-f n] [-r] [-t] [-s size] [-d s] [-w s] [-n n] [-S lib] PORT | unix:/path | udp:PORT\n", argv[0]);
        exit(2);
    }
}

static void make_message(void)
{
    message = malloc(options.size);
    if (message == NULL)
        die("malloc");
    for (size_t i = 0; i < options.size; i++)
        message[i] = (char)('a' + i % 23); /* 23 divides no buffer size, so a shifted echo shows */
    message[options.size - 1] = '\n';
}

/* In a wheel it is a function of programs.c. */
#ifdef AS_MODULE
#define main load_main
int main(int argc, char **argv);
#endif

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    wire_setup(NULL, options.resume);
    make_message();
    address = parse_address(argv[optind]);
    datagrams = address.type == SOCK_DGRAM;
    struct connection *all = calloc((size_t)options.connections, sizeof *all);
    if (all == NULL)
        die("calloc");
    poller = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (int i = 0; i < options.connections && !options.reconnect; i++)
        connect_to(&all[i]);
    struct connection idle = {0};
    for (int i = 0; i < options.idle; i++)
        connect_to(&idle);
    struct connection *floods = calloc((size_t)options.floods + 1, sizeof *floods);
    if (floods == NULL)
        die("calloc");
    for (int i = 0; i < options.floods; i++) {
        connect_to(&floods[i]);
        floods[i].floods = 1;
        watch(EPOLL_CTL_MOD, &floods[i], EPOLLIN | EPOLLOUT);
    }

    int by_count = options.messages >= 0;
    int64_t start_ns = now_ns() + (by_count ? 0 : (int64_t)(options.warm_up * 1e9));
    int64_t end_ns = by_count ? INT64_MAX : start_ns + (int64_t)(options.seconds * 1e9);
    if (options.messages != 0) {
        for (int i = 0; i < options.connections; i++)
            start_message(&all[i]);
        run(all, start_ns, end_ns);
    }
    double elapsed = (double)(now_ns() - start_ns) / 1e9;
    printf("{\"total\": %ld, \"measured\": %ld, \"seconds\": %.3f, \"messages_per_s\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"lost\": %ld}\n",
           total, measured, elapsed, (double)measured / elapsed, percentile(0.5), percentile(0.99),
           (double)longest_ns / 1000, lost);
    return 0;
}
