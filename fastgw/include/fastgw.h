/* fastgw's core for programs in C and Cython: limits and tokens without the interpreter.
 *
 * Owns: the shapes of the capsule fastgw._core._C_API. What a Limiter or a JWTVerifier is, fastgw.core says; here each is a
 * handle that lives as long as the Python object which it was taken from: keep a reference to that.
 *
 *     const FastgwApi *fastgw = fastgw_import();                        with the interpreter; NULL: an exception is set
 *     const FastgwLimiter *limit = fastgw->limiter(object);             likewise
 *     FastgwDecision said;
 *     fastgw->hit(limit, "key", 3, 1, &said);                           with or without it, from any thread
 */
#ifndef FASTGW_H
#define FASTGW_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#define FASTGW_API_VERSION 1

typedef struct FastgwLimiter FastgwLimiter;
typedef struct FastgwVerifier FastgwVerifier;

typedef struct {
    int32_t allowed;            /* 1: it was counted; 0: the limit is reached, nothing was */
    int32_t failed;             /* 1: there was no room for the key, or too many races lost; then it is not allowed */
    int64_t limit;              /* the most that can pass at once */
    int64_t remaining;          /* how many more would pass now */
    uint64_t reset_ns;          /* until nothing consumed counts any more */
    uint64_t retry_after_ns;    /* until such a hit would pass; UINT64_MAX: never */
} FastgwDecision;

typedef struct {
    uint32_t version;           /* FASTGW_API_VERSION of the module */
    uint32_t size;              /* bytes of this struct there: later versions only add members */
    /* The handle of a fastgw.core.Limiter or JWTVerifier. Needs the interpreter; NULL: a TypeError is set. */
    const FastgwLimiter *(*limiter)(PyObject *object);
    const FastgwVerifier *(*verifier)(PyObject *object);
    /* Counts `cost` (at least 1) for a key of n bytes, at CLOCK_MONOTONIC's now. */
    void (*hit)(const FastgwLimiter *limiter, const char *key, size_t n, uint64_t cost, FastgwDecision *said);
    /* Judges a token of n bytes at `now`, in seconds since 1970. 0: it is good, and its payload, JSON in UTF-8, is in `payload`,
     * cut off at `room` bytes, `length` long. Above 0: it is refused, see `reason`. -1: the key is no shared secret, or claims
     * other than exp and nbf are required, so JWTVerifier.verify must be asked. -2: no memory. */
    int (*verify)(const FastgwVerifier *verifier, const char *token, size_t n, int64_t now, char *payload, size_t room,
                  size_t *length);
    /* Why a token was refused: "jwt.expired". Static text. */
    const char *(*reason)(int verdict);
} FastgwApi;

/* The functions, after `import fastgw.core`. NULL: an exception is set. */
static inline const FastgwApi *fastgw_import(void)
{
    const FastgwApi *api = (const FastgwApi *)PyCapsule_Import("fastgw._core._C_API", 0);
    if (api != NULL && api->version != FASTGW_API_VERSION) {
        PyErr_Format(PyExc_ImportError, "fastgw: expected version %d of its C API, found %u", FASTGW_API_VERSION, api->version);
        return NULL;
    }
    return api;
}

#endif
