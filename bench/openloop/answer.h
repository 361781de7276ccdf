/* One HTTP/1 answer as it comes in, in pieces of any size: its status, where it ends, and whether the
 * connection can be used again (RFC 9112 sections 2, 6, 7 and 9.3). Knows no sockets. Answers to HEAD are
 * not for here: whether a body follows is told from the answer's own head alone. */
#ifndef FASTGW_BENCH_ANSWER_H
#define FASTGW_BENCH_ANSWER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

enum { LINE_BYTES = 512 }; /* of a line as much is looked at; the rest is passed over */

enum reading { STATUS_LINE, FIELDS, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILERS, UNTIL_CLOSE, DONE };

struct answer {
    enum reading reading;
    int status, chunked, has_length, last; /* last: the server will close the connection */
    uint64_t left;                         /* bytes of the body, or of the chunk, still to come */
    size_t length;
    char line[LINE_BYTES];
};

/* Digits of `base` up to a separator; -1 if there is none or it is too large. */
static int number(const char *text, unsigned base, uint64_t *value)
{
    uint64_t found = 0;
    size_t digits = 0;
    for (;; digits++) {
        unsigned c = (unsigned char)text[digits];
        unsigned digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
        if (digit >= base)
            break;
        if (found > (UINT64_MAX >> 8))
            return -1;
        found = found * base + digit;
    }
    *value = found;
    return digits && strchr(" \t;", text[digits]) ? 0 : -1; /* strchr finds the final NUL too */
}

static int begin_body(struct answer *a)
{
    if (a->status < 200) { /* an interim answer: the real one follows (RFC 9110 section 15.2) */
        a->reading = STATUS_LINE;
        return a->status == 101 ? -1 : 0;
    }
    if (a->status == 204 || a->status == 304 || (a->has_length && !a->chunked && !a->left))
        a->reading = DONE;
    else if (a->chunked)
        a->reading = CHUNK_SIZE;
    else
        a->reading = a->has_length ? BODY : UNTIL_CLOSE;
    a->last |= a->reading == UNTIL_CLOSE;
    return 0;
}

static int field(struct answer *a)
{
    char *colon = strchr(a->line, ':');
    if (!colon)
        return -1;
    *colon = 0;
    const char *value = colon + 1;
    value += *value == ' ' || *value == '\t' ? strspn(value, " \t") : 0;
    size_t length = (size_t)(colon - a->line);
    if (length == 14 && !strcasecmp(a->line, "content-length")) {
        a->has_length = 1;
        return number(value, 10, &a->left);
    }
    if (length == 17 && !strcasecmp(a->line, "transfer-encoding"))
        a->chunked = strcasestr(value, "chunked") != NULL;
    else if (length == 10 && !strcasecmp(a->line, "connection"))
        a->last = strcasestr(value, "close") || (a->last && !strcasestr(value, "keep-alive"));
    return 0;
}

/* One whole line, without its end; -1 when it is not HTTP/1. */
static int line(struct answer *a)
{
    switch (a->reading) {
    case STATUS_LINE:
        if (strncmp(a->line, "HTTP/1.1 ", 9) && strncmp(a->line, "HTTP/1.0 ", 9))
            return -1;
        a->status = (int)strtol(a->line + 9, NULL, 10);
        a->last = a->line[7] == '0';
        a->chunked = a->has_length = 0;
        a->left = 0;
        a->reading = FIELDS;
        return a->status >= 100 && a->status <= 999 ? 0 : -1;
    case FIELDS:
        return a->line[0] ? field(a) : begin_body(a);
    case CHUNK_SIZE:
        if (number(a->line, 16, &a->left))
            return -1;
        a->reading = a->left ? CHUNK_DATA : TRAILERS;
        return 0;
    case CHUNK_END:
        a->reading = CHUNK_SIZE;
        return a->line[0] ? -1 : 0;
    default: /* TRAILERS */
        if (!a->line[0])
            a->reading = DONE;
        return 0;
    }
}

/* Whether a line of the head can say where the answer ends, by where the colon of such a field would be; of others it matters only
 * that they are fields. What is spent on a head comes off the core that the upstream shares, and would be charged to a gateway
 * that says more to its clients. */
static int telling(const char *line, size_t length)
{
    static const size_t names[] = {sizeof "connection" - 1, sizeof "content-length" - 1, sizeof "transfer-encoding" - 1};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (length > names[i] && line[names[i]] == ':')
            return 1;
    return length <= 1; /* the end of the head, or of a line that is none */
}

/* Take bytes of one answer; how many, or -1 when they are no answer. */
static ssize_t take(struct answer *a, const char *bytes, size_t count)
{
    size_t at = 0;
    while (at < count && a->reading != DONE) {
        if (a->reading == UNTIL_CLOSE)
            return (ssize_t)count;
        if (a->reading == BODY || a->reading == CHUNK_DATA) {
            size_t piece = count - at < a->left ? count - at : (size_t)a->left;
            at += piece;
            if (!(a->left -= piece))
                a->reading = a->reading == BODY ? DONE : CHUNK_END;
            continue;
        }
        const char *end = a->length ? NULL : memchr(bytes + at, '\n', count - at);
        if (end) { /* a whole line: no need to gather it */
            const char *begin = bytes + at;
            size_t length = (size_t)(end - begin);
            at += length + 1;
            length = length < LINE_BYTES - 1 ? length : LINE_BYTES - 1;
            if (a->reading == FIELDS && !telling(begin, length)) {
                if (!memchr(begin, ':', length))
                    return -1;
                continue;
            }
            length -= length && begin[length - 1] == '\r';
            memcpy(a->line, begin, length);
            a->line[length] = 0;
            if (line(a))
                return -1;
            continue;
        }
        char c = bytes[at++];
        if (c == '\n') {
            a->length -= a->length && a->line[a->length - 1] == '\r';
            a->line[a->length] = 0;
            a->length = 0;
            if (line(a))
                return -1;
        } else if (a->length < LINE_BYTES - 1) {
            a->line[a->length++] = c;
        }
    }
    return (ssize_t)at;
}

/* Ready for the next answer. */
static void reset(struct answer *a)
{
    memset(a, 0, offsetof(struct answer, line));
}

#endif
