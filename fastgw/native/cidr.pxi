# cidr: IP addresses from text; is one inside one of a list of networks. Those in the 16-byte form, IPv4 mapped (RFC 4291 section
# 2.5.5.2).


cdef socklen_t sockaddr_set(sockaddr_storage* a, str ip, int port, str node) except 0:
    # The address of this text, and its size. `node`: whose it is, for the error.
    cdef bytes raw = ip.encode()
    memset(a, 0, sizeof(sockaddr_storage))
    if inet_pton(AF_INET, raw, &(<sockaddr_in*>a).sin_addr) == 1:
        a.ss_family = AF_INET
        (<sockaddr_in*>a).sin_port = htons(port)
        return sizeof(sockaddr_in)
    if inet_pton(AF_INET6, raw, &(<sockaddr_in6*>a).sin6_addr) == 1:
        a.ss_family = AF_INET6
        (<sockaddr_in6*>a).sin6_port = htons(port)
        return sizeof(sockaddr_in6)
    raise ValueError(f"node {node}: expected an IP address, found {ip!r}")


cdef void cidr_bytes(const sockaddr_storage* a, uint8_t* out) noexcept nogil:
    memset(out, 0, 16)
    if a.ss_family == AF_INET:
        out[10] = out[11] = 0xff
        memcpy(out + 12, &(<const sockaddr_in*>a).sin_addr, 4)
    elif a.ss_family == AF_INET6:
        memcpy(out, &(<const sockaddr_in6*>a).sin6_addr, 16)


cdef bint cidr_match(const Cidrs* all_, const uint8_t* own) noexcept nogil:
    cdef uint32_t i
    cdef int whole, rest
    cdef const Cidr* c
    for i in range(all_.n):
        c = &all_.list[i]
        whole = c.bits >> 3
        rest = c.bits & 7
        if memcmp(own, c.bytes, whole) == 0 and (
                rest == 0 or (own[whole] ^ c.bytes[whole]) >> (8 - rest) == 0):
            return True
    return False


cdef int cidr_parse(str text, Cidr* out) except -1:
    # "10.0.0.0/8", "::1", "192.168.1.1"
    import ipaddress
    network = ipaddress.ip_network(text, strict=False)
    packed = network.network_address.packed
    bits = network.prefixlen
    if len(packed) == 4:
        packed = b"\0" * 10 + b"\xff\xff" + packed
        bits += 96
    memcpy(out.bytes, <const char*>packed, 16)
    out.bits = bits
    return 0


cdef int cidrs_set(Cidrs* all_, networks) except -1:
    # Replaces the list.
    cdef Cidr* list_ = <Cidr*>calloc(len(networks) or 1, sizeof(Cidr))
    if list_ == NULL:
        raise MemoryError
    try:
        for i, text in enumerate(networks):
            cidr_parse(text, &list_[i])
    except BaseException:
        free(list_)
        raise
    free(all_.list)
    all_.list = list_
    all_.n = len(networks)
    return 0
