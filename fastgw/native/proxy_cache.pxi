# proxy_cache: the native part of proxy-cache: under which keys an answer is remembered, and the answer out of memory to a request
# that asks for nothing but it. Everything else is Python's (plugins/proxy_cache): whether an answer may be kept, requests with
# conditions, ranges and directives, files.
#
# What is known of a resource lies under one key, made of cache_key: a number drawn when it was first known, and the names in its
# Vary. Answers lie under keys made of that, of the number, of the request's values for those names and of who asks. So to forget
# what is known of a resource is to forget every answer of it at once, of every variant and for everybody.

cdef enum:
    CACHE_PRIORITY = 1085       # the plugin's
    CACHE_EPOCH = 8             # bytes of the number, which the names follow, each with a NUL behind it

cdef struct StoredC:            # in front of an answer's header lines; plugins/proxy_cache reads and writes the same
    uint64_t at                 # s of CLOCK_REALTIME, when it was stored
    uint32_t age                # s, how old it was then
    uint32_t lifetime           # s
    uint16_t status
    uint16_t flags
    uint32_t apart

cdef struct CachePartsC:        # one item of cache_key or cache_bypass
    const VarPart* parts
    uint32_t n

cdef struct CacheConf:
    ZoneC* zone
    const uint64_t* seed
    CachePartsC* key
    uint32_t n_key
    CachePartsC* bypass
    uint32_t n_bypass
    const char* owner
    uint32_t owner_len
    uint8_t isolated            # answers are for who asked for them
    uint8_t obeys               # directives of requests

cdef struct CacheAnswerConf:
    step_fn fn
    void* conf


cdef CachePartsC* cache_parts(templates) except NULL:
    cdef CachePartsC* made = <CachePartsC*>calloc(len(templates) or 1, sizeof(CachePartsC))
    cdef Template template
    cdef uint32_t i
    if made == NULL:
        raise MemoryError
    for i, template in enumerate(templates):
        made[i].parts = template.parts
        made[i].n = template.n
    return made


cdef class CacheStep(Step):
    """proxy-cache in `access`: answers out of the zone's memory what can be answered without a second thought.

    `key`, `bypass`: templates; `owner`: answers are for requests of this configuration alone; `isolated`: and for the caller who
    got them; `obeys`: Cache-Control of requests is read, so that requests that have it are Python's.
    """
    cdef CacheConf conf
    cdef CacheZone zone
    cdef list held

    def __init__(self, CacheZone zone not None, key, bypass, bytes owner not None, *, bint isolated=True, bint obeys=False):
        self.zone = zone
        self.held = [tuple(key), tuple(bypass), owner]
        self.conf.zone = &zone.c
        self.conf.seed = zone.seed
        self.conf.key = cache_parts(self.held[0])
        self.conf.n_key = <uint32_t>len(self.held[0])
        self.conf.bypass = cache_parts(self.held[1])
        self.conf.n_bypass = <uint32_t>len(self.held[1])
        self.conf.owner = <const char*><bytes>self.held[2]
        self.conf.owner_len = <uint32_t>len(owner)
        self.conf.isolated = isolated
        self.conf.obeys = obeys
        self.bind(step_cache, &self.conf, "access")

    def __dealloc__(self):
        free(self.conf.key)
        free(self.conf.bypass)

    def resource(self, Request request not None) -> bytes:
        """The key under which lies what is known of what the request asks for."""
        cdef ZoneKey k
        cache_resource(request.alive(), &self.conf, &k)
        return (<const char*>&k)[:sizeof(k)]

    def early(self, Request request not None) -> bool:
        """Whether, in a global rule, checks of the route are still to come: then no answer may be given."""
        return cache_early(request.alive())

    def variant(self, Request request not None, bytes resource not None, bytes known not None, bytes extra not None=b"") -> bytes:
        """The key of the answer to the request, by what is known of the resource; `extra`: what else it depends on."""
        cdef ZoneKey k = zone_key(resource)
        cdef ZoneKey found
        if len(known) < CACHE_EPOCH or (len(known) > CACHE_EPOCH and known[len(known) - 1] != 0):
            raise ValueError("known: expected a number and names")
        cache_variant(request.alive(), &self.conf, &k, known, <uint32_t>len(known), extra, <uint32_t>len(extra), &found)
        return (<const char*>&found)[:sizeof(found)]


cdef class CacheAnswerStep(Step):
    """proxy-cache in `header_filter`: the inner step, which runs only where the upstream has answered a request that it knows."""
    cdef CacheAnswerConf conf
    cdef readonly Step inner

    def __init__(self, Step inner not None):
        self.inner = inner
        self.conf.fn = inner.c.fn
        self.conf.conf = inner.c.conf
        self.bind(step_cache_answer, &self.conf, "header_filter")


cdef int step_cache_answer(Exchange* x, void* p) noexcept nogil:
    cdef const CacheAnswerConf* c = <const CacheAnswerConf*>p
    return STEP_NEXT if x.up_head == NULL or x.py == NULL else c.fn(x, c.conf)


cdef inline void cache_part(Buf* out, const char* p, uint32_t n) noexcept nogil:
    # Behind its length, so that no two lists of parts are the same bytes.
    buf_put(out, &n, 4)
    buf_put(out, p, n)


cdef void cache_key_made(const CacheConf* c, const Buf* m, ZoneKey* out) noexcept nogil:
    cdef siphash_state s
    siphash_start(&s, c.seed[0], c.seed[1])
    siphash_end(&s, <const uint8_t*>m.p, m.len, &out.lo, &out.hi)


cdef void cache_resource(Exchange* x, const CacheConf* c, ZoneKey* out) noexcept nogil:
    cdef Buf* m = &x.loop.wbuf
    cdef uint32_t i, start, n
    buf_reset(m)
    for i in range(c.n_key):
        n = 0
        start = m.len
        buf_put(m, &n, 4)
        parts_eval(c.key[i].parts, c.key[i].n, x, m)
        n = m.len - start - 4
        if m.len >= start + 4:
            memcpy(m.p + start, &n, 4)
    cache_key_made(c, m, out)


cdef void cache_told(Exchange* x, Buf* m) noexcept nogil:
    # All that the upstream is told of who asks, and what steps tell it besides, but for what is another's each time.
    cdef const char* p = x.up_extra.p
    cdef const char* end
    cdef const char* stop
    if x.consumer != NULL:
        cache_part(m, x.consumer.name, x.consumer.name_len)
    if x.credential != NULL:
        cache_part(m, x.credential.identity, x.credential.identity_len)
    if x.up_extra.len == 0:
        return
    end = p + x.up_extra.len
    while p < end:
        stop = <const char*>memchr(p, 10, end - p)
        if stop == NULL:
            stop = end - 1
        stop += 1
        if not ((x.request_id_len and p <= x.up_extra.p + x.request_id < stop)
                or (stop - p > 11 and (same_name(p, b"traceparent", 11) or same_name(p, b"tracestate:", 10)))):
            cache_part(m, p, <uint32_t>(stop - p))
        p = stop


cdef void cache_asked(const Exchange* x, const char* mark, Buf* m) noexcept nogil:
    # What steps have made of the query, as of a header that cache_key does not have; of the client's own that says what counts.
    cdef uint32_t n
    if x.target.len == 0 or mark == NULL:
        return
    n = <uint32_t>(x.target.p + x.target.len - mark)
    if n > x.query_len and memcmp(mark + n - x.query_len, x.bytes.p + x.query, x.query_len) == 0:
        n -= x.query_len
    if n > 1:
        cache_part(m, mark, n)


cdef void cache_value(Buf* m, const char* name, uint32_t n, const char* value, uint32_t len) noexcept nogil:
    # One of however many, behind the last of which is a zero. Names in lower case are otherwise as they were spelled.
    cdef uint32_t i
    buf_byte(m, 1)
    buf_put(m, &n, 4)
    for i in range(n):
        buf_byte(m, name[i] | 0x20 if c"A" <= name[i] <= c"Z" else name[i])
    cache_part(m, value, len)


cdef void cache_header(Exchange* x, const char* name, uint32_t n, Buf* m) noexcept nogil:
    # All that the upstream is told under a name, in the spellings in which it is, and not what steps see of it: who could have
    # one thing counted and another one sent (a field that Connection names, a second one, a twin with "_" for "-") would choose
    # what others get out of the cache.
    cdef const char* p = x.up_extra.p
    cdef uint32_t left = x.up_extra.len
    cdef const Field* f
    cdef uint32_t i
    cdef bint folded
    cdef bint ours = False
    cdef Span s
    cache_part(m, name, n)
    while lines_find(p, left, name, n, &s):
        ours = True
        cache_value(m, s.p - n - 2, n, s.p, s.n)
        left -= <uint32_t>(s.p + s.n + 2 - p)
        p = s.p + s.n + 2
    if x.credential != NULL and lines_find(x.credential.identity, x.credential.identity_len, name, n, &s):
        ours = True
        cache_value(m, name, n, s.p, s.n)
    if field_id(name, n, &folded) == FIELD_HOST:
        cache_value(m, name, n, x.bytes.p + x.authority, x.authority_len)
    for i in range(x.head.n if not ours else 0):
        f = &x.head.fields[i]
        if f.name_len == n and not f.flags & FIELD_DROP and same_name(x.bytes.p + f.name, name, n):
            cache_value(m, x.bytes.p + f.name, n, x.bytes.p + f.value, f.value_len)
    buf_byte(m, 0)


cdef void cache_cookies(const Exchange* x, const char* name, uint32_t n, Buf* m) noexcept nogil:
    # Each that the request has by that name: upstreams may believe the last, where cache_key has the first.
    cdef const Field* f
    cdef const char* p
    cdef const char* end
    cdef Span pair, value
    cdef uint32_t i
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.id != FIELD_COOKIE:
            continue
        p = x.bytes.p + f.value
        end = p + f.value_len
        while cookie_span(p, end, name, n, &pair, &value):
            cache_value(m, name, n, value.p, value.n)
            p = pair.p + pair.n
    buf_byte(m, 0)


cdef void cache_args(const Exchange* x, const char* name, uint32_t n, Buf* m) noexcept nogil:
    # Likewise arguments.
    cdef const char* p = x.bytes.p + x.query
    cdef uint32_t left = x.query_len
    cdef Span value
    while left and args_find(p, left, name, n, &value):
        cache_value(m, name, n, value.p, value.n)
        left -= <uint32_t>(value.p + value.n - p)
        p = value.p + value.n
    buf_byte(m, 0)


cdef void cache_counted(Exchange* x, const CacheConf* c, Buf* m) noexcept nogil:
    # What cache_key takes from where there may be several, of which it has the first.
    cdef const VarPart* part
    cdef uint32_t i, k
    for i in range(c.n_key):
        for k in range(c.key[i].n):
            part = &c.key[i].parts[k]
            if part.id == VAR_HTTP:
                cache_header(x, part.text, part.len, m)
            elif part.id == VAR_COOKIE:
                cache_cookies(x, part.text, part.len, m)
            elif part.id == VAR_ARG:
                cache_args(x, part.text, part.len, m)


cdef void cache_variant(Exchange* x, const CacheConf* c, const ZoneKey* resource, const char* known, uint32_t n_known,
                        const char* extra, uint32_t n_extra, ZoneKey* out) noexcept nogil:
    cdef Buf* m = &x.loop.wbuf
    cdef const char* p = known + CACHE_EPOCH
    cdef const char* end = known + n_known
    cdef uint32_t n
    cdef uint8_t id
    cdef bint folded
    cdef bint forwarded = False
    cdef const char* path = x.bytes.p + x.raw_path
    cdef uint32_t n_path = x.raw_path_len
    cdef const char* mark
    buf_reset(m)
    buf_put(m, resource, sizeof(ZoneKey))
    buf_put(m, known, CACHE_EPOCH)
    cache_part(m, c.owner, c.owner_len)
    if x.plan != NULL:          # of a global rule, or a service: each route has checks of its own
        cache_part(m, x.plan.id, x.plan.id_len)
    cache_part(m, extra, n_extra)
    buf_byte(m, x.down.c.tls != NULL)
    buf_byte(m, <char>(x.up_method + 1) if x.up_method != x.head.method else <char>0)
    cache_part(m, x.up_host, x.up_host_len)
    # One normal path may be written in many ways, which an upstream may take for many things.
    if x.target.len:
        path = x.target.p
        n_path = x.target.len
    mark = <const char*>memchr(path, c"?", n_path) if n_path else NULL
    cache_part(m, path, n_path if mark == NULL else <uint32_t>(mark - path))
    cache_asked(x, mark, m)
    cache_counted(x, c, m)
    if c.isolated:
        cache_told(x, m)
    while p < end:
        n = <uint32_t>strlen(p)
        id = field_id(p, n, &folded)
        cache_header(x, p, n, m)
        if not forwarded and (FIELD_FORWARDED <= id <= FIELD_X_FORWARDED_PORT or id == FIELD_X_FORWARDED_OTHER):
            forwarded = True    # what the gateway says of the client
            put_forwarded(x, m)
        p += n + 1
    cache_key_made(c, m, out)


cdef inline bint chain_checks(const Chain* c) noexcept nogil:
    return c.n[PHASE_ACCESS] and c.steps[PHASE_ACCESS][0].priority > CACHE_PRIORITY


cdef bint cache_early(const Exchange* x) noexcept nogil:
    # In a global rule, whose steps come first: whether the route or the consumer has checks of who may have the answer that are
    # still to come, or there is no route at all.
    if x.stage != STAGE_GLOBAL_ACCESS:
        return False
    return x.plan == NULL or chain_checks(&x.plan.chain) or (x.consumer != NULL and chain_checks(&x.consumer.chain))


cdef bint cache_plain(const Exchange* x, const CacheConf* c, const Field** tags) noexcept nogil:
    # Whether nothing is asked but the answer, unless it is one of those in If-None-Match.
    cdef const Field* f
    cdef const char* name
    cdef uint32_t i
    tags[0] = NULL
    if (x.head.method != METHOD_GET and x.head.method != METHOD_HEAD) or x.body != BODY_NONE:
        return False
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.id != FIELD_OTHER:
            continue
        name = x.bytes.p + f.name
        if f.name_len == 5:
            if field_same(name, b"range", 5):
                return False
        elif f.name_len == 6:
            if c.obeys and field_same(name, b"pragma", 6):
                return False
        elif f.name_len == 13:
            if c.obeys and field_same(name, b"cache-control", 13):
                return False
            if tags[0] == NULL and field_same(name, b"if-none-match", 13):
                tags[0] = f
                continue
        if f.name_len > 7 and field_same(name, b"if-", 3):
            return False
    return True


cdef bint cache_tag(const char* p, const char* end, Span* tag) noexcept nogil:
    # The entity tag at p, without its weakness and with its quotes (RFC 9110 section 8.8.3).
    cdef const char* stop
    if end - p > 2 and p[0] == c"W" and p[1] == c"/":
        p += 2
    if end - p < 2 or p[0] != c'"':
        return False
    stop = <const char*>memchr(p + 1, c'"', end - p - 1)
    if stop == NULL:
        return False
    tag.p = p
    tag.n = <uint32_t>(stop + 1 - p)
    return True


cdef int cache_unchanged(const Exchange* x, const Field* tags, const char* lines, uint32_t n) noexcept nogil:
    # Whether what is kept is one of those that the client has, by the weak comparison. -1: that list is not written as it ought.
    cdef const char* p = x.bytes.p + tags.value
    cdef const char* end = p + tags.value_len
    cdef Span kept, mine, tag
    if tags.value_len == 1 and p[0] == c"*":
        return 1
    if not lines_find(lines, n, b"ETag", 4, &kept) or not cache_tag(kept.p, kept.p + kept.n, &mine):
        return -1
    while p < end:
        if p[0] == c" " or p[0] == c"\t" or p[0] == c",":
            p += 1
        elif not cache_tag(p, end, &tag):
            return -1
        elif tag.n == mine.n and memcmp(tag.p, mine.p, mine.n) == 0:
            return 1
        else:
            p = tag.p + tag.n
    return 0


cdef bint cache_of_304(const char* name, size_t n) noexcept nogil:
    # RFC 9110 section 15.4.5, as plugins/proxy_cache has it.
    return ((n == 4 and (field_same(name, b"date", 4) or field_same(name, b"etag", 4) or field_same(name, b"vary", 4)))
            or (n == 7 and field_same(name, b"expires", 7)) or (n == 10 and field_same(name, b"set-cookie", 10))
            or (n == 13 and (field_same(name, b"cache-control", 13) or field_same(name, b"last-modified", 13)))
            or (n == 16 and field_same(name, b"content-location", 16)))


cdef void cache_put_304(const char* p, uint32_t n, Buf* out) noexcept nogil:
    cdef const char* end = p + n
    cdef const char* colon
    cdef const char* stop
    while p < end:
        stop = <const char*>memchr(p, 10, end - p)
        colon = <const char*>memchr(p, c":", end - p)
        if stop == NULL or colon == NULL:
            return
        stop += 1
        if cache_of_304(p, colon - p):
            buf_put(out, p, stop - p)
        p = stop


cdef bint cache_bypassed(Exchange* x, const CacheConf* c) noexcept nogil:
    cdef Buf* m = &x.loop.wbuf
    cdef uint32_t i
    for i in range(c.n_bypass):
        buf_reset(m)
        parts_eval(c.bypass[i].parts, c.bypass[i].n, x, m)
        if m.len and not (m.len == 1 and m.p[0] == c"0"):
            return True
    return False


cdef int step_cache(Exchange* x, void* p) noexcept nogil:
    cdef const CacheConf* c = <const CacheConf*>p
    cdef Buf* head = &x.reply_body
    cdef ZoneThing thing
    cdef ZoneKey resource, variant
    cdef StoredC stored
    cdef int64_t age
    cdef const Field* tags = NULL
    cdef int unchanged = 0
    if not cache_plain(x, c, &tags) or cache_early(x) or cache_bypassed(x, c):
        return STEP_NEXT
    cache_resource(x, c, &resource)
    buf_reset(head)
    if not zone_find(c.zone, &resource, &thing, head) or head.len < CACHE_EPOCH:
        return STEP_NEXT
    cache_variant(x, c, &resource, head.p, head.len, NULL, 0, &variant)
    buf_reset(head)
    if not zone_find(c.zone, &variant, &thing, head) or head.len < sizeof(stored):
        return STEP_NEXT
    memcpy(&stored, head.p, sizeof(stored))
    age = stored.age + max(<int64_t>0, x.loop.wall - <int64_t>stored.at)
    if age >= stored.lifetime:
        return STEP_NEXT
    if tags != NULL and stored.status == 200:
        unchanged = cache_unchanged(x, tags, head.p + sizeof(stored), head.len - <uint32_t>sizeof(stored))
        if unchanged < 0:
            return STEP_NEXT
    if not unchanged and not unsent_room(thing.body_len):
        return STEP_NEXT
    if unchanged:
        stored.status = 304
        cache_put_304(head.p + sizeof(stored), head.len - <uint32_t>sizeof(stored), &x.down_extra)
        buf_reset(head)
    else:
        buf_put(&x.down_extra, head.p + sizeof(stored), head.len - sizeof(stored))
        buf_reset(head)
        if not zone_body(c.zone, &thing, head):
            x.down_extra.len -= min(x.down_extra.len, thing.head_len - <uint32_t>sizeof(stored))
            buf_reset(head)
            return STEP_NEXT
    buf_put(&x.down_extra, b"Age: ", 5)
    buf_int(&x.down_extra, age)
    buf_put(&x.down_extra, b"\r\nApisix-Cache-Status: HIT\r\n", 28)
    x.status = stored.status
    x.reply_type = REPLY_STORED
    x.refused = NULL
    metric_add(x.loop, M_CACHE_HITS, 1)
    return STEP_REPLY


def stored_reply(int status, bytes lines not None, bytes body not None) -> Reply:
    """An answer whose header lines, Content-Type and Date among them, are taken as they stand: they were an upstream's."""
    cdef Reply reply = Reply(status, body)
    reply.lines = lines
    return reply


def answer_fields(Request request not None) -> tuple[bool, list[tuple[str, str]]] | None:
    """Of the upstream's answer, in `header_filter`: whether its end can be told from its being cut off, and its fields, but for
    those of one connection. None: the gateway answers itself."""
    cdef Exchange* x = request.alive()
    cdef const Field* f
    cdef uint32_t i
    if x.up_head == NULL:
        return None
    fields = []
    for i in range(x.up_head.n):
        f = &x.up_head.fields[i]
        if not f.flags & FIELD_DROP and not (f.id == FIELD_SERVER and x.loop.server_tokens):
            fields.append(((x.up_base + f.name)[:f.name_len].decode("latin-1"),
                           (x.up_base + f.value)[:f.value_len].decode("latin-1")))
    return x.up_head.body != BODY_UNTIL_CLOSE, fields


def hide_answer_field(Request request not None, bytes name not None) -> None:
    """Takes a field out of the upstream's answer, in `header_filter`."""
    cdef Exchange* x = request.alive()
    if x.up_head != NULL:
        head_drop(x.up_head, x.up_base, name, len(name))
