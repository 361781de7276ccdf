# chain: runs the steps of an exchange. The order is APISIX's: global rules, then the route's list, into which the consumer's
# steps are merged as two sorted lists are; a plugin that the consumer carries replaces the route's, also in a phase for which
# the consumer's configuration has no step, as a disabled one has none at all. A step may suspend (STEP_WAIT, STEP_AGAIN); the
# cursor stays in the exchange and exchange_resume goes on behind the step, or with it. A step may be made of steps: it leaves
# word of itself in x.composite while one of them waits, is told that one's result, and gives its own. One may have done the work
# of another plugin, whose steps are then passed over.


cdef inline bint pluginset_has(const PluginSet* s, uint16_t plugin) noexcept nogil:
    return (s.bits[plugin >> 6] >> (plugin & 63)) & 1


cdef void chain_pass_over(Exchange* x, uint16_t plugin) noexcept nogil:
    # From now on no step of this plugin runs for the request: another step has done its work.
    if not x.passes_over:
        memset(&x.passed_over, 0, sizeof(PluginSet))
        x.passes_over = 1
    x.passed_over.bits[plugin >> 6] |= <uint64_t>1 << (plugin & 63)


cdef inline bint chain_passes_over(const Exchange* x, uint16_t plugin) noexcept nogil:
    return x.passes_over and pluginset_has(&x.passed_over, plugin)


cdef int chain_plain(Exchange* x, const Chain* chain, int phase) noexcept nogil:
    cdef const StepC* s
    cdef int r
    while x.at < chain.n[phase]:
        s = &chain.steps[phase][x.at]
        x.at += 1
        if chain_passes_over(x, s.plugin):
            continue
        r = s.fn(x, s.conf)
        if r != STEP_NEXT:
            if r == STEP_AGAIN:     # after STEP_WAIT the exchange may be gone
                x.at -= 1
            return r
    return STEP_NEXT


cdef int chain_consumer_only(Exchange* x, int phase) noexcept nogil:
    # The consumer's own rewrite steps, but for plugins the route has: those already ran with the route's conf. Not so what they
    # strip: in `access` it is the consumer's conf that will run.
    cdef const Chain* chain = &x.consumer.chain
    cdef const StepC* s
    cdef int r
    while x.at_consumer < chain.n[phase]:
        s = &chain.steps[phase][x.at_consumer]
        x.at_consumer += 1
        if s.fn != step_strip and pluginset_has(&x.plan.chain.plugins, s.plugin):
            continue
        r = s.fn(x, s.conf)
        if r != STEP_NEXT:
            if r == STEP_AGAIN:
                x.at_consumer -= 1
            return r
    return STEP_NEXT


cdef int chain_merged(Exchange* x, int phase) noexcept nogil:
    cdef const Chain* route = &x.plan.chain
    cdef const Chain* own
    cdef const StepC* a
    cdef const StepC* b
    cdef int r
    if x.consumer == NULL or x.consumer.chain.n_plugins == 0:
        return chain_plain(x, route, phase)
    own = &x.consumer.chain
    while True:
        a = &route.steps[phase][x.at] if x.at < route.n[phase] else NULL
        if a != NULL and (pluginset_has(&own.plugins, a.plugin) or chain_passes_over(x, a.plugin)):
            x.at += 1
            continue
        b = &own.steps[phase][x.at_consumer] if x.at_consumer < own.n[phase] else NULL
        if a == NULL and b == NULL:
            return STEP_NEXT
        if b == NULL or (a != NULL and a.priority >= b.priority):
            x.at += 1
            r = a.fn(x, a.conf)
            if r != STEP_NEXT:
                if r == STEP_AGAIN:
                    x.at -= 1
                return r
        else:
            x.at_consumer += 1
            if chain_passes_over(x, b.plugin):
                continue
            r = b.fn(x, b.conf)
            if r != STEP_NEXT:
                if r == STEP_AGAIN:
                    x.at_consumer -= 1
                return r


cdef inline void chain_stage(Exchange* x, uint8_t stage) noexcept nogil:
    x.stage = stage
    x.at = 0
    x.at_consumer = 0


cdef void exchange_run(Exchange* x) noexcept nogil:
    # From the current cursor to the end of the chain, a reply, or a suspension.
    cdef int r = STEP_NEXT
    while r == STEP_NEXT:
        if x.stage == STAGE_GLOBAL_REWRITE:
            r = chain_plain(x, &x.snapshot.globals, PHASE_REWRITE)
            if r == STEP_NEXT:
                chain_stage(x, STAGE_REWRITE if x.plan != NULL else STAGE_GLOBAL_ACCESS)
        elif x.stage == STAGE_REWRITE:
            r = chain_plain(x, &x.plan.chain, PHASE_REWRITE)
            if r == STEP_NEXT:
                chain_stage(x, STAGE_CONSUMER_REWRITE if x.consumer != NULL else STAGE_GLOBAL_ACCESS)
        elif x.stage == STAGE_CONSUMER_REWRITE:
            r = chain_consumer_only(x, PHASE_REWRITE)
            if r == STEP_NEXT:
                chain_stage(x, STAGE_GLOBAL_ACCESS)
        elif x.stage == STAGE_GLOBAL_ACCESS:
            r = chain_plain(x, &x.snapshot.globals, PHASE_ACCESS)
            if r == STEP_NEXT:
                chain_stage(x, STAGE_ACCESS)
                if x.plan == NULL:
                    reply_unrouted(x)
                    r = STEP_REPLY
        elif x.stage == STAGE_ACCESS:
            r = chain_merged(x, PHASE_ACCESS)
            if r == STEP_NEXT:
                chain_stage(x, STAGE_UPSTREAM)
                proxy_start(x)
                return
        else:
            return
    if r == STEP_REPLY:
        reply_send(x)


cdef void exchange_resume(Exchange* x, int result) noexcept nogil:
    # A suspended step has its result.
    cdef resume_fn composite = x.composite
    cdef const ErrorBodyConf* error_body = x.error_body
    if x.down == NULL:
        exchange_release(x)     # the client left meanwhile
        return
    if composite != NULL:
        x.composite = NULL
        result = composite(x, x.composite_conf, result)
    if result == STEP_REPLY:
        if error_body != NULL:
            meta_error(x, error_body)
        reply_send(x)
    elif result == STEP_NEXT:
        x.error_body = NULL
        exchange_run(x)


cdef int chain_before_proxy(Exchange* x) noexcept nogil:
    # The last word before a node is chosen: a step may answer, but not suspend.
    cdef int r
    x.at = x.at_consumer = 0
    r = chain_plain(x, &x.snapshot.globals, PHASE_BEFORE_PROXY)
    if r != STEP_NEXT:
        return r
    x.at = 0
    return chain_merged(x, PHASE_BEFORE_PROXY)


cdef void chain_on_answer(Exchange* x, int phase) noexcept nogil:
    # header_filter and log: every step runs, none can stop the others or suspend.
    cdef uint16_t at = x.at
    cdef uint16_t at_consumer = x.at_consumer
    x.at = x.at_consumer = 0
    if x.snapshot != NULL:
        if x.snapshot.globals.n[phase]:
            chain_plain(x, &x.snapshot.globals, phase)
            x.at = 0
        if x.plan != NULL and (x.plan.chain.n[phase] or (x.consumer != NULL and x.consumer.chain.n[phase])):
            chain_merged(x, phase)
    x.at = at
    x.at_consumer = at_consumer
