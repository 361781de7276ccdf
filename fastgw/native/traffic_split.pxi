# traffic_split: the traffic-split plugin's step: the first rule that fits says which upstream takes the request, by smooth
# weighted turns among several, as nodes are chosen among nodes. Turns are a worker's own, and begin anywhere: else the first
# request of every worker, after each change, would go the same way. Must not know how upstreams balance.

from random import randrange as _randrange

cdef struct SplitShare:
    UpstreamC* upstream         # NULL: the route's own
    int64_t weight
    int64_t current             # the turns' running value

cdef struct SplitRule:
    const ExprC** any_of        # one of them must hold; none: always
    uint32_t n_any
    SplitShare* shares
    uint32_t n
    int64_t total

cdef struct SplitConf:
    SplitRule* rules
    uint32_t n


cdef class TrafficSplitStep(Step):
    """traffic-split of one object. `rules`: pairs of Expressions, of which one must hold (none: always), and of shares, each an
    Upstream (None: the route's own) and its weight."""
    cdef SplitConf conf
    cdef list held

    def __init__(self, rules):
        cdef SplitRule* rule
        self.held = [(list(any_of), list(shares)) for any_of, shares in rules]
        self.conf.rules = <SplitRule*>calloc(len(self.held) or 1, sizeof(SplitRule))
        if self.conf.rules == NULL:
            raise MemoryError
        for any_of, shares in self.held:
            rule = &self.conf.rules[self.conf.n]
            self.conf.n += 1
            self.lay(rule, any_of, shares)
        self.bind(step_traffic_split, &self.conf, "access")

    cdef int lay(self, SplitRule* rule, list any_of, list shares) except -1:
        cdef SplitShare* share
        rule.any_of = <const ExprC**>calloc(len(any_of) or 1, sizeof(ExprC*))
        rule.shares = <SplitShare*>calloc(len(shares) or 1, sizeof(SplitShare))
        if rule.any_of == NULL or rule.shares == NULL:
            raise MemoryError
        for expression in any_of:
            rule.any_of[rule.n_any] = &(<Expression?>expression).c
            rule.n_any += 1
        for upstream, weight in shares:
            share = &rule.shares[rule.n]
            if upstream is not None:
                share.upstream = &(<Upstream?>upstream).c
            share.weight = weight
            rule.total += share.weight
            rule.n += 1
        for _ in range(_randrange(min(rule.total, 1000)) if rule.total else 0):
            split_turn(rule)
        return 0

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.conf.n):
            free(self.conf.rules[i].any_of)
            free(self.conf.rules[i].shares)
        free(self.conf.rules)


cdef SplitShare* split_turn(SplitRule* rule) noexcept nogil:
    # Whose turn it is; NULL where nobody has a weight.
    cdef SplitShare* best = NULL
    cdef uint32_t i
    for i in range(rule.n):
        if rule.shares[i].weight == 0:
            continue
        rule.shares[i].current += rule.shares[i].weight
        if best == NULL or rule.shares[i].current > best.current:
            best = &rule.shares[i]
    if best != NULL:
        best.current -= rule.total
    return best


cdef bint split_fits(const Exchange* x, const SplitRule* rule) noexcept nogil:
    # A condition that cannot be judged (no memory) does not hold: the request goes where it would have without the rule.
    cdef uint32_t i
    for i in range(rule.n_any):
        if expr_eval(rule.any_of[i], x) == 1:
            return True
    return rule.n_any == 0


cdef int step_traffic_split(Exchange* x, void* p) noexcept nogil:
    cdef const SplitConf* c = <const SplitConf*>p
    cdef const SplitShare* share
    cdef uint32_t i
    for i in range(c.n):
        if split_fits(x, &c.rules[i]):
            share = split_turn(&c.rules[i])
            x.upstream = share.upstream if share != NULL else NULL
            break
    return STEP_NEXT
