# expr: conditions on a request, with the meaning that lua-resty-expr gives them, over the variables of vars. An expression is
# laid flat when a snapshot is made; a request walks over it without the interpreter, but for regular expressions (RE2: time
# linear in the text). Must not know who asks: a plugin's `_meta.filter` or a route's `vars`.

cdef extern from "<stdlib.h>" nogil:
    double strtod(const char* text, char** end)

_ORDERS = {">": EXPR_OVER, ">=": EXPR_LEAST, "<": EXPR_UNDER, "<=": EXPR_MOST}


cdef class Expression:
    """A condition, from schema/expression.py's Group. Holds for every request where the group has no members."""

    def __cinit__(self, group):
        self.held = []
        self.c.nodes = <ExprNode*>calloc(_nodes(group), sizeof(ExprNode))
        if self.c.nodes == NULL:
            raise MemoryError
        self.lay(group, 0)

    cdef int lay(self, node, int depth) except -1:
        cdef ExprNode* n = &self.c.nodes[self.c.n]
        if depth > EXPR_DEPTH:
            raise ValueError(f"expression: expected at most {EXPR_DEPTH} groups in each other")
        self.c.n += 1
        n.negated = node.negated
        if hasattr(node, "members"):
            n.op = EXPR_ANY if node.any else EXPR_ALL
            for member in node.members:
                self.lay(member, depth + 1)
        else:
            self.lay_comparison(n, node)
        n.end = self.c.n
        return 0

    cdef int lay_comparison(self, ExprNode* n, comparison) except -1:
        cdef bytes raw
        operator, value = comparison.operator, comparison.value
        template = Template(comparison.variable)
        self.held.append(template)
        n.var = (<Template>template).parts[0]
        self.reads_body = self.reads_body or n.var.id >= VAR_POST_ARG
        if operator == "~=":
            operator = "=="
            n.negated = not n.negated
        if operator in _ORDERS:
            raw = str(value).encode()
            n.op = _ORDERS[operator] if expr_number(raw, <uint32_t>len(raw), &n.number) else EXPR_NEVER
        elif operator == "~~" or operator == "~*":
            n.op = EXPR_PATTERN
            self.held.append(value)
            n.search = <PyObject*>value
        elif operator == "in":
            self.lay_list(n, value)
        elif operator == "ipmatch":
            n.op = EXPR_ADDRESS
            cidrs_set(&n.four, [text for text in value if ":" not in text])
            cidrs_set(&n.six, [text for text in value if ":" in text])
        elif operator == "has" and isinstance(value, str):
            n.op = EXPR_HAS
            raw = value.encode()
            self.held.append(raw)
            n.text = raw
            n.len = <uint32_t>len(raw)
        elif operator == "has" or value is False:
            n.op = EXPR_NEVER       # lists are of texts here, and no variable is false
        elif value is None:
            n.op = EXPR_ABSENT
        elif value is True:
            n.op = EXPR_TRUE
        elif isinstance(value, str):
            n.op = EXPR_TEXT
            raw = value.encode()
            self.held.append(raw)
            n.text = raw
            n.len = <uint32_t>len(raw)
        else:
            n.op = EXPR_NUMBER
            n.number = _double(value)
        return 0

    cdef int lay_list(self, ExprNode* n, values) except -1:
        cdef bytes raw
        texts = sorted({value.encode() for value in values if isinstance(value, str)}, key=lambda text: (len(text), text))
        n.op = EXPR_IN
        n.has_true = any(value is True for value in values)
        n.list = <Span*>calloc(len(texts) or 1, sizeof(Span))
        if n.list == NULL:
            raise MemoryError
        for raw in texts:
            n.list[n.n].p = raw
            n.list[n.n].n = <uint32_t>len(raw)
            n.n += 1
        self.held.append(texts)
        return 0

    def __dealloc__(self):
        cdef uint32_t i
        if self.c.nodes == NULL:
            return
        for i in range(self.c.n):
            free(self.c.nodes[i].list)
            free(self.c.nodes[i].four.list)
            free(self.c.nodes[i].six.list)
        free(self.c.nodes)


def _nodes(node):
    return 1 + sum(_nodes(member) for member in getattr(node, "members", ()))


def _double(value):
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


cdef bint expr_number(const char* p, uint32_t n, double* out) noexcept nogil:
    # As Lua's tonumber reads a text: white space around it, decimal or hexadecimal, inf and nan.
    cdef char text[EXPR_NUMBER_BYTES]
    cdef char* end
    if n == 0 or n >= sizeof(text) or memchr(p, 0, n) != NULL or memchr(p, c"(", n) != NULL:
        return False
    memcpy(text, p, n)
    text[n] = 0
    out[0] = strtod(text, &end)
    if end == text:
        return False
    while end[0] == c" " or c"\t" <= end[0] <= c"\r":
        end += 1
    return end[0] == 0


cdef bint expr_in(const ExprNode* node, const Span* value) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = node.n
    cdef uint32_t middle
    cdef int order
    while low < high:
        middle = (low + high) // 2
        order = (<int>(node.list[middle].n > value.n)) - (<int>(node.list[middle].n < value.n))
        if order == 0:
            order = memcmp(node.list[middle].p, value.p, value.n)
        if order == 0:
            return True
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return False


cdef bint expr_address(const ExprNode* node, const char* p, uint32_t n) noexcept nogil:
    # A text that is no address is in no network. IPv4 networks also hold addresses that are mapped into IPv6, and no IPv6 network
    # has a plain IPv4 address.
    cdef char text[URI_ADDRESS_BYTES]
    cdef uint8_t own[16]
    cdef bint four
    if n > 1 and p[0] == c"[" and p[n - 1] == c"]":
        p += 1
        n -= 2
    if n == 0 or n >= sizeof(text) or memchr(p, 0, n) != NULL:
        return False
    memcpy(text, p, n)
    text[n] = 0
    memset(own, 0, sizeof(own))
    own[10] = own[11] = 0xff
    four = inet_pton(AF_INET, text, own + 12) == 1
    if four:
        return cidr_match(&node.four, own)
    if inet_pton(AF_INET6, text, own) != 1:
        return False
    return cidr_match(&node.six, own) or cidr_match(&node.four, own)


cdef int expr_search(PyObject* search, const Span* value) noexcept nogil:
    # 1, 0, or -1 without memory.
    cdef int found = -1
    with gil:
        try:
            found = (<object>search)(value.p[:value.n]) is not None
        except BaseException:
            found = -1
    return found


cdef int expr_compare(const ExprNode* node, const Exchange* x, Buf* scratch) noexcept nogil:
    cdef Span value
    cdef double number = 0
    cdef bint held = False
    cdef int found
    if node.op == EXPR_NEVER:
        return node.negated
    found = var_text(x, &node.var, scratch, &value)
    if found < 0:
        return -1
    if node.op == EXPR_ABSENT:
        held = found == VALUE_NONE
    elif node.op == EXPR_TRUE:
        held = found == VALUE_TRUE
    elif node.op == EXPR_IN and found == VALUE_TRUE:
        held = node.has_true
    elif node.op == EXPR_HAS:
        held = found == VALUE_LIST and list_has(&value, node.text, node.len)
    elif found == VALUE_TEXT:
        if node.op == EXPR_TEXT:
            held = value.n == node.len and memcmp(value.p, node.text, node.len) == 0
        elif node.op == EXPR_IN:
            held = expr_in(node, &value)
        elif node.op == EXPR_ADDRESS:
            held = expr_address(node, value.p, value.n)
        elif node.op == EXPR_PATTERN:
            found = expr_search(node.search, &value)
            if found < 0:
                return -1
            held = found
        elif expr_number(value.p, value.n, &number):
            if node.op == EXPR_NUMBER:
                held = number == node.number
            elif node.op == EXPR_OVER:
                held = number > node.number
            elif node.op == EXPR_LEAST:
                held = number >= node.number
            elif node.op == EXPR_UNDER:
                held = number < node.number
            else:
                held = number <= node.number
    return held != node.negated


cdef int expr_group(const ExprC* e, uint32_t at, const Exchange* x, Buf* scratch) noexcept nogil:
    cdef const ExprNode* node = &e.nodes[at]
    cdef bint any_ = node.op == EXPR_ANY
    cdef int r
    at += 1
    while at < node.end:
        if e.nodes[at].op <= EXPR_ANY:
            r = expr_group(e, at, x, scratch)
        else:
            r = expr_compare(&e.nodes[at], x, scratch)
        if r < 0:
            return -1
        if <bint>r == any_:
            return any_ != node.negated
        at = e.nodes[at].end
    return any_ == node.negated


cdef int expr_eval(const ExprC* e, const Exchange* x) noexcept nogil:
    # 1 where it holds, 0 where not, -1 without memory. Room is needed only for values that have to be decoded or joined, and not
    # the loop's, which may hold an answer on its way.
    cdef Buf scratch
    cdef int r
    memset(&scratch, 0, sizeof(Buf))
    r = expr_group(e, 0, x, &scratch)
    buf_free(&scratch)
    return r


def _test_number(bytes text not None) -> float | None:
    """What a text of a request is as a number."""
    cdef double number
    return number if expr_number(text, <uint32_t>len(text), &number) else None
