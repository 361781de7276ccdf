# real_ip: the real-ip plugin's step: whose request it is, by the word of a proxy in front. From then on x.client is that address,
# for whoever asks for the client's: one word for all (known-pains 4.3). What the step does not believe, or cannot read, leaves
# the client that there was.

cdef struct RealIpConf:
    VarPart source
    const char* header          # NULL: the source is no header
    uint32_t header_len
    bint forwarded              # it is X-Forwarded-For: a list, the nearest last
    bint recursive              # in which addresses of trusted networks are passed over
    bint believes               # only who is in a trusted network
    IpRange* trusted
    uint32_t n


cdef class RealIpStep(Step):
    """real-ip of one object. `source`: a variable's name; `trusted`: networks whose word counts, None: anybody's does."""
    cdef RealIpConf conf
    cdef Template source
    cdef bytes header

    def __init__(self, str source not None, trusted=None, *, bint recursive=False):
        self.source = Template(source)
        self.conf.source = self.source.parts[0]
        if self.conf.source.id == VAR_HTTP:
            self.header = self.source.parts[0].text[:self.source.parts[0].len].replace(b"_", b"-")
            self.conf.header = self.header
            self.conf.header_len = <uint32_t>len(self.header)
            self.conf.forwarded = self.header.lower() == b"x-forwarded-for"
        self.conf.recursive = recursive and trusted is not None
        self.conf.believes = trusted is not None
        self.conf.trusted = ip_ranges_of(trusted or (), &self.conf.n)
        self.bind(step_real_ip, &self.conf, "rewrite")

    def __dealloc__(self):
        free(self.conf.trusted)


cdef inline bint real_ip_trusts(const RealIpConf* c, Client* client) noexcept nogil:
    cdef IpAddress a = ip_number(client.bytes)
    return client.address[0] != c"u" and ip_in(c.trusted, c.n, &a)


cdef bint real_ip_read(const char* p, uint32_t n, Client* out) noexcept nogil:
    # "192.0.2.1", "2001:db8::1", either with a port: "192.0.2.1:80", "[2001:db8::1]:80". False: it is no address.
    cdef char text[48]
    cdef uint32_t port = 0
    cdef uint32_t end, i
    cdef bint bracketed
    while n and (p[0] == c" " or p[0] == c"\t"):
        p += 1
        n -= 1
    while n and (p[n - 1] == c" " or p[n - 1] == c"\t"):
        n -= 1
    bracketed = n > 0 and p[0] == c"["
    end = n
    if bracketed:
        p += 1
        n -= 1
        end = 0
        while end < n and p[end] != c"]":
            end += 1
        if end == n:
            return False
        i = end + 1
    else:
        i = 0
        while i < n and p[i] != c":":
            i += 1
        if i < n and memchr(p + i + 1, c":", n - i - 1) != NULL:
            i = n               # IPv6 without brackets has no port
        end = i
    if i < n:
        if p[i] != c":" or n - i > 6 or host_port(p + i, n - i, &port) < 0 or port == 0:
            return False
    if end == 0 or end >= sizeof(text) or memchr(p, 0, end) != NULL:
        return False
    memcpy(text, p, end)
    text[end] = 0
    return client_set(out, text, bracketed, <uint16_t>port)


cdef bint client_set(Client* out, const char* text, bint six, uint16_t port) noexcept nogil:
    # As accept has it: an IPv4 address that is mapped into IPv6 is IPv4.
    memset(out, 0, sizeof(Client))
    if not six and inet_pton(AF_INET, text, out.bytes + 12) == 1:
        out.bytes[10] = out.bytes[11] = 0xff
    elif inet_pton(AF_INET6, text, out.bytes) != 1:
        return False
    if memcmp(out.bytes, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0:
        inet_ntop(AF_INET, out.bytes + 12, out.address, sizeof(out.address))
    else:
        inet_ntop(AF_INET6, out.bytes, out.address, sizeof(out.address))
    out.address_len = <uint8_t>strlen(out.address)
    out.port = port
    return True


cdef bint real_ip_listed(const Exchange* x, const RealIpConf* c, Client* out) noexcept nogil:
    # Of the lines of X-Forwarded-For, which are one list (RFC 9110 section 5.3), from the nearest on: the first that is in no
    # trusted network, or the last there is. What stands behind one that is no address nobody can vouch for.
    cdef const Field* f
    cdef const char* p
    cdef const char* end
    cdef const char* start
    cdef uint32_t i = x.head.n
    cdef bint found = False
    while i:
        i -= 1
        f = &x.head.fields[i]
        if f.id != FIELD_X_FORWARDED_FOR or f.flags & FIELD_HIDDEN or f.value_len == 0:
            continue
        p = x.bytes.p + f.value
        end = p + f.value_len
        while True:
            start = end
            while start > p and (start - 1)[0] != c",":
                start -= 1
            if not real_ip_read(start, <uint32_t>(end - start), out):
                return False
            found = True
            if not c.recursive or not real_ip_trusts(c, out):
                return True
            if start == p:
                break
            end = start - 1
    return found


cdef bint real_ip_said(const Exchange* x, const RealIpConf* c, Client* out) noexcept nogil:
    # A header counts where it is there once: of two, one hop believes the first and another the last. Its twins with underscores
    # are none of it: a client could add one to what the proxy sets, and so be nobody.
    cdef const Field* f = NULL
    cdef uint32_t i
    cdef Span value
    if c.forwarded:
        return real_ip_listed(x, c, out)
    if c.header != NULL:
        for i in range(x.head.n):
            if (x.head.fields[i].name_len == c.header_len and not x.head.fields[i].flags & FIELD_HIDDEN
                    and field_same(x.bytes.p + x.head.fields[i].name, c.header, c.header_len)):
                if f != NULL:
                    return False
                f = &x.head.fields[i]
        return f != NULL and real_ip_read(x.bytes.p + f.value, f.value_len, out)
    return var_value(x, &c.source, &value) and real_ip_read(value.p, value.n, out)


cdef int step_real_ip(Exchange* x, void* p) noexcept nogil:
    cdef const RealIpConf* c = <const RealIpConf*>p
    cdef Client found
    if (not c.believes or real_ip_trusts(c, x.client)) and real_ip_said(x, c, &found):
        x.real = found
        x.client = &x.real
    return STEP_NEXT


def _test_address(bytes text not None) -> tuple | None:
    """An address as the step reads it: its text and port; None: it is none."""
    cdef Client client
    if not real_ip_read(text, <uint32_t>len(text), &client):
        return None
    return client.address[:client.address_len].decode(), client.port
