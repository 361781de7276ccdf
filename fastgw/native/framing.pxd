# Verdicts on a parsed head: where its body ends, whether the connection lives on, what must not cross.
# Owns: the shape of the survey that one verdict works on, and of a judged target. Bodies in framing.pxi.

cdef enum:
    FRAMING_OPTIONS = 32        # options of Connection in one message; each is compared with every field name

cdef struct Target:             # what a request asks for, found on the way to the verdict
    Uri uri
    uint32_t authority          # offset from the head's first byte of host[:port]
    uint32_t authority_len      # 0: there is none
    uint32_t port               # 0: none is given
    uint32_t host_len
    char* host                  # room of URI_HOST_BYTES, the caller's: the host in lower case
    uint8_t ends_here           # OPTIONS only: Max-Forwards lets it go no further

cdef struct Framing:
    Head* head
    Target* target              # requests
    const char* base
    uint8_t count[FIELD_COUNT]  # fields by id; HEAD_MAX_FIELDS fits
    uint8_t close               # options of Connection
    uint8_t keep_alive
    uint8_t upgrade
