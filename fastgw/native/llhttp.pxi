# llhttp: the strict HTTP/1 tokeniser inside httptools, called through C.
#
# Owns: finding its functions and proving, at import, that the layouts in llhttp.pxd are the ones it was
# compiled with. Must not know what a head is for. A new llhttp layout means a new declaration and a new
# dependency range.

from httptools import __version__ as _httptools_version
from httptools.parser import parser as _httptools_parser

cdef LlhttpApi llhttp           # filled at import, never changed
cdef LlhttpTrace llhttp_trace   # of the self-check; llhttp_t.data, itself under test, does not lead to it

LLHTTP_FITS = ">=0.7.1,<0.10"


cdef void* llhttp_symbol(void* handle, str name, list missing) except? NULL:
    cdef bytes raw = name.encode()
    cdef void* address = dlsym(handle, <const char*>raw)
    if address == NULL:
        missing.append(name)
    return address


cdef str llhttp_resolve(str path, LlhttpApi* api):
    """Fill `api` from the extension at `path`, which is loaded already; return what is wrong, or None."""
    cdef bytes raw = path.encode()
    cdef void* handle = dlopen(<const char*>raw, RTLD_NOLOAD | RTLD_NOW)
    cdef list missing = []
    if handle == NULL:
        return f"{path} is not loaded"
    api.init = <void (*)(llhttp_t*, int, const llhttp_settings_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_init", missing)
    api.settings_init = <void (*)(llhttp_settings_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_settings_init", missing)
    api.execute = <int (*)(llhttp_t*, const char*, size_t) noexcept nogil>llhttp_symbol(
        handle, "llhttp_execute", missing)
    api.resume = <void (*)(llhttp_t*) noexcept nogil>llhttp_symbol(handle, "llhttp_resume", missing)
    api.get_errno = <int (*)(const llhttp_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_get_errno", missing)
    api.get_error_reason = <const char* (*)(const llhttp_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_get_error_reason", missing)
    api.get_error_pos = <const char* (*)(const llhttp_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_get_error_pos", missing)
    api.get_status_code = <int (*)(llhttp_t*) noexcept nogil>llhttp_symbol(
        handle, "llhttp_get_status_code", missing)
    api.get_type = <LlhttpGet>llhttp_symbol(handle, "llhttp_get_type", missing)
    api.get_method = <LlhttpGet>llhttp_symbol(handle, "llhttp_get_method", missing)
    api.get_http_major = <LlhttpGet>llhttp_symbol(handle, "llhttp_get_http_major", missing)
    api.get_http_minor = <LlhttpGet>llhttp_symbol(handle, "llhttp_get_http_minor", missing)
    # The handle is kept: it only counts a reference on an extension that Python never unloads.
    return f"it does not export {', '.join(missing)}" if missing else None


cdef void llhttp_note(llhttp_t* parser, char kind, const char* at, size_t n) noexcept nogil:
    """Add a callback to the trace; pieces of one span become one event."""
    cdef LlhttpTrace* t = &llhttp_trace
    cdef LlhttpEvent* last = &t.events[t.n - 1] if t.n else NULL
    if parser.data != t.data or t.n == LLHTTP_TRACE:
        t.strange += 1
    elif last != NULL and last.kind == kind and at != NULL:
        if last.len == 0:
            last.at = <int>(at - t.base)
        last.len += <int>n
    else:
        t.events[t.n].kind = kind
        t.events[t.n].at = <int>(at - t.base) if at != NULL else 0
        t.events[t.n].len = <int>n
        t.n += 1


cdef int llhttp_saw_url(llhttp_t* p, const char* at, size_t n) noexcept nogil:
    llhttp_note(p, c"u", at, n)
    return 0


cdef int llhttp_saw_status(llhttp_t* p, const char* at, size_t n) noexcept nogil:
    llhttp_note(p, c"s", at, n)
    return 0


cdef int llhttp_saw_field(llhttp_t* p, const char* at, size_t n) noexcept nogil:
    llhttp_note(p, c"f", at, n)
    return 0


cdef int llhttp_saw_value(llhttp_t* p, const char* at, size_t n) noexcept nogil:
    llhttp_note(p, c"v", at, n)
    return 0


cdef int llhttp_saw_version_end(llhttp_t* p) noexcept nogil:
    llhttp_note(p, c"V", NULL, 0)
    return 0


cdef int llhttp_saw_end(llhttp_t* p) noexcept nogil:
    llhttp_note(p, c"E", NULL, 0)
    return HPE_PAUSED


cdef int llhttp_saw_refusal(llhttp_t* p, const char* at, size_t n) noexcept nogil:
    return HPE_USER


cdef str llhttp_check_sizes(LlhttpApi* api):
    """Both structs are as long as what llhttp itself clears, and the fields it sets are where we look."""
    cdef uint64_t room[LLHTTP_ROOM_WORDS]
    cdef llhttp_t* parser = <llhttp_t*><void*>room
    cdef llhttp_settings_t settings
    cdef size_t size
    memset(room, 0xA5, LLHTTP_ROOM)
    api.settings_init(<llhttp_settings_t*><void*>room)
    size = llhttp_written(<const uint8_t*>room)
    if size != sizeof(llhttp_settings_t):
        return f"llhttp_settings_t has {size} bytes where {sizeof(llhttp_settings_t)} were expected"
    memset(room, 0xA5, LLHTTP_ROOM)
    api.init(parser, LLHTTP_RESPONSE, &settings)
    size = llhttp_written(<const uint8_t*>room)
    if size != sizeof(llhttp_t):
        return f"llhttp_t has {size} bytes where {sizeof(llhttp_t)} were expected"
    if parser.settings != &settings or parser.type != LLHTTP_RESPONSE or parser.lenient_flags != 0:
        return "llhttp_init sets other fields than expected"
    parser.error = HPE_PAUSED
    parser.reason = "a"
    parser.error_pos = parser.reason + 1
    if (api.get_errno(parser) != HPE_PAUSED or api.get_error_reason(parser) != parser.reason
            or api.get_error_pos(parser) != parser.error_pos):
        return "the error fields of llhttp_t are elsewhere"
    api.resume(parser)
    return None if parser.error == HPE_OK else "llhttp_resume does not clear a pause"


cdef size_t llhttp_written(const uint8_t* room) noexcept nogil:
    cdef size_t n = LLHTTP_ROOM
    while n and room[n - 1] == 0xA5:
        n -= 1
    return n


cdef str llhttp_check_message(LlhttpApi* api, int kind, bytes message, list expected, tuple numbers, int cut):
    """Parse a message whole or cut in two; its events and fields must be the expected ones."""
    cdef uint64_t room[LLHTTP_ROOM_WORDS]
    cdef llhttp_t* parser = <llhttp_t*><void*>room
    cdef llhttp_settings_t settings
    cdef const char* base = message
    cdef const char* end
    cdef int code = HPE_OK
    api.settings_init(&settings)
    settings.on_url, settings.on_status = llhttp_saw_url, llhttp_saw_status
    settings.on_version_complete = llhttp_saw_version_end
    settings.on_header_field, settings.on_header_value = llhttp_saw_field, llhttp_saw_value
    settings.on_headers_complete = llhttp_saw_end
    api.init(parser, kind, &settings)
    memset(&llhttp_trace, 0, sizeof(llhttp_trace))
    llhttp_trace.base, llhttp_trace.data = base, room
    parser.data = room
    if cut:
        code = api.execute(parser, base, cut)
    if code == HPE_OK:
        code = api.execute(parser, base + cut, len(message) - cut)
    if code != HPE_PAUSED or api.get_errno(parser) != HPE_PAUSED or parser.error != HPE_PAUSED:
        reason = api.get_error_reason(parser)
        return f"gives {code} ({(<bytes>reason).decode() if reason != NULL else 'no reason'})"
    end = api.get_error_pos(parser)
    if end - base != message.index(b"\r\n\r\n") + 4:
        return f"pauses at {end - base}"
    events = [
        (chr(e.kind), message[e.at : e.at + e.len]) for e in llhttp_trace.events[: llhttp_trace.n]
    ]
    if llhttp_trace.strange or events != expected:
        return f"calls back with {events}"
    found = (parser.type, parser.method, parser.http_major, parser.http_minor, parser.status_code)
    asked = (api.get_type(parser), api.get_method(parser), api.get_http_major(parser),
             api.get_http_minor(parser), api.get_status_code(parser))
    return None if found == asked == numbers else f"has fields {found} and getters {asked}, not {numbers}"


cdef str llhttp_check_refusals(LlhttpApi* api):
    """The error numbers the gateway tells apart."""
    cdef uint64_t room[LLHTTP_ROOM_WORDS]
    cdef llhttp_t* parser = <llhttp_t*><void*>room
    cdef llhttp_settings_t settings
    cdef bytes message
    cdef int code, expected
    api.settings_init(&settings)
    settings.on_header_value = llhttp_saw_refusal
    for message, expected in (
        (b"FOO / HTTP/1.1\r\n", HPE_INVALID_METHOD),
        (b"GET /\x01 HTTP/1.1\r\n", HPE_INVALID_URL),
        (b"GET / HTTP/1.2\r\n", HPE_INVALID_VERSION),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HPE_PAUSED_H2_UPGRADE),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", HPE_USER),
    ):
        api.init(parser, LLHTTP_REQUEST, &settings)
        code = api.execute(parser, <const char*>message, len(message))
        if code != expected:
            return f"{message!r} gives {code}, not {expected}"
    return None


cdef str llhttp_check(LlhttpApi* api):
    """Everything the gateway relies on, tried; return what does not fit, or None."""
    cdef bytes request = b"POST /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\nTwo:\t1 2 \r\n\r\nrest"
    cdef bytes response = b"HTTP/1.0 404 Not Found\r\nA: b\r\nContent-Length: 3\r\n\r\nabc"
    cdef list asked = [
        ("u", b"/a?b"), ("V", b""), ("f", b"Host"), ("v", b"x"), ("f", b"Empty"), ("v", b""),
        ("f", b"Two"), ("v", b"1 2 "), ("E", b""),
    ]
    cdef list answered = [
        ("V", b""), ("s", b"Not Found"), ("f", b"A"), ("v", b"b"), ("f", b"Content-Length"), ("v", b"3"),
        ("E", b""),
    ]
    cdef str fault = llhttp_check_sizes(api) or llhttp_check_refusals(api)
    if fault:
        return fault
    for kind, message, events, numbers in (
        (LLHTTP_REQUEST, request, asked, (LLHTTP_REQUEST, HTTP_POST, 1, 1, 0)),
        (LLHTTP_RESPONSE, response, answered, (LLHTTP_RESPONSE, 0, 1, 0, 404)),
    ):
        for cut in range(len(message)):
            fault = llhttp_check_message(api, kind, message, events, numbers, cut)
            if fault:
                return f"{message!r}, cut at {cut}: {fault}"
    return None


cdef int llhttp_load(str path, str version, LlhttpApi* api) except -1:
    """Resolve and prove; raise ImportError naming the installed httptools and the versions that work."""
    cdef str fault = llhttp_resolve(path, api) or llhttp_check(api)
    if fault:
        raise ImportError(
            f"httptools {version} does not fit fastgw, which needs httptools{LLHTTP_FITS}: {fault}", path=path
        )
    return 0


llhttp_load(_httptools_parser.__file__, _httptools_version, &llhttp)


def _test_llhttp_load(path: str, version: str) -> None:
    """Prove another loaded library, as the import does with httptools' own."""
    cdef LlhttpApi api
    llhttp_load(path, version, &api)
