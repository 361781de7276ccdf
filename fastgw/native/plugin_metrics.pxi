# plugin_metrics: see plugin_metrics.pxd. Owns: whose a place is, writing and adding up. Must not know what a plugin is.


cdef int plugin_place(PluginName* names, const char* text, size_t n) noexcept nogil:
    # The place of a name, claimed where it has none; -1: all are taken, or the name is too long to be one.
    cdef PluginName* name
    cdef int i
    if n == 0 or n > PLUGIN_NAME:
        return -1
    for i in range(PLUGIN_PLACES):
        name = &names[i]
        if at_load(&name.state) == PLUGIN_FREE and at_cas(&name.state, PLUGIN_FREE, PLUGIN_CLAIMED):
            memcpy(name.text, text, n)
            name.length = n
            at_store(&name.state, PLUGIN_NAMED)
            return i
        # Another process may be writing this very name: then it has two places, and who reads adds them up.
        if at_load(&name.state) == PLUGIN_NAMED and name.length == n and memcmp(name.text, text, n) == 0:
            return i
    return -1


cdef inline void plugin_add(uint64_t* counter, uint64_t n) noexcept nogil:
    at_store_relaxed(counter, at_load_relaxed(counter) + n)


cdef inline void plugin_took(PluginBlock* block, uint64_t ns) noexcept nogil:
    # A method has come to its verdict.
    cdef uint64_t us = ns // 1000
    cdef int i = 0 if us == 0 else fgw_msb(us) + 1
    plugin_add(&block.latency_ns, ns)
    plugin_add(&block.latency[i if i < PLUGIN_BUCKETS else PLUGIN_BUCKETS - 1], 1)


cdef void plugin_clear_kept(PluginBlock* blocks) noexcept nogil:
    # A slot has a new process: what the one before kept went with it.
    cdef int i
    for i in range(PLUGIN_PLACES):
        at_store_relaxed(&blocks[i].let_go, at_load_relaxed(&blocks[i].kept))


cdef plugins_sum(PluginName* names, PluginBlock* blocks, uint64_t slots):
    cdef PluginBlock* block
    cdef uint64_t slot
    cdef int i, k
    found = {}
    for i in range(PLUGIN_PLACES):
        if at_load(&names[i].state) != PLUGIN_NAMED:
            continue
        name = names[i].text[:min(names[i].length, <uint64_t>PLUGIN_NAME)].decode("ascii", "replace")
        one = found.setdefault(name, {"calls": 0, "failures": 0, "timeouts": 0, "held_ns": 0, "latency_ns": 0, "kept": 0,
                                      "latency_us": [0] * PLUGIN_BUCKETS})
        for slot in range(slots):
            block = &blocks[slot * PLUGIN_PLACES + i]
            one["calls"] += at_load_relaxed(&block.calls)
            one["failures"] += at_load_relaxed(&block.failures)
            one["timeouts"] += at_load_relaxed(&block.timeouts)
            one["held_ns"] += at_load_relaxed(&block.held_ns)
            one["latency_ns"] += at_load_relaxed(&block.latency_ns)
            one["kept"] += <int64_t>(at_load_relaxed(&block.kept) - at_load_relaxed(&block.let_go))
            for k in range(PLUGIN_BUCKETS):
                one["latency_us"][k] += at_load_relaxed(&block.latency[k])
    for one in found.values():
        one["latency_us"] = [((1 << k) - 1, n) for k, n in enumerate(one["latency_us"]) if n]
    return found
