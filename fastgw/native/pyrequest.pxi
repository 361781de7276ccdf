# pyrequest: a request as Python plugins see it, and what they may answer. Nothing is decoded that is not asked for. Must not know
# when plugins are called, or what becomes of what they give (pystep).


cimport cython as _cython
from json import loads as _json_loads
from typing import Any


class PluginError(Exception):
    """A Python plugin broke its contract; the request gets a 500 and the log this text."""


class PluginTimeout(BaseException):
    """A Python plugin took too long and was cut off. Not an Exception: `except Exception` of a plugin must not keep it."""


cdef class Reply:
    """A plugin's answer instead of the upstream's. `body`: bytes, str or a JSON-able object.

    `content_type` of a body in bytes; `reason` is for the access log: "forward.denied".
    """
    cdef readonly int status
    cdef readonly object body
    cdef readonly list headers
    cdef readonly bytes type_
    cdef readonly bytes reason_
    cdef bytes lines            # see stored_reply

    def __init__(self, int status, body=b"", headers=(), *, str content_type="application/octet-stream", str reason=""):
        if not 200 <= status <= 599:
            raise ValueError(f"status: expected 200 to 599, found {status}")
        if not content_type.isprintable() or not content_type.isascii():
            raise ValueError("content_type: expected printable ASCII")
        if _re.fullmatch(r"[\w.-]*", reason, _re.ASCII) is None:
            raise ValueError(f"reason: expected letters, digits, '.', '-' and '_', found {reason!r}")
        self.status = status
        self.body = body
        self.headers = list(headers.items() if isinstance(headers, dict) else headers)
        self.type_ = content_type.encode()
        self.reason_ = reason.encode()


@_cython.freelist(64)
cdef class Request:
    """The exchange as a Python plugin sees it, until its log phase is over."""
    cdef Exchange* x
    cdef dict own_ctx
    cdef uint64_t plugins       # a bit for each place in PluginBlocks: those that have seen it
    # The Region where it is counted as kept, once it is over. As an object the collector would take it before the end is counted.
    cdef PyObject* kept_in
    cdef PluginBlock* kept_at
    cdef bint holds_up          # a coroutine of a Python plugin does, which is what may await the body
    cdef object body_future     # of who awaits the body; None: nobody does
    cdef list replies           # whose texts the exchange points to
    cdef object encoder         # of the answer, where it is given a coding (encode)
    cdef bytes claims_text      # what `claims` was read from
    cdef dict claims
    cdef CopyC body_copy
    cdef CopyC answer_copy
    cdef object body_taken_by   # done(body) of who wants it; None: nobody asked
    cdef object answer_taken_by

    def __init__(self):
        raise TypeError("Request is made by the gateway")

    cdef int keep(self, Reply reply) except -1:
        # The exchange points to texts of it, and lives as long as this or shorter.
        if self.replies is None:
            self.replies = []
        self.replies.append(reply)
        return 0

    def __dealloc__(self):
        if self.kept_in != NULL:
            pyrequest_kept(self, NULL)
            Py_DECREF(<object>self.kept_in)
        copy_end(&self.body_copy)       # under way still, where either side has left
        copy_end(&self.answer_copy)

    @property
    def ctx(self) -> dict[str, Any]:
        """What plugins tell each other."""
        if self.own_ctx is None:
            self.own_ctx = {}
        return self.own_ctx

    cdef Exchange* alive(self) except NULL:
        if self.x == NULL or self.x.down == NULL:
            raise PluginError("the request is over: nothing of it can be read any more")
        return self.x

    @property
    def method(self) -> str:
        """The request method, upper case."""
        return method_name(self.alive().head.method).decode()

    @property
    def path(self) -> str:
        """The normalised path that routing used."""
        cdef Exchange* x = self.alive()
        return x.uri_path[:x.uri_path_len].decode("utf-8", "surrogateescape")

    @property
    def target(self) -> str:
        """The request target as the client sent it, with its query."""
        cdef Exchange* x = self.alive()
        return (x.bytes.p + x.head.target)[:x.head.target_len].decode("latin-1")

    @property
    def query(self) -> str:
        """The query, without '?'; empty where there is none."""
        cdef Exchange* x = self.alive()
        return (x.bytes.p + x.query)[:x.query_len].decode("latin-1") if x.query_len else ""

    @property
    def host(self) -> str:
        """The host asked for, lower case, without port."""
        cdef Exchange* x = self.alive()
        return x.host.p[:x.host.len].decode("latin-1") if x.host.len else ""

    @property
    def remote_addr(self) -> str:
        """The client's address."""
        cdef Client* client = self.alive().client
        return client.address[:client.address_len].decode()

    @property
    def route_id(self) -> str | None:
        """Id of the matched route."""
        cdef PlanC* plan = self.alive().plan
        return None if plan == NULL else plan.id[:plan.id_len].decode()

    @property
    def consumer_name(self) -> str | None:
        """Username of the authenticated consumer."""
        cdef ConsumerC* consumer = self.alive().consumer
        return None if consumer == NULL else consumer.name[:consumer.name_len].decode()

    @property
    def jwt_claims(self) -> dict[str, Any] | None:
        """The claims of the token that jwt-auth admitted, where its store_in_ctx is true."""
        cdef Exchange* x = self.alive()
        cdef bytes text
        if x.claims.len == 0:
            return None
        text = x.claims.p[:x.claims.len]
        if text != self.claims_text:
            self.claims = _json_loads(text)     # not msgspec: a claim may be beyond any double, and must not cost a 500
            self.claims_text = text
        return self.claims

    @property
    def status(self) -> int:
        """Status of the answer; 0 before there is one."""
        return self.alive().status

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All request header fields in their order."""
        cdef Exchange* x = self.alive()
        cdef const char* base = x.bytes.p
        cdef uint32_t i
        return [((base + x.head.fields[i].name)[:x.head.fields[i].name_len].decode("latin-1"),
                 (base + x.head.fields[i].value)[:x.head.fields[i].value_len].decode("latin-1"))
                for i in range(x.head.n)]

    def nominated(self) -> list[str]:
        """Names of the request header fields that do not cross, as Connection names them."""
        cdef Exchange* x = self.alive()
        cdef const Field* f
        cdef uint32_t i
        found = []
        for i in range(x.head.n):
            f = &x.head.fields[i]
            if hmac_nominated(f):
                found.append((x.bytes.p + f.name)[:f.name_len].decode("latin-1"))
        return found

    def header(self, str name not None) -> str | None:
        """Value of the first request header of that name: what a step has set or, if none took it out, the client's."""
        cdef bytes raw = name.encode("latin-1")
        cdef Span s
        return s.p[:s.n].decode("latin-1") if header_now(self.alive(), raw, <uint32_t>len(raw), &s) else None

    def fields(self, str name not None) -> list[tuple[str, str]]:
        """Every request header of that name, in any spelling that upstreams may take for it: what steps have set, else those
        that the client sent, may say, and no step took out."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode("latin-1")
        cdef const char* base = x.bytes.p
        cdef const Field* f
        cdef uint32_t i
        cdef bytes key
        found = []
        lines = x.up_extra.p[:x.up_extra.len] if x.up_extra.len else b""
        if x.credential != NULL:
            lines += x.credential.identity[:x.credential.identity_len]
        for line in lines.split(b"\r\n"):
            key, _, value = line.partition(b": ")
            if len(key) == len(raw) and same_name(key, raw, len(raw)):
                found.append((key.decode("latin-1"), value.decode("latin-1")))
        if found:
            return found
        for i in range(x.head.n):
            f = &x.head.fields[i]
            if f.name_len == len(raw) and same_name(base + f.name, raw, len(raw)) and field_told(x, f):
                found.append(((base + f.name)[:f.name_len].decode("latin-1"), (base + f.value)[:f.value_len].decode("latin-1")))
        return found

    def text(self, Template template not None) -> str:
        """A text with its variables filled in; one that the request has not is empty."""
        cdef Exchange* x = self.alive()
        cdef Buf scratch        # not the loop's: in `body_filter` the answer's head may stand in that
        memset(&scratch, 0, sizeof(Buf))
        parts_eval(template.parts, template.n, x, &scratch)
        try:
            return scratch.p[:scratch.len].decode("latin-1") if scratch.len else ""
        finally:
            buf_free(&scratch)

    def forwarded(self) -> list[tuple[str, str]]:
        """What the upstream is told of the client and of what it asked for, as X-Forwarded-For, -Proto, -Host and -Port."""
        cdef Exchange* x = self.alive()
        cdef Buf scratch
        memset(&scratch, 0, sizeof(Buf))
        put_forwarded(x, &scratch)
        try:
            text = scratch.p[:scratch.len].decode("latin-1") if scratch.len else ""
        finally:
            buf_free(&scratch)
        found = []
        for line in text.split("\r\n"):
            name, _, value = line.partition(": ")
            if name in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"):
                found.append((name, value))
        return found

    @property
    def uri(self) -> str:
        """Path and query as they go to the upstream."""
        cdef Exchange* x = self.alive()
        if x.target.len:
            return x.target.p[:x.target.len].decode("latin-1")
        return (x.bytes.p + x.raw_path)[:x.raw_path_len].decode("latin-1")

    def arg(self, str name not None) -> str | None:
        """The first query argument of that name, as it stands (not decoded)."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode()
        cdef Span s
        return s.p[:s.n].decode("latin-1") if arg_find(x, raw, <uint32_t>len(raw), &s) else None

    def body(self, long long limit):
        """The whole body, decoded, as an awaitable; None where it is longer than `limit` bytes (0 to 1 GiB).

        For a coroutine that holds its request up, one at a time. The body goes upstream afterwards all the same. One that is
        broken, does not come in time, or comes from a client that leaves ends the request, and who awaits it is cancelled.
        """
        cdef Exchange* x = self.alive()
        cdef Reactor reactor = <Reactor>x.loop.reactor
        if not 0 <= limit <= BODY_MOST:
            raise ValueError(f"limit: expected 0 to {BODY_MOST} bytes, found {limit}")
        if not self.holds_up or x.gathering:
            raise PluginError("the body can be awaited in a coroutine that holds its request up, and once at a time")
        if x.loop.embedded and not x.body_done and x.body != BODY_TUNNEL:
            raise PluginError("the body of a request to an application is the application's to read")
        self.body_future = reactor.loop.create_future()
        body_wanted(x, <uint32_t>limit, python_body, NULL)
        conn_ready(&x.down.c)
        reactor.drain_soon()
        return self.body_future

    def set_header(self, str name not None, str value not None) -> None:
        """Sets a header of the request to the upstream; what the client sent under that name is dropped, and what was set."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode("latin-1")
        cdef uint32_t before = x.up_extra.len
        cdef Span s
        put_python_line(&x.up_extra, name, value)
        while lines_find(x.up_extra.p, before, raw, <uint32_t>len(raw), &s):
            before -= <uint32_t>len(raw) + 2 + s.n + 2
            extra_drop(x, raw, <uint32_t>len(raw))

    def add_header(self, str name not None, str value not None) -> None:
        """Adds a header to those of this name that were set; what the client sent under it is dropped all the same."""
        put_python_line(&self.alive().up_extra, name, value)

    def remove_header(self, str name not None) -> None:
        """Takes a header out of the request, in every spelling that upstreams may take for it, whoever set it."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode("latin-1")
        head_drop(&x.head, x.bytes.p, raw, len(raw))
        while x.up_extra.len and extra_drop(x, raw, <uint32_t>len(raw)):
            pass

    def set_response_header(self, str name not None, str value not None) -> None:
        """Sets a header of the answer to the client: all that is said under that name is dropped, by the upstream and before."""
        cdef bytes n = python_name(name)
        cdef bytes v = value.encode("latin-1")
        if answer_set(self.alive(), n, <uint32_t>len(n), v, len(v)) < 0:
            raise python_unfit(name)

    def add_response_header(self, str name not None, str value not None) -> None:
        """Adds a header to the answer beside what is said under that name, as Set-Cookie wants it. In `header_filter`: what is
        added before the answer's head is there takes the place of the upstream's."""
        cdef bytes n = python_name(name)
        cdef bytes v = value.encode("latin-1")
        if answer_add(self.alive(), n, <uint32_t>len(n), v, len(v)) < 0:
            raise python_unfit(name)


cdef int put_python_line(Buf* lines, str name, str value) except -1:
    cdef bytes n = python_name(name)
    cdef bytes v = value.encode("latin-1")
    if extra_line(lines, n, len(n), v, len(v)) < 0:
        raise python_unfit(name)
    return 0


cdef bytes python_name(str name):
    # Of a header that plugins may say; not framing, and what belongs to one connection.
    cdef bytes n = name.encode("latin-1")
    cdef bint folded
    cdef uint8_t id = field_id(n, len(n), &folded)
    if FRAMING_DROP_RESPONSE[id] or id == FIELD_HOST:
        raise ValueError(f"header {name!r}: the gateway sets it itself")
    return n


cdef object python_unfit(str name):
    return ValueError(f"header {name!r}: a name or value with control bytes")


cdef enum:
    BODY_MOST = 1 << 30         # bytes that one request may have gathered


cdef int python_body(Exchange* x, void* _) noexcept nogil:
    # The body is here or too long; its reader goes on with the event loop's turn, and the step with it.
    x.loop.wait_ms = 0
    with gil:
        try:
            python_body_told(x, <Request>x.py)
        except BaseException as error:
            (<Reactor>x.loop.reactor).on_error("body", PHASES[PHASE_ACCESS], error)
    return STEP_WAIT


cdef int python_body_told(Exchange* x, Request request) except -1:
    future, request.body_future = request.body_future, None
    if future.done():           # whoever asked has given up
        return 0
    if body_over(x):
        future.set_result(None)
    else:
        future.set_result(x.piece.p[:x.piece.len] if x.piece.len else b"")
    return 0


cdef int python_body_cancel(Request request) except -1:
    future, request.body_future = request.body_future, None
    if future is not None:
        future.cancel()
    return 0


cdef void pyrequest_no_body(Exchange* x) noexcept nogil:
    # Who awaits the body need not wait any longer: it will never come.
    with gil:
        try:
            python_body_cancel(<Request>x.py)
        except BaseException as error:
            (<Reactor>x.loop.reactor).on_error("body", PHASES[PHASE_ACCESS], error)


cdef void pyrequest_detach(Exchange* x) noexcept nogil:
    if x.gathering:
        pyrequest_no_body(x)
    x.copying = 0
    with gil:
        (<Request>x.py).x = NULL
        if Py_REFCNT(<object>x.py) > 1:
            pyrequest_kept(<Request>x.py, x.loop)
        Py_DECREF(<object>x.py)
        x.py = NULL


cdef void pyrequest_kept(Request r, Loop* loop) noexcept:
    # It is over, and somebody still refers to it: most often a list or dict of a plugin that only grows. NULL: it is let go.
    cdef int i
    if r.plugins == 0:
        return
    if loop != NULL:
        r.kept_in = <PyObject*>(<Reactor>loop.reactor).region
        Py_INCREF(<object>r.kept_in)
        r.kept_at = loop.plugins
    for i in range(PLUGIN_PLACES):
        if r.plugins >> i & 1:
            plugin_add(&r.kept_at[i].let_go if loop == NULL else &r.kept_at[i].kept, 1)


cdef Request pyrequest_of(Exchange* x):
    cdef Request r
    x.loop.wait_ms = 0          # what Python does may have asked something of the event loop
    if x.py == NULL:
        r = Request.__new__(Request)
        r.x = x
        Py_INCREF(r)            # the exchange's own reference; pyrequest_detach gives it back
        x.py = <PyObject*>r
    return <Request>x.py
