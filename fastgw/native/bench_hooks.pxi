# bench_hooks: rooms as micro benches see them, each job in a loop in C, so that the call does not count. The hooks of jwt, sha2,
# b64url and limits stand with their test hooks. All give nanoseconds per job.


def _bench_head(bytes data not None, size_t rounds, bint response=False, str what="judged") -> float:
    """A head: "parsed" by the room head, "judged" by framing besides, or "framing", its verdict alone."""
    cdef int step = ("parsed", "judged", "framing").index(what)
    cdef Head head
    cdef Target target
    cdef char host[URI_HOST_BYTES]
    cdef HeadParser p
    cdef size_t i, good = 0
    cdef const char* base = data
    cdef size_t n = len(data)
    target.host = host
    head_begin(&p, &head, response, 32768, 8192, 100)
    head_feed(&p, base, n)
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            if step < 2:
                head_begin(&p, &head, response, 32768, 8192, 100)
            if step < 2 and head_feed(&p, base, n) != HEAD_DONE:
                break
            if step > 0 and 0 != (
                    framing_response(&head, base, METHOD_GET) if response else framing_request(&head, base, &target)):
                break
            good += 1
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError("data: expected a head that is accepted")
    return spent / rounds


def _bench_chunked(bytes data not None, size_t rounds) -> float:
    """A whole body in the chunked coding."""
    cdef ChunkDecoder d
    cdef const char* begin = data
    cdef const char* payload
    cdef size_t n = len(data)
    cdef size_t i, at, used, size, good = 0
    cdef int verdict
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            chunk_begin(&d, CHUNK_EXT_MAX, 8192)
            at = 0
            verdict = CHUNK_DATA
            while verdict == CHUNK_DATA:
                verdict = chunk_next(&d, begin + at, n - at, &used, &payload, &size)
                at += used
            good += verdict == CHUNK_END
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError("data: expected a whole body")
    return spent / rounds


def _bench_json(bytes doc not None, list names not None, size_t rounds) -> float:
    """A document scanned for at most 16 members."""
    cdef JsonScan scan
    cdef JsonWant wants[16]
    cdef const uint8_t* at = doc
    cdef size_t n = len(doc)
    cdef size_t k, i, good = 0
    cdef size_t count = min(len(names), 16)
    started = perf_counter_ns()
    for k in range(count):
        json_want(&wants[k], <bytes>names[k], len(names[k]))
    with nogil:
        for i in range(rounds):
            for k in range(count):
                wants[k].kind = JSON_ABSENT
            good += json_scan(at, n, wants, count, &scan) == JSON_OK
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError("doc: expected a lawful object")
    return spent / rounds


def _bench_map(list keys not None, bytes key not None, size_t rounds) -> float:
    """One of these keys looked up among them."""
    cdef _Map table = _Map()
    cdef const char* wanted = key
    cdef size_t n = len(key)
    cdef size_t i, good = 0
    cdef bytes one
    edit = Edit()
    for one in keys:
        table.put(edit, one, None, <void*>1)
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            good += map_get(&table.c, wanted, n) != NULL
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError("key: expected one of keys")
    return spent / rounds


def _bench_exchange(Wire wire not None, int line, str room not None, size_t rounds) -> float:
    """What a room does for the exchange under way on a wire's client line, which must wait for its upstream."""
    cdef int job = ("uri", "route", "serialise", "accesslog", "metrics").index(room)
    cdef Conn* c = wire.line(line).conn
    cdef Exchange* x = c.x if c != NULL and c.kind == CONN_DOWN else NULL
    cdef Target target
    cdef size_t i, good = 0
    if x == NULL or x.up == NULL:
        raise ValueError(f"line: expected one whose exchange waits for its upstream, found {line}")
    target.host = x.host.p
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            if job == 0:
                good += framing_request(&x.head, x.bytes.p, &target) == 0 and request_target(x, &target) == 0
            elif job == 1:
                good += route_find(&x.snapshot.routes, x) == x.plan
            elif job == 2:
                serialise_request(x)
                good += not x.request.failed
            elif job == 3:
                log_line(x, x.loop.now_ns)
                good += not x.loop.log.failed
            else:
                metrics_exchange(x, x.loop.now_ns)
                good += 1
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError(f"{room}: the exchange came out otherwise than before")
    return spent / rounds
