# checks: the nodes of one upstream as they are judged: where each of their addresses stands in the shared table, and which of
# the tries that go there are reports. Must not know: what a report leads to (health), which node is chosen, requests.
#
# A node's judgement knows the address that it is of by its pool's number, as the addresses of a name come and go beneath it.


cdef class Checks:
    """How the nodes of an object are judged. `owner`: the object, "upstreams/1".

    `passive` is (statuses that are successes, how many decide, statuses that are failures, how many decide, failed connections,
    timeouts): what requests report; None: nothing.
    """

    def __cinit__(self, Health health not None, str owner not None, passive=None):
        self.health = health
        self.owner = owner.encode()
        self.table = health.table
        if passive is None:
            return
        healthy, successes, unhealthy, http_failures, tcp_failures, timeouts = passive
        self.passive.limits[HEALTH_SUCCESS] = successes
        self.passive.limits[HEALTH_HTTP] = http_failures
        self.passive.limits[HEALTH_TCP] = tcp_failures
        self.passive.limits[HEALTH_TIMEOUT] = timeouts
        for report, statuses in ((HEALTH_SUCCESS, healthy), (HEALTH_HTTP, unhealthy)):
            for status in statuses:
                if not 200 <= status < 600:
                    raise ValueError(f"status: expected 200 to 599, found {status}")
                # In both lists: a success (resty.healthcheck).
                if self.passive.reports[<int>status - 200] == 0:
                    self.passive.reports[<int>status - 200] = 1 + <int>report
        self.reports = True

    cdef int judge(self, NodeC* node, bytes name, uint32_t addresses) except -1:
        # The node, which is called so, is judged from now on; it has at most so many addresses.
        cdef JudgedC* judged = <JudgedC*>calloc(1, sizeof(JudgedC) + addresses * sizeof(JudgementC))
        if judged == NULL:
            raise MemoryError
        judged.of = <JudgementC*>(judged + 1)
        judged.table = self.table
        judged.node = health_node(self.table, <const uint8_t*><const char*>self.owner, len(self.owner),
                                  <const uint8_t*><const char*>name, len(name))
        node.judged = judged
        return 0


cdef void judge_begin(JudgedC* judged, JudgementC* j, const PoolC* pool) noexcept nogil:
    j.pool = pool.number
    j.who = health_who(judged.table, judged.node, &pool.address)
    j.place = NULL
    j.looked = 0


cdef HealthPlace* judge_look(const JudgedC* judged, JudgementC* j) noexcept nogil:
    # It had no place, or has it no more: a new node has none until the admin process knows of it.
    cdef uint64_t given = at_load(judged.table.given)
    if j.looked == given:
        return NULL
    j.looked = given            # as it was before the look: a place that is given during it is looked for again
    j.place = health_find(judged.table, j.who)
    return j.place


cdef inline HealthPlace* judge_place(JudgedC* judged, uint32_t i, const PoolC* pool) noexcept nogil:
    # Where the i-th address of the node stands; NULL: it is not judged.
    cdef JudgementC* j = &judged.of[i]
    if j.pool != pool.number:
        judge_begin(judged, j, pool)
    if j.place != NULL and at_load_relaxed(&j.place.v.lo) == j.who:
        return j.place
    return judge_look(judged, j)


cdef inline bint judged_well(JudgedC* judged, uint32_t i, const PoolC* pool) noexcept nogil:
    cdef HealthPlace* place = judge_place(judged, i, pool)
    return place == NULL or not health_unwell(at_load_relaxed(&place.v.hi))


cdef bint judged_usable(const NodeC* node) noexcept nogil:
    # A name is as well as the best of its addresses.
    cdef const PoolC* pool = node.pool
    cdef uint32_t i
    if pool.n_members == 0:
        return judged_well(node.judged, 0, pool)
    for i in range(pool.n_members):
        if judged_well(node.judged, i, pool.members[i]):
            return True
    return False


cdef void judged_report(const PassiveC* passive, const NodeC* node, uint32_t member, const PoolC* pool,
                        int report) noexcept nogil:
    # What a try showed of the address that it went to. A name may have lost it since, or have it elsewhere.
    cdef JudgedC* judged = node.judged
    cdef const PoolC* own = node.pool
    cdef HealthPlace* place
    cdef uint64_t who
    if passive.limits[report] == 0:
        return
    if pool == own:
        member = 0
    if pool == own or (member < own.n_members and own.members[member] == pool):
        place = judge_place(judged, member, pool)
        who = judged.of[member].who
    else:
        who = health_who(judged.table, judged.node, &pool.address)
        place = health_find(judged.table, who)
    if place != NULL:
        health_report(place, who, report, passive.limits[report])


cdef void judged_answered(const PassiveC* passive, const NodeC* node, uint32_t member, const PoolC* pool,
                          uint16_t status) noexcept nogil:
    # The final status of an answer.
    if 200 <= status < 600 and passive.reports[status - 200]:
        judged_report(passive, node, member, pool, passive.reports[status - 200] - 1)
