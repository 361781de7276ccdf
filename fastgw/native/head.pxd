# A parsed head: offsets into one contiguous run of bytes, no object per field.
# Owns: the shapes of Head and HeadParser. Bodies in head.pxi (parsing) and framing.pxi (verdicts).

cdef enum:
    HEAD_MAX_FIELDS = 128       # hard bound of the table; the configured limit (default 100) is at most this
    FIELD_NAME_BYTES = 24        # longest known field name, rounded up to words

ctypedef uint8_t FieldId        # not a named enum: those cannot index a C array in Cython

cdef enum:                      # FieldId: names the gateway itself has something to say about
    FIELD_OTHER = 0
    FIELD_HOST
    FIELD_CONTENT_LENGTH
    FIELD_TRANSFER_ENCODING
    FIELD_CONNECTION
    FIELD_KEEP_ALIVE
    FIELD_PROXY_CONNECTION
    FIELD_PROXY_AUTHENTICATE
    FIELD_PROXY_AUTHORIZATION
    FIELD_TE
    FIELD_TRAILER
    FIELD_UPGRADE
    FIELD_HTTP2_SETTINGS
    FIELD_EXPECT
    FIELD_AUTHORIZATION
    FIELD_COOKIE
    FIELD_CONTENT_TYPE
    FIELD_USER_AGENT
    FIELD_REFERER
    FIELD_SERVER
    FIELD_DATE
    FIELD_FORWARDED
    FIELD_X_REAL_IP
    FIELD_X_FORWARDED_FOR
    FIELD_X_FORWARDED_PROTO
    FIELD_X_FORWARDED_HOST
    FIELD_X_FORWARDED_PORT
    FIELD_X_CONSUMER_USERNAME
    FIELD_X_CREDENTIAL_IDENTIFIER
    FIELD_X_CONSUMER_CUSTOM_ID
    FIELD_X_REQUEST_ID
    FIELD_MAX_FORWARDS
    FIELD_X_APISIX_UPSTREAM_STATUS
    FIELD_TRACEPARENT
    FIELD_TRACESTATE
    FIELD_X_FORWARDED_OTHER     # any further name that starts with X-Forwarded-
    FIELD_X_CONSUMER_OTHER      # any further name that starts with X-Consumer-
    FIELD_COUNT

cdef enum FieldFlag:
    # Never forwarded: hop-by-hop, named by Connection, identity, or an underscore twin of a known name.
    FIELD_DROP = 1
    FIELD_HIDDEN = 2            # a step took it out: later steps do not see it either

cdef enum BodyKind:
    BODY_NONE = 0
    BODY_LENGTH = 1             # content_length bytes follow
    BODY_CHUNKED = 2
    BODY_UNTIL_CLOSE = 3        # responses only (RFC 9112 section 6.3)
    BODY_TUNNEL = 4             # requests only: none, and behind it another protocol, if the answer is a 101 for it

cdef enum HeadResult:           # of head_feed; any value >= 400 is the status to refuse with
    HEAD_MORE = 0
    HEAD_DONE = 1

cdef enum HeadState:            # in the order in which a head passes them; within OPEN, METHOD, VERSION and STATUS a new piece
    HEAD_AT_OPEN                # is begun again from `line` (a few bytes), within the others from `at`
    HEAD_AT_METHOD
    HEAD_AT_TARGET
    HEAD_AT_VERSION
    HEAD_AT_STATUS
    HEAD_AT_REASON
    HEAD_AT_NAME
    HEAD_AT_BLANK               # behind the colon
    HEAD_AT_VALUE

cdef struct Field:              # 16 bytes
    uint32_t name               # offset of the name from the head's first byte
    uint32_t value              # offset of the value, optional white space trimmed
    uint32_t value_len
    uint16_t name_len
    uint8_t id                  # FieldId
    uint8_t flags               # FieldFlag

cdef struct Head:
    uint32_t len                # bytes of the head up to and with its empty line
    uint32_t target             # offset of the request target (responses: of the reason phrase)
    uint32_t target_len
    uint16_t status             # responses
    uint8_t method              # requests: Method
    uint8_t minor               # HTTP/1.<minor>
    uint8_t keep_alive          # whether the sender lets the connection live on after this message
    uint8_t body                # BodyKind
    uint8_t expect_continue
    uint8_t upgrade             # Connection: upgrade together with an Upgrade field
    uint16_t n                  # fields in use
    int64_t content_length      # -1 where absent; kept where no body follows all the same (0, HEAD, 304)
    uint8_t first[FIELD_COUNT]  # 1 + index of the first field with that id, 0 where absent
    Field fields[HEAD_MAX_FIELDS]

# Plain data without self-references between feeds: may be memcpy-ed while a head is partial.
cdef struct HeadParser:
    Head* head                  # set anew by the owner after a move
    uint32_t at                 # the next byte to look at
    uint32_t line               # where the line, or the part of one, began that is under way
    uint32_t max_bytes          # of the head
    uint32_t max_target
    uint16_t max_fields
    uint16_t failure            # the refusing status, once there is one
    uint8_t state               # HeadState
    uint8_t is_response
    uint8_t done

cdef struct FieldName:          # a known name, lower case, zero padded: compared as words
    uint64_t words[3]
    uint8_t id
