# The compiled configuration: what one request needs to know, flat. Built by compile.py through the Python classes at the
# foot, immutable once in a Snapshot. A C struct is owned by the Python object that embeds it; the Snapshot keeps those alive,
# and an Exchange keeps its Snapshot alive by `inflight`.

cdef enum:                      # Phase
    PHASE_REWRITE = 0
    PHASE_ACCESS
    PHASE_BEFORE_PROXY
    PHASE_HEADER_FILTER
    PHASE_BODY_FILTER
    PHASE_LOG
    PHASE_COUNT

cdef enum StepResult:
    STEP_NEXT = 0               # go on with the next step
    STEP_REPLY = 1              # the step left an answer in the exchange: stop here
    STEP_WAIT = 2               # suspended: somebody will call exchange_resume
    STEP_AGAIN = 3              # the same, and then this step is to be run once more

cdef enum:
    PLUGINS_MAX = 256           # distinct plugins in one process: bits of a PluginSet
    NODES_MAX = 1024            # nodes of one upstream: bits of the tried set
    MEMBERS_MAX = 64            # addresses of one name that are used: bits of a set too
    BUDGET_MS = 10000           # of what time adds to a retry budget, that much is saved up
    BUDGET_SAVED = 500          # and of what requests add, what so many do
    BUDGET_NONE = 1000000       # retries per request or second that no upstream comes to

ctypedef int (*step_fn)(Exchange* x, void* conf) noexcept nogil
ctypedef int (*resume_fn)(Exchange* x, void* conf, int result) noexcept nogil

cdef struct StepC:
    step_fn fn
    void* conf
    int32_t priority
    uint16_t plugin             # number of the plugin, the same for all its confs

cdef struct PluginSet:
    uint64_t bits[4]

cdef struct Chain:              # all steps of one object, per phase, by priority from high to low
    StepC* steps[PHASE_COUNT]
    uint16_t n[PHASE_COUNT]
    uint16_t n_plugins          # in the set below, which has also those without a step
    PluginSet plugins

cdef struct PoolC:              # one address: its idle connections, most recently used first
    Loop* loop                  # set on first use
    Up* idle
    uint32_t n_idle
    uint32_t n_open
    int family
    socklen_t address_len
    sockaddr_storage address
    const char* name            # "127.0.0.1:80"
    uint32_t name_len
    const char* logged          # its member of the access log's line
    uint32_t logged_len
    uint8_t resolved
    uint32_t ip_len
    const char* ip              # or name, without the port
    uint64_t series             # what it adds to the key of what is counted, see series.pxi
    uint32_t number             # no two pools in a process's life have the same
    TlsPeerC* tls               # NULL: TLS is not spoken there
    uint32_t n_members          # a name's addresses; 0: this is an address itself
    PoolC** members
    uint32_t turn               # of them, or of whoever else takes turns
    uint64_t since_ms           # when it was first there to be chosen, or came back; 0: not yet. See slow start
    uint64_t seen_ns            # when the mean below was last brought up to date
    double mean_ns              # of its answers' times, moving (ewma)

cdef struct JudgementC:         # of one address
    HealthPlace* place          # where it was found last
    uint64_t who                # whose the place is while it is the address's
    uint64_t looked             # the table's `given` when it was looked for last, and not found
    uint32_t pool               # number of the address's; 0: of none yet

cdef struct JudgedC:            # of one node
    const HealthTable* table
    uint64_t node               # health_node
    JudgementC* of              # as its pool's members; the first one, where it has none

cdef struct PassiveC:           # what requests report
    uint8_t limits[4]           # by HealthReport
    uint8_t reports[400]        # by status from 200 on: 1 + HealthReport; 0: none

cdef struct NodeC:
    PoolC* pool
    int32_t weight
    int64_t current             # smooth weighted round robin's running value
    int32_t priority
    JudgedC* judged             # NULL: it always counts as well
    const char* host            # "host[:port]" for pass_host: node
    uint32_t host_len

cdef struct GroupC:             # the nodes of one priority: neighbours in the upstream's nodes
    uint32_t first
    uint32_t end
    uint32_t turn               # where least_conn starts to look, so that equals take turns
    Chash ring

cdef enum Balance:
    BALANCE_ROUNDROBIN = 0
    BALANCE_CHASH = 1
    BALANCE_LEAST_CONN = 2
    BALANCE_EWMA = 3

cdef struct RetryBudget:        # thousandths of a retry
    uint32_t per_request        # that a request adds
    uint32_t per_ms             # that a millisecond adds
    uint32_t asked              # requests since it was last reckoned up
    uint64_t at_ms              # when that was
    int64_t left
    int64_t most

cdef enum PassHost:
    HOST_PASS = 0
    HOST_NODE = 1
    HOST_REWRITE = 2

cdef struct UpstreamC:
    NodeC* nodes                # by priority, the highest first
    GroupC* groups
    const VarPart* key          # of chash
    uint32_t n
    uint32_t n_groups
    uint32_t key_n
    uint8_t balance             # Balance
    uint8_t notes               # when a try began is of use to it
    uint8_t learns              # what came of a try is
    uint8_t pass_host
    const char* host            # for pass_host: rewrite
    uint32_t host_len
    int32_t retries             # -1: nodes - 1
    uint32_t connect_ms, send_ms, read_ms
    uint32_t keep_size          # idle connections kept per node
    uint32_t keep_ms            # idle time before one is closed
    uint32_t keep_requests      # requests before one is closed
    uint32_t slow_ms            # how long a new node's share grows; 0: it has all of it at once
    uint32_t retry_ms           # how long after the first try another may begin; 0: no bound
    RetryBudget budget
    const PassiveC* passive     # NULL: requests report nothing of its nodes

cdef struct ConsumerC:
    Chain chain
    const char* name
    uint32_t name_len
    uint64_t series             # as a pool's
    const char* group
    uint32_t group_len
    uint32_t labels_len
    uint32_t texts_len
    const char* labels          # each label with each of its values: length in 4 bytes, then what label_name makes
    const char* texts           # each label with its text as it stands, in the same form

cdef enum:
    RING_KEYS_MAX = 64          # keys of one credential: a kid is looked for in all of them
    KID_BYTES_MAX = 256         # bytes of a kid
    RING_ASK_MS = 1000          # between two messages of a worker about one ring; how often it is fetched others decide

cdef struct VerifyKey:          # what a credential's secret was made into
    uint64_t serial             # of the SecretKey; no two in a process's life have the same
    int32_t alg                 # JwtAlg
    bint quick                  # a signature is judged sooner than handed over to a thread
    const HmacKey* hmac         # HS*: midstates
    PyObject* verifier          # the others: a Python callable, borrowed

cdef struct RingKeyC:           # a key by the name that tokens call it by
    const char* kid
    uint32_t kid_len
    const VerifyKey* key
    int64_t not_before, expires     # s of CLOCK_REALTIME: in force from the one and before the other

cdef struct KeyRingC:
    RingKeyC* keys
    uint32_t n
    uint64_t serial             # of the first key; those of the others follow. Not the SecretKeys' own: see keyring_holds
    uint64_t ask                # by what number the set that it was made of is fetched anew; 0: it is not fetched
    uint64_t asked_ms           # when that was asked for last

cdef struct CredentialC:
    ConsumerC* consumer
    const char* identity        # header lines for the upstream: X-Consumer-Username, X-Credential-Identifier, …
    const char* logged          # its consumer's and its own member of the access log's line, right behind
    uint32_t identity_len
    uint32_t logged_len
    const char* first           # what its consumer's first step in `access` reads, or NULL
    const VerifyKey* secret     # NULL: the ring alone
    const KeyRingC* ring        # NULL: the secret alone, whatever the token's kid
    const SecretC* proof        # of credentials whose secret the client shows itself
    const SigningKeys* signing  # of those that sign requests
    PasswordC* password         # of those whose password is known by a hash only
    int64_t leeway
    RevName revoked             # what it would be revoked by
    PyObject* owner             # the Credential

cdef struct Cidr:
    uint8_t bytes[16]           # IPv4 as ::ffff:a.b.c.d
    uint8_t bits

cdef struct Cidrs:
    Cidr* list
    uint32_t n

cdef struct PlanC:              # a route with everything merged into it but the consumer
    Chain chain
    const char* id
    uint32_t id_len
    const char* logged          # its member of the access log's line
    uint32_t logged_len
    uint64_t series             # as a pool's
    uint64_t methods            # bit per Method; 0 = any
    int32_t priority
    uint64_t order              # among equal priorities the lower comes first
    UpstreamC* upstream
    Cidrs remote                # client addresses admitted; none: any
    const char* service         # id of the route's service; none: empty
    uint32_t service_len
    const char* name            # what people call it and its service
    uint32_t name_len
    uint32_t service_name_len
    const char* service_name
    const char* matched_uri     # the path and the host by which it takes requests, as they were written; empty: of several
    const char* matched_host
    uint32_t matched_uri_len
    uint32_t matched_host_len
    const ExprC* condition      # what else must hold of a request; NULL: nothing
    const PatternC* pattern     # of the path, where it has wildcards that bear names or have to be compared
    uint32_t connect_ms, send_ms, read_ms   # 0: the upstream's
    uint8_t upgrades            # another protocol than HTTP may follow a 101

cdef enum FacetHost:            # what of the host is looked up
    FACET_ANY_HOST = 0
    FACET_HOST = 1
    FACET_HOST_END = 2          # its last bytes
    FACET_AUTHORITY = 3         # with the port, as the client gave it
    FACET_AUTHORITY_END = 4

cdef struct FacetC:             # routes of one prefix that look at the same of a request: found by that, however many they are
    uint8_t host                # FacetHost
    bint open                   # any text may stand between head and tail
    uint32_t suffix             # bytes of the host's end
    const char* head            # of each segment behind the prefix whether it is looked up (L) or a parameter (P)
    const char* tail            # and of each of the last ones, from the end
    uint32_t n_head
    uint32_t n_tail
    Map plans                   # what is looked up, a slash behind each -> Candidates
    char* text                  # scratch of the search: `most` bytes, which is the longest key
    uint32_t most

cdef struct Candidates:         # routes of one path or prefix, in the order they are tried
    PlanC** plans
    uint32_t n                  # 0 where there are facets: then all plans are there
    uint32_t n_facets
    FacetC** facets

cdef struct PathIndex:          # the routes of one host
    Map exact                   # path -> Candidates
    Map prefix                  # prefix -> Candidates
    uint32_t* lengths           # distinct prefix lengths, ascending
    uint64_t* hashes            # scratch of route_find, one per length
    uint32_t n_lengths

cdef struct RouteIndex:
    Map hosts                   # exact host -> PathIndex
    PathIndex* any_host         # routes without a host
    Map suffixes                # ".example.com" reversed, for *.example.com -> PathIndex; "" for *
    uint32_t* suffix_lengths    # ascending
    uint64_t* suffix_hashes
    uint32_t n_suffix_lengths

cdef enum:                      # what is done to paths before anything looks at them
    PATH_LIKE_SERVLET = 1
    PATH_NO_TAIL_SLASH = 2

cdef struct SnapshotC:
    RouteIndex routes
    uint8_t paths               # PATH_…
    uint32_t posted             # how many entries of routes have conditions on the body
    Map credentials[4]          # per credential index, see CredentialKind
    Map server_names            # of TLS -> TlsServerC; "*.a.com" as it is written
    Chain globals
    uint64_t revision
    uint32_t inflight           # exchanges that run on it

cdef enum:                      # CredentialKind
    CREDENTIAL_JWT = 0
    CREDENTIAL_KEY = 1
    CREDENTIAL_BASIC = 2
    CREDENTIAL_HMAC = 3


cdef class Step:
    # One plugin with one conf, for one phase. Subclasses own the conf that the C function reads.
    cdef StepC c
    cdef int phase
    cdef int bind(self, step_fn fn, void* conf, str phase) except -1

cdef class Steps:
    # The steps of one object, held alive, flattened for the chain runner.
    cdef Chain chain
    cdef list held

cdef class Pool:
    cdef PoolC c
    cdef bytes logged
    cdef readonly str address
    cdef bytes name_bytes
    cdef bytes ip
    cdef TlsPeerC peer
    cdef TlsClient client
    cdef object __weakref__     # compile.py shares pools by address as long as anybody uses them
    cdef list members           # Pools of the addresses that a name has
    cdef list former            # and of those it had, while connections to them are open
    cdef void set_address(self, const sockaddr_storage* a, socklen_t size)

cdef class Checks:
    cdef object health
    cdef const HealthTable* table
    cdef bytes owner
    cdef PassiveC passive
    cdef bint reports           # requests do
    cdef int judge(self, NodeC* node, bytes name, uint32_t addresses) except -1

cdef class Upstream:
    cdef UpstreamC c
    cdef Checks checks
    cdef list held
    cdef bytes host
    cdef Template key
    cdef object service
    cdef int put_nodes(self, int least) except -1

cdef class Consumer:
    cdef ConsumerC c
    cdef readonly bytes name
    cdef bytes group
    cdef bytes labels
    cdef bytes texts
    cdef Steps steps

cdef class KeyRing:
    cdef KeyRingC c
    cdef list held

cdef class Credential:
    cdef CredentialC c
    cdef readonly Consumer consumer
    cdef readonly bytes key
    cdef bytes text
    cdef object secret
    cdef readonly KeyRing ring
    cdef SharedSecret proof
    cdef SigningSecret signing
    cdef PasswordHash password
    cdef object shown           # to applications, see embed

cdef class Plan:
    cdef PlanC c
    cdef object condition
    cdef readonly Pattern pattern
    cdef bytes logged
    cdef bytes id
    cdef bytes service
    cdef bytes name
    cdef bytes service_name
    cdef bytes matched_uri
    cdef bytes matched_host
    cdef Steps steps
    cdef Upstream upstream
