/* The upstream where one small answer is all that is asked of it: two system calls a request and next to nothing else.
 *
 * It shares a core with the load generator. What it costs comes off the load that one core can make, and what it takes longer
 * for the longer heads of a gateway that says more of its clients would be charged to that gateway: so it looks of a head only
 * for the ends of its lines, by memchr, and at their first letters. One thread, one epoll set; a head in pieces and several heads in one read are both understood.
 *
 * origin PORT FILE: answers with the content of FILE, and /origin-status with how many requests came. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, EVENTS = 256, MOST = 4096, LINES = 65536 };

static const char STATUS[] = "GET /origin-status ", CLOSE[] = "close\r\n";
static char answer[MOST];
static size_t answer_size;
static unsigned long requests;
static unsigned char *begun; /* of a connection: the line under way has text, which is more than a CR */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* How many heads end in these bytes: each empty line is the end of one. `last`: a line says that the connection is to be closed. */
static size_t ends(int fd, const char *bytes, size_t size, int *last)
{
    const char *line = bytes, *stop = bytes + size, *end;
    size_t count = 0;
    int text = begun[fd];
    for (; (end = memchr(line, '\n', (size_t)(stop - line))) != NULL; line = end + 1, text = 0) {
        size_t length = (size_t)(end - line);
        if (!text && (length == 0 || (length == 1 && *line == '\r')))
            count++;
        else if ((*line | 32) == 'c' && length >= sizeof CLOSE && memcmp(end - 6, CLOSE, 7) == 0)
            *last = 1;
    }
    begun[fd] = (unsigned char)(text || stop - line > 1 || (stop - line == 1 && *line != '\r'));
    return count;
}

static int put(int fd, const char *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1; /* small: it fits, or the peer does not read */
}

static int serve(int fd, const char *bytes, size_t size)
{
    int last = 0;
    size_t count = ends(fd, bytes, size, &last);
    if (size > sizeof STATUS && memcmp(bytes, STATUS, sizeof STATUS - 1) == 0) {
        char page[256], text[64];
        int length = snprintf(text, sizeof text, "%lu\n", requests);
        int whole = snprintf(page, sizeof page, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length, text);
        put(fd, page, (size_t)whole);
        return -1;
    }
    requests += count;
    while (count--)
        if (put(fd, answer, answer_size) < 0)
            return -1;
    return last ? -1 : 0;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    char body[MOST / 2], date[64];
    time_t now = time(NULL);
    if (!file)
        fail(path);
    size_t size = fread(body, 1, sizeof body, file);
    fclose(file);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    answer_size = (size_t)snprintf(answer, MOST / 2,
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n",
        date, size);
    memcpy(answer + answer_size, body, size);
    answer_size += size;
}

int main(int argc, char **argv)
{
    static char bytes[READ_BYTES];
    struct epoll_event events[EVENTS];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), set = epoll_create1(0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (argc != 3)
        return fprintf(stderr, "usage: origin PORT FILE\n"), 2;
    here.sin_port = htons((unsigned short)atoi(argv[1]));
    load(argv[2]);
    begun = calloc(LINES, 1);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!begun || bind(listener, (struct sockaddr *)&here, sizeof here) < 0 || listen(listener, 4096) < 0)
        fail("origin");
    struct epoll_event in = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &in);
    for (;;) {
        int count = epoll_wait(set, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    struct epoll_event line = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    if (fd >= LINES || epoll_ctl(set, EPOLL_CTL_ADD, fd, &line) < 0)
                        close(fd);
                    else
                        begun[fd] = 0;
                }
                continue;
            }
            ssize_t size = recv(fd, bytes, sizeof bytes, 0);
            if (size < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            if (size <= 0 || serve(fd, bytes, (size_t)size) < 0)
                close(fd);
        }
    }
}
