# Conditions on a request: an expression as a flat program.

cdef enum ExprOp:
    EXPR_ALL = 0                # the nodes up to `end` all hold
    EXPR_ANY                    # one of them does
    EXPR_NEVER                  # what no request can fulfil
    EXPR_ABSENT
    EXPR_TRUE                   # an argument without a value
    EXPR_TEXT                   # equal texts
    EXPR_NUMBER                 # equal numbers
    EXPR_OVER
    EXPR_LEAST
    EXPR_UNDER
    EXPR_MOST
    EXPR_PATTERN
    EXPR_IN
    EXPR_ADDRESS
    EXPR_HAS

cdef enum:
    EXPR_DEPTH = 24             # groups in groups: what runs in C must have a bound of its own (schema/expression.py: 16)
    EXPR_NUMBER_BYTES = 128     # a longer text is no number

cdef struct ExprNode:
    uint8_t op
    bint negated
    uint32_t end                # where the node behind this one stands
    VarPart var
    const char* text
    uint32_t len
    double number
    Span* list                  # by length and bytes
    uint32_t n
    bint has_true               # the list does
    Cidrs four, six             # networks of IPv4 and of IPv6
    PyObject* search            # a Python callable, borrowed

cdef struct ExprC:
    ExprNode* nodes
    uint32_t n


cdef class Expression:
    cdef ExprC c
    cdef bint reads_body
    cdef list held
    cdef int lay(self, node, int depth) except -1
    cdef int lay_comparison(self, ExprNode* n, comparison) except -1
    cdef int lay_list(self, ExprNode* n, values) except -1
