# Request variables ($remote_addr, $arg_x, …) and templates of them, as keys of limits and conditions use them.

cdef enum VarId:
    VAR_LITERAL = 0
    VAR_REMOTE_ADDR
    VAR_CONSUMER_NAME
    VAR_CONSUMER_GROUP_ID
    VAR_ROUTE_ID
    VAR_SERVICE_ID
    VAR_HOST
    VAR_URI
    VAR_REQUEST_URI             # the path in its normal form, and the query
    VAR_REAL_REQUEST_URI        # the target as it came
    VAR_REQUEST_METHOD
    VAR_QUERY_STRING
    VAR_SCHEME
    VAR_SERVER_PORT
    VAR_HTTP                    # http_<name>: a request header
    VAR_ARG                     # arg_<name>: a query argument
    VAR_COOKIE                  # cookie_<name>
    VAR_URI_PARAM               # uri_param_<name>: what a wildcard of the route's path took
    VAR_UNKNOWN

cdef enum:                      # what a variable has, see var_text
    VALUE_NONE = 0
    VALUE_TEXT = 1
    VALUE_TRUE = 2              # an argument of which only the name is there

cdef struct VarPart:
    uint8_t id
    const char* text            # the literal, or the name behind http_, arg_, cookie_
    uint32_t len
    const char* other           # what stands for a variable that has no value; NULL: nothing does
    uint32_t other_len

cdef struct Span:
    const char* p
    uint32_t n

cdef class Template:
    cdef VarPart* parts
    cdef uint32_t n
    cdef list held
