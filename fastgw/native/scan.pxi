# scan: how many bytes in front are of a kind, see scan.h.

cdef extern from "scan.h" nogil:
    enum:
        SCAN_KEY
    size_t scan_text(const char* s, size_t n) noexcept
    size_t scan_visible(const char* s, size_t n) noexcept
    size_t scan_open(const char* s, size_t n) noexcept
    size_t scan_plain(const char* s, size_t n, char* key) noexcept
    size_t scan_host(const char* s, size_t n, char* out, int* empty) noexcept
    size_t scan_text_portable(const char* s, size_t n) noexcept
    size_t scan_visible_portable(const char* s, size_t n) noexcept
    size_t scan_open_portable(const char* s, size_t n) noexcept
    size_t scan_plain_portable(const char* s, size_t n, char* key) noexcept
    size_t scan_host_portable(const char* s, size_t n, char* out, int* empty) noexcept


# --- for tests ---

def _test_scan(kind: str, data: bytes, portable: bool) -> tuple[int, bytes]:
    """The run of that kind in front, and what of a plain one is kept. Nothing lies behind the bytes."""
    cdef char key[SCAN_KEY]
    cdef size_t n = len(data), run
    cdef char* s = <char*>malloc(n or 1)
    if s == NULL:
        raise MemoryError
    memcpy(s, <const char*>data, n)
    memset(key, 0, sizeof(key))
    if kind == "text":
        run = scan_text_portable(s, n) if portable else scan_text(s, n)
    elif kind == "visible":
        run = scan_visible_portable(s, n) if portable else scan_visible(s, n)
    elif kind == "open":
        run = scan_open_portable(s, n) if portable else scan_open(s, n)
    else:
        run = scan_plain_portable(s, n, key) if portable else scan_plain(s, n, key)
    free(s)
    return run, key[:SCAN_KEY]


def _test_scan_host(data: bytes, portable: bool) -> tuple[bytes, bool]:
    """The run in front that a host may be made of, in lower case, and whether a label in it is empty."""
    cdef size_t n = len(data), run
    cdef int empty
    cdef char* s = <char*>malloc(n or 1)
    cdef char* out = <char*>malloc(n or 1)
    if s == NULL or out == NULL:
        free(s)
        free(out)
        raise MemoryError
    memcpy(s, <const char*>data, n)
    run = scan_host_portable(s, n, out, &empty) if portable else scan_host(s, n, out, &empty)
    found = out[:run], bool(empty)
    free(s)
    free(out)
    return found
