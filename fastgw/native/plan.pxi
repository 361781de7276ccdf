# plan: the Python classes that compile.py builds a snapshot from. They embed the C structs of plan.pxd and keep each other
# alive; nothing here is called while a request is served.

cdef uint32_t pools_made        # numbers of Pools; 0 is nobody's

PHASES = ("rewrite", "access", "before_proxy", "header_filter", "body_filter", "log")


cdef class Step:
    """One plugin with one configuration, in one phase. Made by a plugin's `provision`."""

    def __init__(self, *args, **kwargs):
        raise TypeError("Step is abstract: a plugin makes one of its subclasses")

    cdef int bind(self, step_fn fn, void* conf, str phase) except -1:
        if phase not in PHASES:
            raise ValueError(f"phase: expected one of {', '.join(PHASES)}, found {phase!r}")
        self.phase = PHASES.index(phase)
        self.c.fn = fn
        self.c.conf = conf
        return 0


cdef class Steps:
    """The steps of one object (route, consumer, global rules), by priority from high to low in each phase.

    `steps` is a sequence of (plugin number 0..255, priority, Step); `plugins` are the numbers of all plugins of the object,
    also of those without a step in any phase here.
    """

    def __cinit__(self, steps, plugins=()):
        cdef Step step
        cdef int phase
        cdef StepC* array
        self.held = []
        numbers = {*plugins, *(number for number, _, _ in steps)}
        self.chain.n_plugins = len(numbers)
        for number in numbers:
            if not 0 <= number < PLUGINS_MAX:
                raise ValueError(f"plugin number: expected 0 to {PLUGINS_MAX - 1}, found {number}")
            self.chain.plugins.bits[<int>number >> 6] |= <uint64_t>1 << (<int>number & 63)
        for phase in range(PHASE_COUNT):
            mine = sorted((s for s in steps if (<Step?>s[2]).phase == phase), key=lambda s: -s[1])
            if not mine:
                continue
            array = <StepC*>calloc(len(mine), sizeof(StepC))
            if array == NULL:
                raise MemoryError
            self.chain.steps[phase] = array
            self.chain.n[phase] = len(mine)
            for i, (number, priority, step) in enumerate(mine):
                array[i] = step.c
                array[i].plugin = number
                array[i].priority = priority
                self.held.append(step)

    def __dealloc__(self):
        cdef int phase
        for phase in range(PHASE_COUNT):
            free(self.chain.steps[phase])


cdef class Pool:
    """One upstream address and this worker's idle connections to it, or a name that stands for several.

    `address` is "host:port" or "unix:/path". `resolve` gives it the numeric address that connections go to; `spread` makes it
    one whose connections are those of other pools, by turns. `tls`: how TLS is spoken there; None: it is not.
    """

    def __cinit__(self, str address, TlsClient tls=None):
        global pools_made
        pools_made += 1
        self.c.number = pools_made
        self.address = address
        if tls is not None:
            self.client = tls
            self.peer.ctx = tls.ctx
            self.peer.verify = tls.verify
            self.c.tls = &self.peer
        self.name_bytes = address.encode()
        self.c.name = self.name_bytes
        self.c.name_len = len(self.name_bytes)
        self.logged = log_rendered(b',"upstream":"', self.name_bytes)
        self.c.logged = self.logged
        self.c.logged_len = len(self.logged)
        self.members = self.former = []
        host = address if address.startswith("unix:") else address.rpartition(":")[0]
        self.ip = host.removeprefix("[").removesuffix("]").encode()
        self.c.ip = self.ip
        self.c.ip_len = <uint32_t>len(self.ip)
        self.c.series = series_hash(b"node\0" + self.ip)

    def spread(self, pools):
        """From now on connections go to these pools, which have an address each, by turns."""
        cdef PoolC** members
        cdef Pool pool
        pools = list(pools)[:MEMBERS_MAX]
        members = <PoolC**>malloc(MEMBERS_MAX * sizeof(void*))
        if members == NULL:
            raise MemoryError
        # A connection knows its pool, and for as long as it is open that must not go.
        self.former = [pool for pool in (*self.former, *self.members) if pool.open and pool not in pools]
        self.members = pools
        for i, pool in enumerate(pools):
            members[i] = &pool.c
        free(self.c.members)
        self.c.members = members
        self.c.n_members = len(pools)
        self.c.resolved = self.c.n_members > 0

    def resolve(self, str ip, int port):
        """Sets the numeric address that connections go to from now on; idle ones to another address are closed."""
        cdef sockaddr_storage a
        cdef socklen_t size = sockaddr_set(&a, ip, port, self.address)
        self.set_address(&a, size)

    def resolve_unix(self, str path):
        """Connections go to the unix socket at `path`."""
        cdef sockaddr_storage a
        cdef bytes raw = path.encode()
        memset(&a, 0, sizeof(a))
        if not 0 < len(raw) < 108:
            raise ValueError(f"node {self.address}: a unix socket path has 1 to 107 bytes, found {len(raw)}")
        a.ss_family = AF_UNIX
        memcpy((<sockaddr_un*>&a).sun_path, <const char*>raw, len(raw))
        self.set_address(&a, <socklen_t>(sizeof(sa_family_t) + len(raw) + 1))

    cdef void set_address(self, const sockaddr_storage* a, socklen_t size):
        if self.c.resolved and (size != self.c.address_len or memcmp(a, &self.c.address, size) != 0):
            pool_close_idle(&self.c)
        memcpy(&self.c.address, a, sizeof(sockaddr_storage))
        self.c.address_len = size
        self.c.resolved = 1

    @property
    def idle(self) -> int:
        """Idle connections kept now."""
        return self.c.n_idle

    @property
    def open(self) -> int:
        """Connections open now, busy and idle."""
        return self.c.n_open

    def __dealloc__(self):
        pool_close_idle(&self.c)
        if self.peer.session != NULL:
            SSL_SESSION_free(self.peer.session)
        free(self.c.members)


cdef class Upstream:
    """Nodes and how to talk to them.

    `nodes`: sequence of (Pool, weight, priority, host header bytes). `pass_host`: "pass", "node" or "rewrite" (then `host`).
    `balance`: "roundrobin", "chash" (then `key`, a Template), "least_conn" or "ewma". Times in seconds; `retries` None means
    every other node once. `budget`: retries per request and per second that the nodes bear, or None for no bound. `service` is
    held for as long as the upstream is there. `checks`: how the nodes are judged; None: they are not.
    """

    def __cinit__(self, nodes, str pass_host="pass", bytes host=b"", retries=None, double connect=60, double send=60,
                  double read=60, int keepalive_size=320, double keepalive_idle=60, int keepalive_requests=1000,
                  str balance="roundrobin", Template key=None, double slow_start=0, double retry_timeout=0, budget=None,
                  service=None, Checks checks=None):
        if len(nodes) > NODES_MAX:
            raise ValueError(f"nodes: expected at most {NODES_MAX}, found {len(nodes)}")
        self.c.balance = ("roundrobin", "chash", "least_conn", "ewma").index(balance)
        self.c.nodes = <NodeC*>calloc(len(nodes) or 1, sizeof(NodeC))
        self.c.groups = <GroupC*>calloc(len(nodes) or 1, sizeof(GroupC))
        if self.c.nodes == NULL or self.c.groups == NULL:
            raise MemoryError
        self.service = service
        self.checks = checks
        self.key = key
        if key is not None:
            self.c.key = key.parts
            self.c.key_n = key.n
        # Where no node has a weight all are alike (APISIX), else those without one take nothing.
        self.held = sorted(nodes, key=lambda each: -each[2])
        self.put_nodes(0 if any(weight for _, weight, _, _ in nodes) else 1)
        self.host = host
        self.c.pass_host = ("pass", "node", "rewrite").index(pass_host)
        self.c.host = self.host
        self.c.host_len = len(self.host)
        self.c.retries = -1 if retries is None else retries
        self.c.connect_ms = milliseconds(connect)
        self.c.send_ms = milliseconds(send)
        self.c.read_ms = milliseconds(read)
        self.c.keep_size = keepalive_size
        self.c.keep_ms = milliseconds(keepalive_idle)
        self.c.keep_requests = keepalive_requests
        self.c.slow_ms = milliseconds(slow_start) if slow_start else 0
        self.c.notes = self.c.balance == BALANCE_EWMA or self.c.slow_ms
        if checks is not None and checks.reports:
            self.c.passive = &checks.passive
        self.c.learns = self.c.balance == BALANCE_EWMA or self.c.passive != NULL
        self.c.retry_ms = milliseconds(retry_timeout) if retry_timeout else 0
        ratio, per_second = (BUDGET_NONE, BUDGET_NONE) if budget is None else budget
        self.c.budget.per_request = <uint32_t>(min(ratio, BUDGET_NONE) * 1000)
        self.c.budget.per_ms = <uint32_t>min(per_second, BUDGET_NONE)
        self.c.budget.left = <int64_t>self.c.budget.per_ms * BUDGET_MS
        self.c.budget.most = max(self.c.budget.left + BUDGET_SAVED * <int64_t>self.c.budget.per_request, <int64_t>1000)

    cdef int put_nodes(self, int least) except -1:
        cdef NodeC* node = self.c.nodes
        cdef GroupC* group = self.c.groups
        cdef Pool pool
        cdef bytes name
        for pool, weight, priority, name in self.held:
            node.pool = &pool.c
            node.weight = max(<int32_t>weight, <int32_t>least)
            node.priority = priority
            node.host = name
            node.host_len = len(name)
            if self.checks is not None:
                self.checks.judge(node, pool.name_bytes, 1 if pool.c.resolved and pool.c.n_members == 0 else MEMBERS_MAX)
            if self.c.n and priority != (node - 1).priority:
                group += 1
                group.first = group.end = self.c.n
            group.end += 1
            self.c.n += 1
            node += 1
        self.c.n_groups = <uint32_t>(group - self.c.groups) + 1
        if self.c.balance == BALANCE_CHASH:
            for at in range(self.c.n_groups):
                group = &self.c.groups[at]
                mine = range(group.first, group.end)
                ids = [self.held[i][0].address.encode().replace(b":", b"\0") for i in mine]
                chash_make(&group.ring, list(zip(mine, ids, [self.c.nodes[i].weight for i in mine])))
        return 0

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.c.n):
            free(self.c.nodes[i].judged)
        for i in range(self.c.n_groups):
            free(self.c.groups[i].ring.points)
        free(self.c.groups)
        free(self.c.nodes)


cdef uint32_t milliseconds(double seconds) except? 0:
    return <uint32_t>min(max(seconds * 1000, 1), 0x7fffffff)


cdef bytes label_name(str label, str value):
    # A label with one of its values, as steps look for it. No two pairs have the same.
    cdef bytes name = label.encode("utf-8", "surrogatepass")
    return len(name).to_bytes(4, "little") + name + value.encode("utf-8", "surrogatepass")


cdef bytes labels_laid(pairs):
    named = [label_name(label, value) for label, value in pairs]
    return b"".join([len(each).to_bytes(4, "little") + each for each in named])


cdef class Consumer:
    """Who a request comes from, once authenticated, with the steps that its own plugins add. `labels` are pairs (label, value),
    of a label with several values one for each; `texts` pairs of each with its text."""

    def __cinit__(self, bytes name not None, Steps steps not None, bytes group=b"", labels=(), texts=()):
        self.name = name
        self.group = group
        self.steps = steps
        self.c.name = self.name
        self.c.name_len = len(name)
        self.c.series = series_hash(b"consumer\0" + name)
        self.c.group = self.group
        self.c.group_len = len(group)
        self.labels = labels_laid(labels)
        self.texts = labels_laid(texts)
        self.c.texts = self.texts
        self.c.texts_len = <uint32_t>len(self.texts)
        self.c.labels = self.labels
        self.c.labels_len = <uint32_t>len(self.labels)
        self.c.chain = steps.chain


cdef class Credential:
    """One way of a consumer to prove itself. `key` is what a request names it by; `secret` a SecretKey or None; `ring` a
    KeyRing or None; `proof` the SharedSecret that requests must show, or None; `signing` the SigningSecret that they must be
    signed with, or None; `password` the PasswordHash that they must show the password of, or None.

    `custom_id` is the consumer's label. The identity lines for the upstream are made here, once.
    """

    def __cinit__(self, Consumer consumer not None, bytes key not None, bytes id=b"", bytes custom_id=b"",
                  SecretKey secret=None, long long leeway=0, SharedSecret proof=None, KeyRing ring=None,
                  SigningSecret signing=None, PasswordHash password=None):
        self.consumer = consumer
        self.key = key
        self.secret = secret
        lines = b"X-Consumer-Username: " + consumer.name + b"\r\n"
        if id:
            lines += b"X-Credential-Identifier: " + id + b"\r\n"
        if custom_id:
            lines += b"X-Consumer-Custom-ID: " + custom_id + b"\r\n"
        if lines.count(b"\r\n") != 1 + bool(id) + bool(custom_id) or b"\0" in lines:
            raise ValueError("credential: a name or label holds control bytes")
        # Of many credentials the one that a request shows is in no cache: what is written of it stands in one place.
        self.text = lines + log_rendered(b',"consumer":"', consumer.name) + log_rendered(b',"credential":"', id)
        self.c.owner = <PyObject*>self
        self.c.consumer = &consumer.c
        self.c.identity = self.text
        self.c.identity_len = len(lines)
        self.c.logged = self.c.identity + len(lines)
        self.c.logged_len = len(self.text) - len(lines)
        if consumer.c.chain.n[PHASE_ACCESS]:
            self.c.first = <const char*>consumer.c.chain.steps[PHASE_ACCESS][0].conf
        self.c.leeway = leeway
        if secret is not None:
            self.c.secret = &secret.key
        self.proof = proof
        if proof is not None:
            self.c.proof = &proof.c
        if ring is None and secret is None and proof is None and signing is None and password is None:
            ring = KeyRing(())          # refuses every token; nothing has to ask whether there is any key at all
        self.ring = ring
        if ring is not None:
            self.c.ring = &ring.c
        self.signing = signing
        if signing is not None:
            self.c.signing = &signing.c
        self.password = password
        if password is not None:
            self.c.password = &password.c
        named = consumer.name + b"/" + id if id else consumer.name
        rev_credential(named, len(named), &self.c.revoked)


cdef class Plan:
    """A route with everything but the consumer merged into it. `methods`: names, `remote_addrs`: CIDRs; empty means any.
    `service`: the id of its service, where it has one. `name`, `service_name`: what people call them.
    `condition`: an Expression, what else must hold of a request. `pattern`: its path, where that has wildcards within.
    `upgrades`: whether connections may be. `matched_uri`, `matched_host`: by what it takes requests, as people wrote it.

    Of plans that could take the same request the one of higher `priority` does, then that of the longer pattern, then the one of
    lower `order`.
    """

    def __cinit__(self, bytes id not None, Steps steps not None, Upstream upstream=None, methods=(), int priority=0,
                  double connect=0, double send=0, double read=0, remote_addrs=(), unsigned long long order=0,
                  bytes service not None=b"", condition=None, Pattern pattern=None, bint upgrades=False,
                  bytes name not None=b"", bytes service_name not None=b"", bytes matched_uri not None=b"",
                  bytes matched_host not None=b""):
        self.id = id
        self.service = service
        self.c.service = self.service
        self.c.service_len = <uint32_t>len(service)
        self.name, self.service_name = name, service_name
        self.c.name = self.name
        self.c.name_len = <uint32_t>len(name)
        self.c.service_name = self.service_name
        self.c.service_name_len = <uint32_t>len(service_name)
        self.matched_uri, self.matched_host = matched_uri, matched_host
        self.c.matched_uri = self.matched_uri
        self.c.matched_uri_len = <uint32_t>len(matched_uri)
        self.c.matched_host = self.matched_host
        self.c.matched_host_len = <uint32_t>len(matched_host)
        self.c.series = series_hash(b"\0".join((b"route", id, matched_uri, matched_host, service)))
        self.steps = steps
        self.upstream = upstream
        self.c.id = self.id
        self.c.id_len = len(id)
        self.logged = log_rendered(b',"route":"', id)
        self.c.logged = self.logged
        self.c.logged_len = len(self.logged)
        self.c.chain = steps.chain
        self.c.priority = priority
        self.c.order = order
        if condition is not None:
            self.condition = <Expression?>condition
            self.c.condition = &(<Expression>condition).c
        if pattern is not None:
            self.pattern = pattern
            self.c.pattern = &pattern.c
        if upstream is not None:
            self.c.upstream = &upstream.c
        for method in methods:
            self.c.methods |= <uint64_t>1 << method_number(method)
        self.c.connect_ms = milliseconds(connect) if connect else 0
        self.c.send_ms = milliseconds(send) if send else 0
        self.c.read_ms = milliseconds(read) if read else 0
        self.c.upgrades = upgrades
        cidrs_set(&self.c.remote, remote_addrs)

    def __dealloc__(self):
        free(self.c.remote.list)


cdef inline bint plan_before(const PlanC* a, const PlanC* b, uint32_t least) noexcept nogil:
    # Whether of two plans of one prefix, where a pattern without wildcards within has `least` bytes, the first is tried first.
    cdef uint32_t mine, other
    if a.priority != b.priority:
        return a.priority > b.priority
    mine = a.pattern.len if a.pattern != NULL else least
    other = b.pattern.len if b.pattern != NULL else least
    return mine > other if mine != other else a.order < b.order


CREDENTIAL_KINDS = ("jwt", "key", "basic", "hmac")
