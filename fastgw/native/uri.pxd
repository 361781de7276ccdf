# Request targets: their parts, one normal form of the path, and host[:port].
# Owns: the shape of a split target. Bodies in uri.pxi.

cdef enum UriForm:              # RFC 9112 section 3.2; authority-form belongs to CONNECT, which is refused
    URI_ORIGIN = 1
    URI_ABSOLUTE = 2
    URI_ASTERISK = 3

cdef enum:
    URI_HOST_BYTES = 256        # longest host with its brackets; DNS names have at most 253 characters
    URI_ADDRESS_BYTES = 46      # INET6_ADDRSTRLEN: longest IPv6 address with its final NUL
    URI_GROWTH = 3              # a normalised path is at most this many times as long as it was

cdef struct Uri:                # offsets from the target's first byte
    uint32_t authority          # absolute-form only
    uint32_t authority_len
    uint32_t path               # empty in http://host and http://host?query
    uint32_t path_len
    uint32_t query              # behind the "?"
    uint32_t query_len
    uint8_t has_query           # "/a?" has an empty one, "/a" none
    uint8_t form                # UriForm
