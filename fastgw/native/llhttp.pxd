# llhttp as httptools ships it: its C layout and entry points, declared here because no header is installed.
#
# Owns: the shapes. They must equal llhttp 9.3.0 to 9.4.3 (httptools 0.7.1, 0.8.0, 0.9.0), whose layouts are
# the same; llhttp.pxi proves it at import. No leniency flag of llhttp is declared, so that none can be set.

cdef enum LlhttpType:
    LLHTTP_REQUEST = 1
    LLHTTP_RESPONSE = 2

cdef enum LlhttpErrno:          # the values the gateway tells apart
    HPE_OK = 0
    HPE_INVALID_METHOD = 6
    HPE_INVALID_URL = 7
    HPE_INVALID_VERSION = 9
    HPE_PAUSED = 21
    HPE_PAUSED_H2_UPGRADE = 23
    HPE_USER = 24

cdef enum LlhttpMethod:         # the values the gateway has rules about
    HTTP_GET = 1
    HTTP_HEAD = 2
    HTTP_POST = 3
    HTTP_PUT = 4
    HTTP_CONNECT = 5
    HTTP_OPTIONS = 6
    HTTP_TRACE = 7
    HTTP_PRI = 34               # 34 to 45 are HTTP/2's preface and RTSP
    HTTP_FLUSH = 45

cdef struct llhttp_t:
    int32_t _index
    void* _span_pos0
    void* _span_cb0
    int32_t error
    const char* reason
    const char* error_pos
    void* data
    void* _current
    uint64_t content_length
    uint8_t type
    uint8_t method
    uint8_t http_major
    uint8_t http_minor
    uint8_t header_state
    uint16_t lenient_flags
    uint8_t upgrade
    uint8_t finish
    uint16_t flags
    uint16_t status_code
    uint8_t initial_message_completed
    void* settings

ctypedef int (*llhttp_data_cb)(llhttp_t*, const char*, size_t) noexcept nogil
ctypedef int (*llhttp_cb)(llhttp_t*) noexcept nogil

cdef struct llhttp_settings_t:  # positional
    llhttp_cb on_message_begin
    llhttp_data_cb on_protocol
    llhttp_data_cb on_url
    llhttp_data_cb on_status
    llhttp_data_cb on_method
    llhttp_data_cb on_version
    llhttp_data_cb on_header_field
    llhttp_data_cb on_header_value
    llhttp_data_cb on_chunk_extension_name
    llhttp_data_cb on_chunk_extension_value
    llhttp_cb on_headers_complete
    llhttp_data_cb on_body
    llhttp_cb on_message_complete
    llhttp_cb on_protocol_complete
    llhttp_cb on_url_complete
    llhttp_cb on_status_complete
    llhttp_cb on_method_complete
    llhttp_cb on_version_complete
    llhttp_cb on_header_field_complete
    llhttp_cb on_header_value_complete
    llhttp_cb on_chunk_extension_name_complete
    llhttp_cb on_chunk_extension_value_complete
    llhttp_cb on_chunk_header
    llhttp_cb on_chunk_complete
    llhttp_cb on_reset

ctypedef uint8_t (*LlhttpGet)(llhttp_t*) noexcept nogil

cdef struct LlhttpApi:          # entry points, resolved once from the loaded extension of httptools
    void (*init)(llhttp_t*, int, const llhttp_settings_t*) noexcept nogil
    void (*settings_init)(llhttp_settings_t*) noexcept nogil
    int (*execute)(llhttp_t*, const char*, size_t) noexcept nogil
    void (*resume)(llhttp_t*) noexcept nogil
    int (*get_errno)(const llhttp_t*) noexcept nogil
    const char* (*get_error_reason)(const llhttp_t*) noexcept nogil
    const char* (*get_error_pos)(const llhttp_t*) noexcept nogil
    int (*get_status_code)(llhttp_t*) noexcept nogil
    LlhttpGet get_type          # this and the next three: for the self-check alone
    LlhttpGet get_method
    LlhttpGet get_http_major
    LlhttpGet get_http_minor

cdef struct LlhttpEvent:        # one callback, as the self-check saw it
    char kind
    int at
    int len

cdef enum:
    LLHTTP_TRACE = 32           # events kept: more than the known messages cause
    LLHTTP_ROOM_WORDS = 64      # room offered to init calls, to see how much they write; words, to be aligned
    LLHTTP_ROOM = 512           # the same in bytes

cdef struct LlhttpTrace:
    const char* base
    const void* data            # what the parser's own pointer must be in every callback
    int n
    int strange                 # callbacks with a foreign pointer, or too many
    LlhttpEvent events[LLHTTP_TRACE]
