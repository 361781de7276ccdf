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
    VAR_REAL_REQUEST_URI        # the target as it came
    VAR_REQUEST_METHOD
    VAR_QUERY_STRING
    VAR_SCHEME
    VAR_HTTP                    # http_<name>: a request header
    VAR_ARG                     # arg_<name>: a query argument
    VAR_COOKIE                  # cookie_<name>
    VAR_URI_PARAM               # uri_param_<name>: what a wildcard of the route's path took
    VAR_ROUTE_NAME
    VAR_SERVICE_NAME
    VAR_SERVER_PROTOCOL
    VAR_HTTPS
    VAR_HOSTNAME                # of this machine
    VAR_BALANCER_IP             # of the node that was chosen
    VAR_BALANCER_PORT
    VAR_CAPTURE                 # what a group of an expression took; told by who has matched it
    VAR_UNKNOWN
    VAR_MADE                    # from here on: values that lie nowhere, but have to be made
    VAR_REQUEST_URI             # the path in its normal form, and the query
    VAR_SERVER_PORT
    VAR_SERVER_ADDR
    VAR_REMOTE_PORT
    VAR_STATUS
    VAR_UPSTREAM_STATUS
    VAR_POST_ARG                # post_arg_<name>: of a form in the body
    VAR_POST_PATH               # post_arg.<path>
    VAR_GRAPHQL                 # graphql_operation, graphql_name, graphql_root_fields

cdef enum:                      # what a variable has, see var_text
    VALUE_NONE = 0
    VALUE_TEXT = 1
    VALUE_TRUE = 2              # an argument of which only the name is there
    VALUE_LIST = 3              # several texts, see posted_text

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
