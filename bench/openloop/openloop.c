/* An open-loop HTTP/1.1 load generator: requests at a constant rate, whatever the server does.
 *
 *     openloop <port> <requests file> <rate> <seconds> <connections> <status> <drain seconds> [quiet|all]
 *
 * Request i is due at start + i/rate. A closed loop waits for its answers and so leaves out the requests
 * it would have sent while the server stalled ("coordinated omission"); here a request that is due waits
 * for a free connection with its due time kept, and latency runs from the due time to the last byte of
 * the answer. Written as one JSON line of counts, and of percentiles in microseconds.
 *
 * Rules:
 * 1. sent = answered + requests lost. A request is lost when its connection breaks, its answer is no
 *    HTTP, or no answer has come when the drain ends. errors = lost + connections that could not be made.
 * 2. What waits still when the drain ends, sent or not, is put into the latencies with the time it has
 *    waited: a lower bound, and better than leaving it out. Lost earlier: no latency.
 * 3. Lateness is the generator's own: from the moment a request could be written (it is due, and a
 *    connection is free) to the moment it is. Waiting for a connection is the server's doing.
 * 4. It ends: after `seconds` plus at most `drain seconds`; before that CONNECT_SECONDS to connect.
 *
 * Waiting: a millisecond before a request is due the program stops sleeping and asks epoll without
 * waiting, yielding its core each time, because the upstream may share it. Measured so (nginx's plain
 * proxy on one core, its upstream and this program on the other, 5,000 and 15,000 a second, medians;
 * lateness p50 and p99, then latency p99, us):
 *     sleep by epoll_pwait2               62, 145    2218
 *     the same, timer slack 1 ns          30, 392    2422
 *     spin without yielding              0.2, 215    4125   (the upstream starves)
 *     spin and yield                     0.5,  30     282   (this)
 *     sleep till 20 us before, then spin  12,  61    1291
 *     the same, and yield                 10,  70     426
 * With "quiet" it sleeps till a request is due: for a load that stands beside the one that is measured, on the same core.
 * With "all" the line has the whole histogram, for who puts several runs together.
 *
 * Requests file: each request as its length (4 bytes, native order) and its bytes; sent in rotation.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "histogram.h"

#define SECOND INT64_C(1000000000) /* all times are nanoseconds of CLOCK_MONOTONIC */
#define RETRY (SECOND / 100)       /* between rounds of making connections that broke or were refused */

enum {
    CONNECT_SECONDS = 5,
    EVENTS = 256,
    READ_BYTES = 65536,
    MOST_CONNECTIONS = 100000,
};

static _Noreturn void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("openloop: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* ---- connections ---------------------------------------------------------------------------------- */

enum state { DOWN, CONNECTING, FREE, BUSY };

struct connection {
    enum state state;
    int fd;
    int listed;       /* stands in the row of free ones, perhaps no longer free */
    int64_t since;    /* FREE: when it became so; BUSY: when its request was due */
    size_t request, written;
    struct answer answer;
};

struct request {
    size_t length;
    const char *bytes;
};

static struct connection *connections;
static struct request *requests;
static size_t connection_count, request_count, ready_count, down_count;
static struct connection **row; /* the free connections, longest free first: each gets its share */
static size_t row_begin, row_length;
static struct sockaddr_in server;
static int epoll_fd, expected_status;
static struct histogram latency, lateness;
static uint64_t sent, answered, lost, refused, unexpected;
static char bytes[READ_BYTES];

static void watch(struct connection *c, int operation, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static void set_free(struct connection *c, int64_t when)
{
    c->state = FREE;
    c->since = when;
    reset(&c->answer);
    ready_count++;
    if (!c->listed) {
        c->listed = 1;
        row[(row_begin + row_length++) % connection_count] = c;
    }
}

static struct connection *pick_free(void)
{
    while (row_length) {
        struct connection *c = row[row_begin];
        row_begin = (row_begin + 1) % connection_count;
        row_length--;
        c->listed = 0;
        if (c->state == FREE)
            return c;
    }
    return NULL;
}

static void set_down(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    ready_count -= c->state == FREE;
    c->fd = -1;
    c->state = DOWN;
    down_count++;
}

static void refuse(struct connection *c)
{
    refused++;
    set_down(c);
}

static void make(struct connection *c)
{
    int one = 1;
    down_count--;
    c->state = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        refuse(c);
    else
        watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void make_all(void)
{
    static int64_t again; /* a server that breaks each connection is not asked for thousands a second */
    int64_t when = now();
    if (when < again)
        return;
    again = when + RETRY;
    for (size_t i = 0; i < connection_count; i++)
        if (connections[i].state == DOWN)
            make(&connections[i]);
}

static void connected(struct connection *c, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        refuse(c);
    } else {
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        set_free(c, now());
    }
}

/* The connection is of no more use; what it was asked is lost unless it has been answered. */
static void drop(struct connection *c)
{
    lost += c->state == BUSY;
    set_down(c);
}

static void write_on(struct connection *c)
{
    const struct request *r = &requests[c->request];
    ssize_t count = send(c->fd, r->bytes + c->written, r->length - c->written, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
        drop(c);
        return;
    }
    int waited = c->written > 0 || count < 0;
    c->written += count > 0 ? (size_t)count : 0;
    if (c->written < r->length)
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    else if (waited)
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void ask(struct connection *c, int64_t due)
{
    int64_t when = now();
    record(&lateness, when - (due > c->since ? due : c->since));
    ready_count--;
    c->state = BUSY;
    c->since = due;
    c->request = sent++ % request_count;
    c->written = 0;
    write_on(c);
}

static void finish(struct connection *c, int64_t when)
{
    answered++;
    unexpected += c->answer.status != expected_status;
    record(&latency, when - c->since);
    /* An answer before the whole request has gone out leaves the connection out of step. */
    if (c->answer.last || c->written < requests[c->request].length) {
        set_down(c);
        make(c);
    } else {
        set_free(c, when);
    }
}

/* Level-triggered, one read an event: bytes that are left make another event. */
static void read_on(struct connection *c)
{
    ssize_t count = recv(c->fd, bytes, READ_BYTES, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count == 0 && c->state == BUSY && c->answer.reading == UNTIL_CLOSE)
        finish(c, now());
    else if (count <= 0 || c->state == FREE)
        drop(c); /* closed while free: no loss, a server may. Bytes nobody asked for: out of step. */
    else if (take(&c->answer, bytes, (size_t)count) < count)
        drop(c); /* no HTTP, or more than one answer */
    else if (c->answer.reading == DONE)
        finish(c, now());
}

static void serve(struct connection *c, uint32_t events)
{
    if (c->state == CONNECTING)
        connected(c, events);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_on(c);
    else if (c->state == BUSY)
        write_on(c);
}

/* ---- the run -------------------------------------------------------------------------------------- */

static void turn(int64_t wait)
{
    struct epoll_event events[EVENTS];
    struct timespec time = {wait / SECOND, wait % SECOND};
    int count = epoll_pwait2(epoll_fd, events, EVENTS, &time, NULL);
    if (count < 0 && errno != EINTR)
        fail("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        serve(events[i].data.ptr, events[i].events);
    if (down_count)
        make_all();
}

static void connect_all(size_t port)
{
    int64_t deadline = now() + CONNECT_SECONDS * SECOND;
    for (size_t i = 0; i < connection_count; i++) {
        connections[i].fd = -1;
        set_down(&connections[i]);
    }
    make_all();
    while (ready_count < connection_count) {
        if (now() > deadline)
            fail("%zu of %zu connections to port %zu made in %d s", ready_count, connection_count, port, CONNECT_SECONDS);
        turn(RETRY);
    }
    refused = 0; /* a server that was only starting is no error */
}

static void run(double rate, double seconds, double drain, int64_t spin)
{
    uint64_t total = (uint64_t)(rate * seconds + 0.5), next = 0;
    double interval = 1e9 / rate;
    int64_t start = now() + SECOND / 100;
    int64_t end = start + (int64_t)((seconds + drain) * 1e9);
    while (answered + lost < total) {
        struct connection *c = NULL;
        int64_t due = start + (int64_t)((double)next * interval);
        int64_t when = now();
        if (when >= end)
            break;
        while (next < total && due <= when && (c = pick_free())) {
            ask(c, due);
            due = start + (int64_t)((double)++next * interval);
        }
        int64_t wait = RETRY;
        if (next < total && ready_count) {
            wait = due - now() - spin;
            if (wait <= 0)
                sched_yield();
            wait = wait < 0 ? 0 : wait < RETRY ? wait : RETRY;
        }
        turn(wait);
    }
    int64_t when = now();
    for (size_t i = 0; i < connection_count; i++) {
        if (connections[i].state == BUSY) {
            lost++;
            record(&latency, when - connections[i].since);
        }
    }
    for (; next < total; next++)
        record(&latency, when - start - (int64_t)((double)next * interval));
}

static void load_requests(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t length;
    if (!file)
        fail("%s: %s", path, strerror(errno));
    while (fread(&length, sizeof length, 1, file) == 1) {
        char *content = malloc(length + 1);
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        if (!content || !requests || !length || fread(content, 1, length, file) != length)
            fail("%s: request %zu: expected %" PRIu32 " bytes, from 1", path, request_count + 1, length);
        requests[request_count++] = (struct request){length, content};
    }
    fclose(file);
    if (!request_count)
        fail("%s: expected at least one request", path);
}

static double positive(const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || !(value > 0 && value < 1e9))
        fail("%s: expected a number above 0, found %s", name, text);
    return value;
}

int main(int argc, char **argv)
{
    int quiet = argc == 9 && !strcmp(argv[8], "quiet"), all = argc == 9 && !strcmp(argv[8], "all");
    if (argc != 8 && !quiet && !all)
        fail("expected <port> <requests file> <rate> <seconds> <connections> <status> <drain seconds> [quiet|all]");
    size_t port = (size_t)positive("port", argv[1]);
    double rate = positive("rate", argv[3]), seconds = positive("seconds", argv[4]);
    connection_count = (size_t)positive("connections", argv[5]);
    expected_status = (int)positive("status", argv[6]);
    if (port > 65535 || connection_count < 1 || connection_count > MOST_CONNECTIONS)
        fail("expected a port up to 65535 and 1 to %d connections", MOST_CONNECTIONS);
    load_requests(argv[2]);
    server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connections = calloc(connection_count, sizeof *connections);
    row = calloc(connection_count, sizeof *row);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !row || epoll_fd < 0)
        fail("%s", strerror(errno));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    connect_all(port);
    run(rate, seconds, positive("drain seconds", argv[7]), quiet ? 0 : SECOND / 1000);
    printf("{\"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"unexpected\": %" PRIu64, sent,
           answered, lost + refused, unexpected);
    printf(", \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
           percentile(&latency, 0.5), percentile(&latency, 0.9), percentile(&latency, 0.99), percentile(&latency, 0.999),
           (double)latency.most / 1e3);
    printf(", \"late_p50_us\": %.1f, \"late_p99_us\": %.1f, \"late_p999_us\": %.1f, \"late_max_us\": %.1f",
           percentile(&lateness, 0.5), percentile(&lateness, 0.99), percentile(&lateness, 0.999),
           (double)lateness.most / 1e3);
    if (all) {
        const char *before = ", \"waits\": [";
        for (size_t step = 0; step < STEPS; step++) {
            if (latency.steps[step]) {
                printf("%s[%.1f, %" PRIu64 "]", before, middle(&latency, step), latency.steps[step]);
                before = ", ";
            }
        }
        printf("%s]", latency.total ? "" : ", \"waits\": [");
    }
    puts("}");
    return 0;
}
