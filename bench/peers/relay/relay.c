/* A bare layer-4 relay: the limit a proxy on two TCP connections can reach.
 *
 *     relay <port> <upstream port> <processes>
 *
 * For each client connection it opens one upstream connection and copies bytes both ways. It parses
 * nothing, logs nothing, keeps no timers. Edge-triggered epoll: a source is read until EAGAIN or until
 * its sink is full; a sink that drains makes its source be read again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 16384,  /* as large as nginx's and HAProxy's default buffers */
    EVENTS = 256,
    BACKLOG = 4096,
};

struct side {
    struct pair *pair;
    int fd;
    int hung_up;          /* a FIN is on its way to us: its edge has come and comes only once */
    int ended;            /* the FIN has been read */
    size_t begin, end;    /* bytes read from this side, not yet written to the other */
    char bytes[BUFFER_BYTES];
};

struct pair {
    struct side client, upstream;
    struct pair *next_dead;
    int dead;
};

static int epoll_fd;
static struct sockaddr_in upstream_address;
static struct pair *dead_pairs;  /* freed after the batch: later events of it may still name them */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void close_pair(struct pair *pair)
{
    if (pair->dead)
        return;
    pair->dead = 1;
    close(pair->client.fd);
    close(pair->upstream.fd);
    pair->next_dead = dead_pairs;
    dead_pairs = pair;
}

static void free_dead(void)
{
    while (dead_pairs) {
        struct pair *next = dead_pairs->next_dead;
        free(dead_pairs);
        dead_pairs = next;
    }
}

/* 1: all written, 0: the sink is full, -1: broken. */
static int flush(struct side *from, struct side *to)
{
    while (from->begin < from->end) {
        ssize_t sent = send(to->fd, from->bytes + from->begin, from->end - from->begin, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        from->begin += (size_t)sent;
    }
    from->begin = from->end = 0;
    return 1;
}

/* Copy until the source is empty or the sink full; -1 when the pair is done for. */
static int pump(struct side *from, struct side *to)
{
    for (;;) {
        int flushed = flush(from, to);
        if (flushed <= 0)
            return flushed;
        if (from->ended)
            return to->ended ? -1 : 0;
        ssize_t got = recv(from->fd, from->bytes, BUFFER_BYTES, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        if (got == 0) {
            from->ended = 1;
            shutdown(to->fd, SHUT_WR);
            continue;
        }
        from->end = (size_t)got;
        /* A short read has emptied the socket: the next edge tells of more, and a recv is saved. */
        if (got < BUFFER_BYTES && !from->hung_up)
            return flush(from, to) < 0 ? -1 : 0;
    }
}

static void watch(struct side *side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, side->fd, &event) < 0)
        fail("epoll_ctl");
}

static void accept_all(int listener)
{
    for (;;) {
        int one = 1;
        int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (client < 0)
            return;
        int upstream = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        struct pair *pair = calloc(1, sizeof *pair);
        if (upstream < 0 || !pair)
            fail("connection");
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pair->client.fd = client;
        pair->upstream.fd = upstream;
        pair->client.pair = pair->upstream.pair = pair;
        if (connect(upstream, (struct sockaddr *)&upstream_address, sizeof upstream_address) < 0 &&
            errno != EINPROGRESS) {
            close(client);
            close(upstream);
            free(pair);
            continue;
        }
        watch(&pair->upstream);
        watch(&pair->client);
    }
}

static void serve(struct side *side, unsigned events)
{
    struct pair *pair = side->pair;
    struct side *other = side == &pair->client ? &pair->upstream : &pair->client;
    if (pair->dead)
        return;
    int broken = (events & EPOLLERR) != 0;
    if (events & EPOLLRDHUP)
        side->hung_up = 1;
    if (!broken && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
        broken = pump(side, other) < 0;
    if (!broken && (events & EPOLLOUT) && other->begin < other->end)
        broken = pump(other, side) < 0;
    if (broken)
        close_pair(pair);
}

static int listen_on(int port)
{
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (listener < 0)
        fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, BACKLOG) < 0)
        fail("listen");
    return listener;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: relay <port> <upstream port> <processes>\n");
        return 2;
    }
    for (int i = 1; i < atoi(argv[3]); i++) {
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        }
    }
    upstream_address = (struct sockaddr_in){.sin_family = AF_INET,
                                            .sin_port = htons((unsigned short)atoi(argv[2])),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        fail("epoll");
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                serve(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        free_dead();
    }
}
