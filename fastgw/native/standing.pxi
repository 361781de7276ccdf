# standing: what limiting steps have counted for a key, and how to make them forget it, for those who administer them. Must not
# know: requests. The identity is the step's own, so what is looked at is what is counted.

class Standing(_NamedTuple):
    """What a limit has counted for one key; times in seconds. None: nobody can say.

    algorithm: fixed, sliding, token-bucket, leaky-bucket (limit-req) or concurrent (limit-conn)
    limit: the most that pass at once
    consumed: how much of it is taken; above it after an edit
    remaining: how many more would pass now
    reset: until nothing consumed counts any more; sliding: until the window's end
    retry_after: until the next one would pass
    """

    algorithm: str
    limit: int | None
    consumed: int | None
    remaining: int | None
    reset: float | None
    retry_after: float | None


cdef LimKey standing_key(LimitedStep step, Region region, bytes key):
    cdef LimKey k
    lim_key(&region.table, <const uint8_t*><const char*>step.identity, len(step.identity),
            <const uint8_t*><const char*>key, len(key), &k)
    return k


cdef uint64_t step_window(LimitedStep step) noexcept:
    if isinstance(step, LimitCountStep):
        return (<LimitCountStep>step).conf.window_ns
    return (<LimitReqStep>step).conf.window_ns if isinstance(step, LimitReqStep) else 0


cdef bint literal(Template text):
    return all(part[0] == VAR_LITERAL for part in text.held)


cdef varying_standing(LimitCountConf* c, LimTable* t, const LimKey* k, uint64_t now):
    # Of a fixed window or a bucket whose numbers come from each request: what the cell says by itself. What a bucket lacks it
    # says in tokens as long as the last request's were, which nobody knows.
    cdef LimKey own = k[0]
    cdef pair16 s
    if c.algorithm == LIMIT_BUCKET:
        own = lim_variant(t, k, LIM_SALT_BUCKET)
    if lim_seek(t, &own, &s) < 0 or lim_time(s) * LIM_MS <= now:
        return None
    reset = (lim_time(s) * LIM_MS - now) / 1e9
    if c.algorithm == LIMIT_BUCKET:
        return Standing("token-bucket", c.burst or None, None, None, reset, None)
    return Standing("fixed", c.count or None, lim_count(s), None, reset, None)


cdef count_standing(LimitCountConf* c, LimTable* t, const LimKey* k, uint64_t now):
    cdef LimResult r
    cdef LimKey sized, part
    cdef uint64_t now_ms = now // LIM_MS
    cdef uint64_t window_ms
    if c.varies and c.algorithm != LIMIT_SLIDING:
        return varying_standing(c, t, k, now)
    if c.window_ns == 0:
        return None             # each length of a sliding window has cells of its own
    if c.algorithm == LIMIT_BUCKET:
        lim_bucket(t, k, now, c.count, c.window_ns, c.burst, 0, &r)
        if r.reset_ns == 0:
            return None
        return Standing("token-bucket", r.limit, r.limit - r.remaining, r.remaining, r.reset_ns / 1e9, r.retry_after_ns / 1e9)
    if c.algorithm == LIMIT_FIXED:
        lim_fixed(t, k, now, c.count, c.window_ns, 0, &r)
        used = lim_used(t, k, now_ms)
        name = "fixed"
    else:
        lim_sliding(t, k, now, c.count, c.window_ns, 0, &r)
        window_ms = lim_slide_ms(c.window_ns)
        sized = lim_variant(t, k, LIM_SALT_SLIDE + window_ms)
        part = lim_variant(t, &sized, now_ms // window_ms)
        # Of the window before, the share that a window ending now would still see, rounded up as `remaining` has it.
        before = int(lim_used(t, &part, now_ms)) * int(window_ms - now_ms % window_ms)
        used = -(-before // int(window_ms))
        part = lim_variant(t, &sized, now_ms // window_ms + 1)
        used += lim_used(t, &part, now_ms)
        name = "sliding"
    if used and c.count == 0:
        return Standing(name, None, used, None, r.reset_ns / 1e9, None)
    return Standing(name, r.limit, used, r.remaining, r.reset_ns / 1e9, r.retry_after_ns / 1e9) if used else None


cdef req_standing(LimitReqConf* c, LimTable* t, const LimKey* k, uint64_t now):
    # In requests, where the bucket counts parts of them.
    cdef LimResult r
    lim_bucket(t, k, now, c.count, c.window_ns, c.burst, 0, &r)
    if r.reset_ns == 0:
        return None
    full, share, room = int(r.reset_ns), max(int(c.share_ns), 1), int(c.window_ns) * int(c.burst - c.cost) // int(c.count)
    wait = max(full - room, 0)      # until one more would not flow over
    left = 0 if wait else max(r.remaining // <int64_t>c.cost, 1)
    return Standing("leaky-bucket", c.burst // c.cost, -(-full // share), left, full / 1e9, wait / 1e9)


cdef conn_standing(LimitConnStep step, LimTable* t, const LimKey* key):
    cdef LimKey k = lim_variant(t, key, LIM_SALT_HOLD)
    cdef pair16 s
    if lim_seek(t, &k, &s) < 0 or not hold_is(s) or hold_n(s) == 0:
        return None
    n = hold_n(s)
    if not (literal(step.conn) and literal(step.burst)):
        return Standing("concurrent", None, n, None, None, None)
    limit = sum(int(b"".join([part[1] for part in text.held])) for text in (step.conn, step.burst))
    return Standing("concurrent", limit, n, max(limit - n, 0), None, None)


def limit_standing(LimitedStep step not None, Region region not None, bytes key not None, *, now_ns=None) -> Standing | None:
    """What the step has counted for the key; None: nothing."""
    cdef LimKey k = standing_key(step, region, key)
    cdef uint64_t now = _now(now_ns)
    if isinstance(step, LimitCountStep):
        return count_standing(&(<LimitCountStep>step).conf, &region.table, &k, now)
    if isinstance(step, LimitReqStep):
        return req_standing(&(<LimitReqStep>step).conf, &region.table, &k, now)
    return conn_standing(step, &region.table, &k)


def limit_forget(LimitedStep step not None, Region region not None, bytes key not None, *, now_ns=None) -> bool:
    """Makes the step forget what it has counted for the key; whether there was anything. What requests hold, they give back."""
    cdef LimKey k = standing_key(step, region, key)
    if isinstance(step, LimitConnStep):
        return False
    return lim_reset(&region.table, &k, _now(now_ns), step_window(step))
