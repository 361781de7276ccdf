# Shapes of the JSON room: see json.pxi.
cdef enum:
    JSON_MAX_DEPTH = 32         # containers inside each other; claims seen in the wild stay under 8
    JSON_MAX_OPEN = 256         # names remembered at once: of an object and of those around it
    JSON_MAX_CLASHES = 8        # different names of one 32-bit hash: an honest document has none
    JSON_MAX_EXPONENT = 1 << 30  # where exponents saturate: beyond any document's count of digits
    JSON_MAX_NUMBER = 1024      # bytes of a number: beyond any double's digits (767), within int()'s (4300)
    JSON_WHOLE_BITS = 53        # numbers that mean a time lie within +-2^53, where a double is exact


cdef enum JsonFault:
    JSON_OK
    JSON_NOT_OBJECT             # the document is something else, or nothing
    JSON_SYNTAX                 # a byte where the grammar has no place for it, or the end too early
    JSON_BAD_STRING             # control byte, unknown escape, lone surrogate, not UTF-8
    JSON_BAD_NUMBER
    JSON_TOO_DEEP
    JSON_DUPLICATE              # a member name twice in one object
    JSON_CROWDED                # over JSON_MAX_OPEN or JSON_MAX_CLASHES
    JSON_TRAILING               # bytes after the document

cdef enum JsonKind:
    JSON_ABSENT
    JSON_NULL
    JSON_TRUE
    JSON_FALSE
    JSON_NUMBER
    JSON_STRING
    JSON_OBJECT
    JSON_ARRAY

cdef struct JsonWant:
    JsonText name               # what to look for at the top level
    JsonText value              # what was found
    int32_t kind                # a JsonKind

cdef struct JsonScan:           # work space; nothing in it outlives a call
    const uint8_t* end
    JsonWant* wants
    size_t want_count
    int32_t fault
    uint32_t depth
    uint32_t open               # names in use
    uint32_t clashes
    uint32_t hashes[JSON_MAX_OPEN]
    JsonText names[JSON_MAX_OPEN]

cdef void json_want(JsonWant* want, const uint8_t* name, size_t length) noexcept nogil
cdef int json_scan(
    const uint8_t* doc, size_t length, JsonWant* wants, size_t want_count, JsonScan* scan
) noexcept nogil
cdef bint json_number_ceil(const JsonText* number, int64_t* out) noexcept nogil
cdef bint json_number_floor(const JsonText* number, int64_t* out) noexcept nogil
