# ip_restriction: the ip-restriction plugin's step: is the client's address in a set of networks. The set is made into disjoint
# ranges in order, so that a list of ten thousand costs fourteen comparisons.

cdef struct IpAddress:          # the 16-byte form of cidr, as a number
    uint64_t high
    uint64_t low

cdef struct IpRange:
    IpAddress first
    IpAddress last

cdef struct IpRestrictionConf:
    IpRange* ranges
    uint32_t n
    bint admits                 # a whitelist: who is in it passes
    uint16_t status
    const char* body
    uint32_t body_len


cdef IpAddress ip_number(const uint8_t* bytes_) noexcept nogil:
    cdef IpAddress a
    cdef int i
    a.high = a.low = 0
    for i in range(8):
        a.high = a.high << 8 | bytes_[i]
        a.low = a.low << 8 | bytes_[8 + i]
    return a


cdef inline bint ip_after(const IpAddress* a, const IpAddress* b) noexcept nogil:
    return a.high > b.high or (a.high == b.high and a.low > b.low)


cdef bint ip_in(const IpRange* ranges, uint32_t n, const IpAddress* a) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = n
    cdef uint32_t middle
    while low < high:           # the number of ranges that begin at or before a
        middle = (low + high) // 2
        if ip_after(&ranges[middle].first, a):
            high = middle
        else:
            low = middle + 1
    return low > 0 and not ip_after(a, &ranges[low - 1].last)


def _ip_ranges(networks):
    # Disjoint (first, last) in order, as 16-byte strings. IPv4 is mapped (RFC 4291 section 2.5.5.2), and what an IPv6 network
    # has around the mapped block does not reach into it: ::/0 is every IPv6 address and no IPv4 one, as in APISIX.
    import ipaddress
    mapped = 0xffff << 32
    spans = []
    for text in networks:
        network = ipaddress.ip_network(text, strict=False)
        first, last = int(network.network_address), int(network.broadcast_address)
        if network.version == 4:
            spans.append((mapped + first, mapped + last))
        elif first < mapped and last >= mapped + 0xffffffff:
            spans += [(a, b) for a, b in ((first, mapped - 1), (mapped + 0x100000000, last)) if a <= b]
        else:
            spans.append((first, last))
    merged = []
    for first, last in sorted(spans):
        if merged:
            before, end = merged.pop()
            if first <= end + 1:
                first, last = before, max(end, last)
            else:
                merged.append((before, end))
        merged.append((first, last))
    return [(first.to_bytes(16, "big"), last.to_bytes(16, "big")) for first, last in merged]


cdef IpRange* ip_ranges_of(networks, uint32_t* n) except NULL:
    # The networks as ranges to search, which are the caller's to free.
    cdef bytes first, last
    cdef uint32_t i
    cdef IpRange* made
    ranges = _ip_ranges(networks)
    made = <IpRange*>calloc(len(ranges) or 1, sizeof(IpRange))
    if made == NULL:
        raise MemoryError
    n[0] = <uint32_t>len(ranges)
    for i, (first, last) in enumerate(ranges):
        made[i].first = ip_number(<const uint8_t*><const char*>first)
        made[i].last = ip_number(<const uint8_t*><const char*>last)
    return made


cdef class IpRestrictionStep(Step):
    """ip-restriction of one object: `networks` admitted (`admits`) or refused, and the answer to who is refused."""
    cdef IpRestrictionConf conf
    cdef bytes body

    def __init__(self, networks, *, bint admits, bytes body not None, int status=403):
        self.body = body
        self.conf.admits = admits
        self.conf.status = <uint16_t>status
        self.conf.body = self.body
        self.conf.body_len = <uint32_t>len(body)
        self.conf.ranges = ip_ranges_of(networks, &self.conf.n)
        self.bind(step_ip_restriction, &self.conf, "access")

    def __dealloc__(self):
        free(self.conf.ranges)


cdef int step_ip_restriction(Exchange* x, void* p) noexcept nogil:
    cdef IpRestrictionConf* c = <IpRestrictionConf*>p
    cdef IpAddress a = ip_number(x.client.bytes)
    # A peer on a unix socket has no address ("unix:") and so is in no list.
    cdef bint inside = x.client.address[0] != c"u" and ip_in(c.ranges, c.n, &a)
    if inside == c.admits:
        return STEP_NEXT
    x.status = c.status
    x.refused = "ip-restriction.refused"
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, c.body, c.body_len)
    return STEP_REPLY
