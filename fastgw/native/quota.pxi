# quota: what a client is told of a limit that it is under: APISIX's three header lines, and the RateLimit and RateLimit-Policy
# fields of draft-ietf-httpapi-ratelimit-headers-10. Must not know how anything is counted.
#
# Of several limits that a request meets, the last one's lines stand where they have the same names (as in APISIX a later plugin
# overwrites them); in the draft's fields each limit is a member of its own.

from functools import lru_cache as _lru_cache

cdef enum:
    SECOND_NS = 1000000000

cdef uint64_t SF_INTEGER_MOST = 999999999999999     # RFC 9651 section 3.3.1

cdef struct QuotaNamesC:
    const char* start[3]        # "X-RateLimit-Limit: " and so on
    uint32_t len[3]
    const char* policy          # the limit's name in the draft's fields, quoted; NULL: they are not sent
    uint32_t policy_len


@_lru_cache(maxsize=1024)
def _quota_names(*names, policy=None):
    # One for all steps: a copy for each consumer would be cache misses for each.
    return _QuotaNames(names, policy)


cdef class _QuotaNames:
    cdef QuotaNamesC c
    cdef tuple held
    cdef bytes policy

    def __cinit__(self, tuple names, policy):
        self.held = tuple([f"{name}: ".encode() for name in names])
        for i in range(3):
            self.c.start[i] = <bytes>self.held[i]
            self.c.len[i] = len(self.held[i])
        if policy is not None:
            if not policy.isascii() or not policy.isprintable() or '"' in policy or "\\" in policy:
                raise ValueError(f"policy: expected printable ASCII without quotes, found {policy!r}")
            self.policy = f'"{policy}"'.encode()
            self.c.policy = self.policy
            self.c.policy_len = len(self.policy)


cdef void put_seconds(Buf* out, uint64_t ns) noexcept nogil:
    # Seconds, cut to two decimals, without trailing zeros, as a number prints.
    cdef uint64_t hundredths = ns // 10000000
    cdef uint32_t part = hundredths % 100
    buf_int(out, hundredths // 100)
    if part:
        buf_byte(out, 46)
        buf_byte(out, <char>(48 + part // 10))
        if part % 10:
            buf_byte(out, <char>(48 + part % 10))


cdef void put_quota(Buf* lines, const QuotaNamesC* names, const LimResult* r) noexcept nogil:
    buf_put(lines, names.start[0], names.len[0])
    buf_int(lines, r.limit)
    buf_put(lines, b"\r\n", 2)
    buf_put(lines, names.start[1], names.len[1])
    buf_int(lines, r.remaining)
    buf_put(lines, b"\r\n", 2)
    buf_put(lines, names.start[2], names.len[2])
    put_seconds(lines, r.reset_ns)
    buf_put(lines, b"\r\n", 2)


cdef void quota_cut(Buf* lines, const QuotaNamesC* names) noexcept nogil:
    # Takes out what an earlier limit said under these names.
    cdef Span value
    cdef const char* start
    cdef const char* behind
    cdef int i
    for i in range(3):
        while lines_find(lines.p, lines.len, names.start[i], names.len[i] - 2, &value):
            start = value.p - names.len[i]
            behind = value.p + value.n + 2
            memmove(<char*>start, behind, lines.p + lines.len - behind)
            lines.len -= <uint32_t>(behind - start)


cdef void field_member(Buf* lines, const char* name, uint32_t n, const char* member, uint32_t m) noexcept nogil:
    # One more member of a list (RFC 9651 section 3.1), in the line that there is or in a new one.
    cdef Span value
    cdef size_t at
    if not lines_find(lines.p, lines.len, name, n, &value):
        extra_line(lines, name, n, member, m)
        return
    at = value.p + value.n - lines.p
    if buf_room(lines, m + 2) != 0:
        return
    memmove(lines.p + at + m + 2, lines.p + at, lines.len - at)
    memcpy(lines.p + at, b", ", 2)
    memcpy(lines.p + at + 2, member, m)
    lines.len += m + 2


cdef inline void put_parameter(Buf* out, char name, uint64_t value) noexcept nogil:
    buf_byte(out, 59)
    buf_byte(out, name)
    buf_byte(out, 61)
    buf_int(out, <int64_t>min(value, SF_INTEGER_MOST))


cdef inline uint64_t seconds_up(uint64_t ns) noexcept nogil:
    return ns // SECOND_NS + (ns % SECOND_NS != 0)


cdef void put_draft(Buf* lines, Buf* scratch, const QuotaNamesC* names, uint64_t window_s, const LimResult* r) noexcept nogil:
    # Overwrites the scratch. No more than the limit remains, and no later than in `t` seconds all of it does.
    buf_reset(scratch)
    buf_put(scratch, names.policy, names.policy_len)
    put_parameter(scratch, c"q", <uint64_t>r.limit)
    put_parameter(scratch, c"w", window_s)
    field_member(lines, "RateLimit-Policy", 16, scratch.p, scratch.len)
    buf_reset(scratch)
    buf_put(scratch, names.policy, names.policy_len)
    put_parameter(scratch, c"r", <uint64_t>r.remaining)
    put_parameter(scratch, c"t", seconds_up(r.reset_ns))
    field_member(lines, "RateLimit", 9, scratch.p, scratch.len)


cdef inline void quota_tell(Exchange* x, const QuotaNamesC* names, const LimResult* r) noexcept nogil:
    if x.quotas:
        quota_cut(&x.down_extra, names)
    x.quotas = 1
    put_quota(&x.down_extra, names, r)
