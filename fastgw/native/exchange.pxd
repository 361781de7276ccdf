# One request and its answer on their way through the gateway, and the three kinds of connection that carry them.
# Owns: the shapes. Bodies: pool, up, relay, down, reactor. `down` is the client's side, `up` the upstream's.

ctypedef ssize_t (*io_recv)(Conn* c, void* buf, size_t n) noexcept nogil
ctypedef ssize_t (*io_send)(Conn* c, const void* head, size_t m, const void* body, size_t n) noexcept nogil
ctypedef int (*io_connect)(Conn* c, const sockaddr* address, socklen_t size) noexcept nogil
ctypedef int (*io_error)(Conn* c) noexcept nogil
ctypedef void (*io_close)(Conn* c) noexcept nogil
ctypedef void (*io_finish)(Conn* c) noexcept nogil
ctypedef int (*io_pipe)(Pipe* p) noexcept nogil
ctypedef ssize_t (*io_fill)(Conn* c, Pipe* p, size_t n) noexcept nogil
ctypedef ssize_t (*io_spill)(Conn* c, Pipe* p) noexcept nogil
ctypedef void (*io_unpipe)(Pipe* p) noexcept nogil
ctypedef void (*io_wake)(Loop* loop, uint64_t due_ns) noexcept nogil
ctypedef uint64_t (*io_clock)(Loop* loop) noexcept nogil

cdef struct Io:                 # where bytes come from and go to: sockets in life, memory in tests
    io_recv recv                # bytes, 0 at the end of input, -errno
    io_send send                # bytes of head and then body taken, or -errno
    io_connect connect          # 0 when connected, -EINPROGRESS, -errno
    io_error error              # why a connection under way was not made: errno
    io_close close
    io_finish finish            # no more bytes from us (FIN); reading goes on
    io_pipe pipe                # makes a pipe; 0 or -errno
    io_fill fill                # bytes moved from the connection into an empty pipe, 0 at the end of input, -errno
    io_spill spill              # bytes moved from the pipe to the connection, -errno
    io_unpipe unpipe
    io_wake wake                # delay_run is wanted at that time, or soon after
    io_clock clock              # ns of CLOCK_MONOTONIC; NULL: the system's own

cdef enum ConnKind:
    CONN_LISTENER = 1
    CONN_DOWN = 2
    CONN_UP = 3
    CONN_TIMER = 4              # no connection: the descriptor that says a delay is over
    CONN_CALLER = 5             # no connection: a descriptor that calls for the event loop's turn
    CONN_VERIFIED = 6           # no connection: the descriptor that says that signatures were judged
    CONN_BEAT = 8               # no connection: the descriptor that says that loop_beat is due
    CONN_TUNNEL = 7             # either end of a tunnel: a Down or an Up on which HTTP is spoken no more

cdef enum ConnState:
    DOWN_IDLE = 0               # between requests, nothing of the next head read
    DOWN_HEAD                   # part of a head read
    DOWN_EXCHANGE               # a request is being served
    DOWN_SHAKING                # in its TLS handshake
    DOWN_LINGER                 # answered and FIN sent; input is drained, bounded, so that no reset destroys the answer
    UP_CONNECTING
    UP_SHAKING                  # in its TLS handshake
    UP_ACTIVE                   # serves an exchange
    UP_IDLE                     # in its pool
    CONN_CLOSED                 # on the dead list; freed after the batch of events that may still name it

cdef struct Pipe:               # body bytes on their way inside the kernel, never copied to this process (splice(2))
    Pipe* next                  # free list
    int ends[2]                 # read, write
    uint32_t n                  # bytes in it
    Buf memory                  # in tests: what stands for the kernel

cdef struct Conn:
    Loop* loop
    int fd
    uint8_t kind
    uint8_t state
    uint8_t readable            # an edge was seen and input not yet exhausted
    uint8_t ended               # the peer sent FIN, or the line broke
    uint8_t broken              # error or full hang-up: nothing can be sent any more
    uint8_t queued              # on the loop's ready list
    Exchange* x
    Tls* tls                    # NULL: its bytes are sent as they are
    Pipe* pipe                  # holds bytes for this connection, to be sent before `out`; NULL when there are none
    Buf out                     # accepted for sending, not yet sent; of TLS its records
    Conn* ready_next
    Conn* timer_prev
    Conn* timer_next
    uint64_t deadline           # ms, 0 = none; looked at only when the wheel reaches `due`
    uint64_t due                # tick of the bucket it is linked in
    uint8_t timed               # linked in the wheel
    uint32_t unsent             # bytes of `out` that are counted, see unsent.pxi
    Conn* dead_next

cdef enum Paused:               # why a listener is, see accept.pxi
    PAUSED_CONNECTIONS = 1      # limits.connections
    PAUSED_DESCRIPTORS = 2      # those that a worker may open
    PAUSED_KERNEL = 3           # it gave none, or no memory

cdef struct Refused:            # connections closed at once, since the start
    uint64_t n
    uint8_t last[16]            # address of the last one

cdef struct Pauses:             # of listeners, since the start
    uint64_t n
    uint8_t why                 # of the last one

cdef struct Listener:
    Conn c
    Listener* next
    uint16_t port
    uint8_t paused              # Paused: out of the epoll set
    uint8_t unix_socket
    const TlsListenerC* tls     # NULL: no TLS is spoken

cdef struct Pace:               # of a client, see pace.pxi
    int64_t left[2]             # ms for which it may still be waited for: with its body, with an answer
    int64_t due                 # ms, when that of `side` is spent
    int64_t body                # what had moved when that was last looked at
    int64_t answer
    int64_t unsent
    uint32_t request            # of which this is, from 1; 0: of none
    int8_t side                 # whose clock runs

cdef struct Client:             # who sends requests
    uint8_t bytes[16]           # address, IPv4 mapped; zero for a unix socket
    char address[48]            # as text; "unix:" for a unix socket
    uint8_t address_len
    uint16_t port               # 0: a unix socket has none, or it is not known

cdef struct Down:
    Conn c
    Down* prev                  # all client connections of the loop
    Down* next
    Buf input                   # bytes read past the current request (pipelined)
    Client client               # the peer
    uint8_t processing          # down_process is on the stack: finish must not call it again
    uint8_t close_after         # answer, then close
    uint8_t trusted             # a peer in trusted_addresses
    uint16_t port               # of the listener, for X-Forwarded-Port
    uint32_t requests
    uint32_t lingered           # bytes thrown away in DOWN_LINGER
    Pace pace
    uint64_t held               # its address's count, see addresses.pxi; 0: it is not counted

cdef struct Up:
    Conn c
    PoolC* pool
    Up* prev                    # idle list of the pool
    Up* next
    Up* all_prev                # every upstream connection of the loop
    Up* all_next
    uint32_t requests
    uint8_t reused              # has served before: a failure now may be the idle race
    uint8_t got_bytes           # of the current answer
    uint8_t sent_bytes          # of the current request
    HeadParser parser
    Buf input                   # a partial answer head
    Head* head                  # its table; NULL until an answer's head came in pieces

cdef enum:
    MEMBERS_MOST = 64           # of one multi-auth
    MEMBERS_LOGGED = 8          # whose reasons the log has

cdef struct Verified:           # what an exchange was told: of exactly these bytes, under exactly this key
    uint64_t serial             # 0: nothing yet
    const uint8_t* at           # the signing input, in the exchange's own bytes
    size_t length
    size_t signature            # length, decoded
    bint good

cdef struct CopyC:              # of a body that passes, see copies.pxi
    Buf bytes
    uint32_t most
    uint8_t over                # it is longer than that, or memory is short: there will be no copy

cdef enum:                      # why the pieces of an answer are looked at
    FILTER_CHANGES = 1          # body_filter steps
    FILTER_COPIES = 2           # somebody wants a copy

cdef struct ErrorBodyConf

cdef struct EncodeConf

cdef enum:                      # Exchange.reshaped: what becomes of an answer's body
    ANSWER_WHOLE = 1            # reply_body takes its place
    ANSWER_UNMEASURED = 2       # of HEAD: its length is not known
    ANSWER_PASSES = 4           # no CollectStep takes it
    ANSWER_GZIPPED = 8          # a CollectStep gets it in this coding
    ANSWER_BROTLIED = 16
    ANSWER_BROKEN = 32          # it cannot be had: the client is cut off
    ANSWER_ENCODES = 64         # a coding is asked for, see encode.pxi
    ANSWER_CODED = 128          # and given to it
    ANSWER_UNSENT = 256         # the encoder may hold some of it back

cdef struct Exchange:
    Loop* loop
    Exchange* next_free
    Down* down
    Client* client              # whose request it is: the connection's, or what real-ip has found; there as long as `down` is
    Up* up
    SnapshotC* snapshot
    PlanC* plan
    UpstreamC* upstream         # NULL: nothing was asked yet, and no step has said that it is not the plan's
    CredentialC* credential
    ConsumerC* consumer
    Head head
    HeadParser parser
    Buf bytes                   # the head's bytes (Field offsets count from here); later pieces append while it is partial
    Buf path                    # normalised path where the target's own bytes are not normal
    Buf host                    # lower-cased, without port
    const char* uri_path        # normalised
    uint32_t uri_path_len
    uint32_t query              # offset in bytes, after '?'
    uint32_t query_len
    uint32_t raw_path           # offset of path (and query) in bytes as they go upstream
    uint32_t raw_path_len
    Buf target                  # replaces them when a step rewrote the URI
    uint32_t authority          # offset of host[:port] in bytes: Host, or the absolute-form's
    uint32_t authority_len
    uint32_t authority_port     # 0 where none is given
    uint32_t up_host_len        # 0: a step has not said who is asked
    const char* up_host         # for the Host header, where the upstream's pass_host leaves it to the request
    uint8_t up_method           # as the upstream is asked
    # chain
    uint8_t stage               # Stage
    uint8_t waiting             # a step suspended it
    uint8_t delayed             # for a time: it stands in the loop's delays
    uint8_t verify_rounds       # how often it waited for a signature
    uint8_t n_member_refused
    uint8_t n_holds             # concurrency slots that this request holds, see holds.pxi
    uint16_t n_judged           # conditions of plugins that it has met, see meta.pxi
    uint8_t passes_over         # whether there are plugins whose steps are passed over: those in `passed_over`
    uint16_t at                 # cursor in the plan's (or global) steps
    uint16_t at_consumer        # cursor in the consumer's steps
    resume_fn composite         # of the step that waits for a step of its own: exchange_resume asks it first
    const ErrorBodyConf* error_body     # of the step that runs or waits; NULL: its refusals have their own
    # request body
    uint8_t body                # BodyKind
    uint8_t body_done
    uint8_t replayable          # request and piece are the whole request
    uint8_t gathering           # a step waits for the whole body; what comes of it goes to piece, unframed
    uint8_t copying             # the body is copied as it passes; ends with `py`
    # node choice
    uint8_t fresh               # take no pooled connection: the last one turned out stale
    uint16_t fail_status        # what the client gets if no try succeeds; 503: none has failed yet
    uint32_t tries
    NodeC* node
    int64_t body_left
    int64_t body_bytes          # received
    int64_t body_most           # that there may be
    Buf request                 # head as sent upstream
    Buf piece                   # first body bytes, framed as sent upstream; kept for a retry
    Buf claims                  # JSON of a token's payload, where jwt-auth keeps it for later plugins
    Buf up_extra                # header lines for the upstream, set by steps
    uint32_t request_id         # offset in up_extra of the id that request-id gave it, for the log
    uint32_t request_id_len     # 0: none
    # answer
    uint8_t answering           # bytes of the final answer went to the client
    uint8_t answer_body         # BodyKind of what the upstream sends
    uint8_t answer_chunked      # we send it chunked
    uint8_t answer_done
    uint8_t up_keep             # the upstream connection may be used again
    uint8_t informational       # 1xx relayed so far
    uint8_t filtering           # who sees the answer's pieces: FILTER_CHANGES, FILTER_COPIES
    uint8_t piece_last
    uint16_t status             # sent to the client
    uint16_t up_status
    uint16_t reshaped           # ANSWER_…
    uint8_t quotas              # down_extra has quota lines of a limit
    Head* up_head               # the upstream's head, for header_filter steps only; NULL where the gateway answers itself
    const char* up_base         # what its offsets count from
    int64_t answer_left
    int64_t answer_bytes        # body bytes sent to the client
    Buf filtered                # what replaced it
    Buf down_extra              # header lines for the client, set by steps
    Buf reply_body
    const char* reply_type      # Content-Type; NULL: application/json
    const char* refused         # reason for the log, e.g. "jwt.expired"; static text
    const char* shadow          # what a limit would have done that only looks on, likewise
    # times, ns of CLOCK_MONOTONIC
    uint64_t t_start, t_up, t_up_head
    PyObject* py                # the Request object while Python plugins know this exchange (a strong reference)
    # What few requests need, behind the cache lines that all do. Nothing here is cleared between requests: each is written
    # before it is read, as what stands in front says.
    const char* fail_reason     # of the last failed try, where fail_status is not 503
    uint32_t n_failed           # tries that failed, and below
    uint64_t timed_out          # for each of the last 64, the latest lowest, whether it took too long
    uint64_t tried[16]          # NODES_MAX bits: nodes that failed, while `tries` is not 0
    uint64_t members_tried      # MEMBERS_MAX bits: addresses of a name that failed, in the same way
    uint32_t member_at          # the one in use
    uint64_t first_try_ms       # where the upstream bounds the time of retries
    uint64_t try_ns             # when the last one began, where the upstream's choice rests on times
    void* composite_conf        # of `composite`
    uint32_t delayed_at         # where in the loop's delays
    uint32_t gather_limit       # bytes that the step takes which waits for the body
    uint32_t gathered           # bytes of `piece` that the loop's `gathered` counts; 0 where its block is a small one
    step_fn gather_then         # what goes on then, with gather_conf
    void* gather_conf
    ChunkDecoder chunks         # of a body in chunks
    ChunkDecoder answer_chunks
    const char* piece_p         # the piece a body_filter step looks at
    size_t piece_n
    PluginSet passed_over       # where passes_over says so
    uint16_t member             # of a step made of steps, the one that is next
    # multi-auth
    uint32_t members_from       # length of down_extra before the first one
    uint32_t member_from        # and before the last one that was tried
    const char* member_refused[MEMBERS_LOGGED]  # their reasons
    # jwt-auth, where verify_rounds is not 0
    Exchange* verify_next       # who waits for the same signature
    Verified verified
    Buf judged                  # n_judged conditions of plugins
    uint8_t body_asked          # a condition of a route looked for the body in vain; told where routes have such conditions
    const PlanC* trying         # the route whose conditions are looked at; NULL at any other time
    uint8_t ruled               # of the rules of a limit-count one has concerned the request
    uint8_t tunnel              # of a tunnel, see tunnel.pxi
    const EncodeConf* encodes[2]    # by ENCODE_BR and ENCODE_GZIP, where reshaped has ANSWER_ENCODES
    uint32_t encode_bytes       # of a coded answer that are read at once
    CopyC* body_copy            # while `copying`
    CopyC* answer_copy          # while `filtering` says so
    int64_t departed            # answer_bytes when a client that sent FIN was last seen to get some, see down_departs
    Hold holds[HOLDS_MAX]
    Client real                 # where `client` points to it

cdef enum Stage:
    STAGE_HEAD = 0
    STAGE_GLOBAL_REWRITE
    STAGE_REWRITE
    STAGE_CONSUMER_REWRITE
    STAGE_GLOBAL_ACCESS
    STAGE_ACCESS
    STAGE_UPSTREAM              # chain passed; connecting or exchanging
    STAGE_REPLY                 # the gateway answers itself
    STAGE_DONE

cdef struct LoopLimits:
    uint32_t head_bytes, target_bytes
    uint16_t headers
    int64_t body_bytes
    int64_t gathered_bytes      # of all bodies that are gathered
    uint32_t idle_ms, head_ms, body_ms, send_ms
    uint32_t min_rate           # bytes per second; 0: any
    uint32_t connections
    uint32_t per_address        # connections; 0: any number
    uint32_t descriptors        # connections of both sides
    uint64_t plugin_wait_ns     # for which a coroutine of a plugin may hold up its request; 0: any time

cdef enum:
    TIMER_TICK_MS = 100
    TIMER_BUCKETS = 1024        # 102 s a turn; longer deadlines go round again
    IO_BYTES = 65536            # one read; also what one direction of a connection may hold unsent
    IO_ROUNDS = 8               # reads of one connection before others get their turn
    LINGER_BYTES = 1048576      # thrown away after an early answer before the line is cut
    LINGER_MS = 2000
    DEPART_MS = 1000            # a client that sent FIN while waiting is taken to be gone after this
    EVENTS_MAX = 256            # events per epoll_wait
    ACCEPTS_MAX = 64            # connections taken per event of a listener
    LOG_BATCH = 32768           # bytes of access log per write
    LOG_MOST = 4194304          # bytes held for a slow sink; lines beyond are dropped and counted
    DRAIN_NS = 2000000          # a drain lasts no longer before the event loop gets its turn
    # How long a drain waits for more before it goes back to the event loop. Longer than a tick of the kernel (4 ms at 250 Hz):
    # a timer that is due sooner has to be programmed into the hardware each time (docs/performance.md).
    DRAIN_WAIT_MS = 10
    EXCHANGES_KEPT = 256        # free ones held for reuse (about 4 KiB each)
    SPLICE_LEAST = 32768        # where splice_least starts (docs/performance.md)
    FIRST_BYTES = 32768         # the read that an answer's head comes in: what is more of the body is left to splice
    SPLICE_BYTES = 262144       # size of a pipe, as far as the kernel grants it
    JOIN_BYTES = 2048           # a body this short is copied behind its head
    PIPES_KEPT = 64             # empty ones held for reuse, two descriptors each
    CHUNK_EXT_MAX = 1024        # bytes of chunk extensions per chunk

cdef struct Delayed:
    uint64_t due                # ns of CLOCK_MONOTONIC
    Exchange* x

cdef struct DelayQueue:         # suspended for a time, the earliest first (a binary heap)
    Delayed* heap
    uint32_t n
    uint32_t cap
    Conn timer                  # CONN_TIMER; its descriptor is made when it is first needed

cdef struct Loop:
    Io io
    int epfd
    SnapshotC* snapshot
    LoopLimits limits
    uint64_t now_ns             # CLOCK_MONOTONIC at the start of the batch
    uint64_t now_ms
    int64_t wall                # CLOCK_REALTIME, s
    char* rbuf                  # IO_BYTES, what recv fills
    Buf wbuf                    # what one send is built in
    Buf sealed                  # its records, where TLS is spoken
    Buf joined                  # what one of them is made of
    Pipe* pipes                 # empty ones
    uint32_t n_pipes            # how many those are
    uint64_t pipes_from_ms      # no new one before that time
    int64_t splice_least        # what is left of a body is spliced from this size on; below, a copy is cheaper
    Conn* ready                 # connections with work left over
    Conn* ready_tail
    Conn* dead
    Exchange* free_exchanges
    uint32_t n_free
    Down* downs
    Up* ups
    uint32_t n_down
    uint32_t n_up
    AddressBook addresses       # what this process counts of connections
    Refused refused
    Pauses pauses
    uint32_t n_exchanges
    uint64_t tick               # wheel position, in ticks
    Conn* buckets[TIMER_BUCKETS + 1]    # the last holds those whose time is being looked at
    uint64_t wall_ns            # CLOCK_REALTIME at the start of the batch
    char stamp[40]              # "2026-01-31T12:34:56" of this second
    char date[64]               # "Date: …\r\n" of this second
    uint32_t date_len
    int64_t date_at
    Conn caller                 # CONN_CALLER
    uint8_t called              # the event loop's turn was called for
    Conn beat                   # CONN_BEAT
    uint8_t beaten              # since Python was last there
    int wait_ms                 # how long a drain waits for more before it goes back to the event loop
    uint8_t draining            # stopping: answers carry Connection: close
    uint8_t accepting
    uint8_t server_tokens
    uint16_t status_shown_from  # answers of upstreams with this status or a higher one have it in a header
    uint8_t unheard             # there may be events which the batch under way does not have
    uint8_t log_on
    uint8_t log_sink            # what kind of thing log_fd is
    uint8_t log_torn            # it took less than it was given
    int log_fd
    Buf log
    const VarPart* log_parts    # of a line that is text; NULL: it is JSON
    uint32_t log_parts_n
    uint8_t log_json            # values in it are escaped as in JSON
    uint8_t trusted_ids         # only peers in `trusted` may say what a request's id is
    uint64_t log_dropped        # lines
    int64_t gathered            # bytes of bodies that were gathered and are still here, see gather.pxi
    JwtScratch* jwt             # one token at a time
    RandomPool random
    JwtHeaderCache jwt_headers
    TokenCache tokens
    Verifiers* verifiers
    int ask_fd                  # a pipe that never blocks: which key sets are to be fetched; -1: nobody listens
    Cidrs trusted               # peers whose X-Forwarded-* are believed
    Head answer_head            # the upstream's head being handled (scratch)
    MetricsBlock* metrics
    Series* series              # what this process counts by route, consumer and node
    LimTable* table             # limiter cells, shared by all processes
    const RevTable* revoked     # what is, shared too
    HoldLedger holds            # what this process holds of concurrency counts
    HotRing hot                 # samples of what its limits are asked
    DelayQueue delays
    RemoteC* remotes            # stores with something to send, see remote.pxi
    uint8_t sends               # there is an event loop that sends it
    Listener* listeners
    void* net                   # the memory that stands for the network, in tests and where other servers ask (embed)
    uint8_t embedded            # the upstream is the application that asks
    PluginName* plugin_names    # of all processes
    PluginBlock* plugins        # of this one, as many as there are names
    PluginBlock plugin_other    # of those that have no place there; nobody reads it
    Overrun overrun
    PyObject* reactor           # borrowed: the Reactor that owns this
