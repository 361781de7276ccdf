# pyrequest: Python plugins in the same chain. The step takes the GIL, hands the plugin a lazy Request (nothing is decoded that
# is not asked for) and takes its verdict; a coroutine suspends the exchange until its task ends. What a plugin raises costs
# its own request a 500, never the worker.


class PluginError(Exception):
    """A Python plugin broke its contract; the request gets a 500 and the log this text."""


cdef class Reply:
    """A plugin's answer instead of the upstream's. `body`: bytes, str or a JSON-able object."""
    cdef readonly int status
    cdef readonly object body
    cdef readonly list headers

    def __init__(self, int status, body=b"", headers=()):
        if not 200 <= status <= 599:
            raise ValueError(f"status: expected 200 to 599, found {status}")
        self.status = status
        self.body = body
        self.headers = list(headers.items() if isinstance(headers, dict) else headers)


cdef class Request:
    """The exchange as a Python plugin sees it, until its log phase is over."""
    cdef Exchange* x
    cdef readonly dict ctx

    def __init__(self):
        raise TypeError("Request is made by the gateway")

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
        cdef Down* d = self.alive().down
        return d.address[:d.address_len].decode()

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

    def header(self, str name not None) -> str | None:
        """Value of the first request header of that name."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode("latin-1")
        cdef uint32_t count
        cdef const Field* f = header_find(x, raw, <uint32_t>len(raw), &count)
        return None if f == NULL else (x.bytes.p + f.value)[:f.value_len].decode("latin-1")

    def arg(self, str name not None) -> str | None:
        """The first query argument of that name, as it stands (not decoded)."""
        cdef Exchange* x = self.alive()
        cdef bytes raw = name.encode()
        cdef Span s
        return s.p[:s.n].decode("latin-1") if arg_find(x, raw, <uint32_t>len(raw), &s) else None

    def set_header(self, str name not None, str value not None) -> None:
        """Sets a header of the request to the upstream; what the client sent under that name is dropped."""
        put_python_line(&self.alive().up_extra, name, value)

    def set_response_header(self, str name not None, str value not None) -> None:
        """Sets a header of the answer to the client; the upstream's of that name is dropped."""
        put_python_line(&self.alive().down_extra, name, value)


cdef int put_python_line(Buf* lines, str name, str value) except -1:
    cdef bytes n = name.encode("latin-1")
    cdef bytes v = value.encode("latin-1")
    cdef bint folded
    cdef uint8_t id = field_id(n, len(n), &folded)
    if FRAMING_DROP_RESPONSE[id] or id == FIELD_HOST:   # framing, and what belongs to one connection
        raise ValueError(f"header {name!r}: the gateway sets it itself")
    if extra_line(lines, n, len(n), v, len(v)) < 0:
        raise ValueError(f"header {name!r}: a name or value with control bytes")
    return 0


cdef void pyrequest_detach(Exchange* x) noexcept nogil:
    with gil:
        (<Request>x.py).x = NULL
        Py_DECREF(<object>x.py)
        x.py = NULL


cdef Request pyrequest_of(Exchange* x):
    cdef Request r
    x.loop.wait_ms = 0          # what Python does may have asked something of the event loop
    if x.py == NULL:
        r = Request.__new__(Request)
        r.x = x
        r.ctx = {}
        Py_INCREF(r)            # the exchange's own reference; pyrequest_detach gives it back
        x.py = <PyObject*>r
    return <Request>x.py


cdef class PythonStep(Step):
    """A plugin's phase method as a step: `call(conf, request)` gives None, a Reply, or an awaitable of those."""
    cdef object call
    cdef object conf
    cdef readonly str name

    def __init__(self, str name, str phase, call, conf):
        self.name = name
        self.call = call
        self.conf = conf
        self.bind(step_python, <void*>self, phase)


cdef int python_verdict(Exchange* x, PythonStep step, result) except -1:
    cdef Reply reply
    cdef bytes body
    if result is None:
        return STEP_NEXT
    if not isinstance(result, Reply):
        raise PluginError(f"plugin {step.name}: expected None or a Reply, found {type(result).__name__}")
    reply = result
    if step.phase >= PHASE_HEADER_FILTER:
        raise PluginError(f"plugin {step.name}: phase {PHASES[step.phase]} cannot answer")
    x.status = <uint16_t>reply.status
    x.refused = NULL
    if reply.status >= 400:
        x.refused = "plugin"
    x.reply_type = NULL
    if isinstance(reply.body, bytes):
        body = reply.body
        x.reply_type = "application/octet-stream"
    elif isinstance(reply.body, str):
        body = reply.body.encode()
        x.reply_type = "text/plain; charset=utf-8"
    else:
        body = _json_encode(reply.body) + b"\n"
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, <const char*>body, len(body))
    for name, value in reply.headers:
        if name.lower() == "content-type":
            raise PluginError(f"plugin {step.name}: Content-Type follows from the body: bytes, str or JSON")
        put_python_line(&x.down_extra, name, value)
    return STEP_REPLY


cdef int python_failed(Exchange* x, PythonStep step, error) except -1:
    (<Reactor>x.loop.reactor).on_error(step.name, PHASES[step.phase], error)
    if step.phase >= PHASE_HEADER_FILTER:
        return STEP_NEXT
    buf_reset(&x.down_extra)
    reply_error(x, 500, NULL, "plugin.failed")
    return STEP_REPLY


cdef int step_python(Exchange* x, void* p) noexcept nogil:
    cdef int verdict = STEP_NEXT
    with gil:
        try:
            verdict = python_run(x, <PythonStep>p)
        except BaseException as error:
            try:
                verdict = python_failed(x, <PythonStep>p, error)
            except BaseException:
                verdict = STEP_NEXT if (<PythonStep>p).phase >= PHASE_HEADER_FILTER else STEP_REPLY
    return verdict


cdef int python_run(Exchange* x, PythonStep step) except -1:
    cdef Request request = pyrequest_of(x)
    if step.phase == PHASE_BODY_FILTER:
        return python_filter(x, step, request)
    result = step.call(step.conf, request)
    if result is None or not hasattr(result, "__await__"):
        return python_verdict(x, step, result)
    if step.phase > PHASE_ACCESS:
        result.close()
        raise PluginError(f"plugin {step.name}: phase {PHASES[step.phase]} cannot be async")
    x.waiting = 1
    (<Reactor>x.loop.reactor).suspend(request, step, result)
    return STEP_WAIT


cdef int python_filter(Exchange* x, PythonStep step, Request request) except -1:
    # call(conf, request, piece, last) gives the new piece, or None to leave it.
    cdef bytes piece
    result = step.call(step.conf, request, x.piece_p[:x.piece_n] if x.piece_n else b"", bool(x.piece_last))
    if result is None:
        return STEP_NEXT
    if not isinstance(result, bytes):
        raise PluginError(f"plugin {step.name}: body_filter gives bytes or None, found {type(result).__name__}")
    piece = result
    filter_replace(x, <const char*>piece, len(piece))
    return STEP_NEXT


cdef void python_resume(Request request, PythonStep step, task):
    # The task of a suspended step ended; runs outside any drain.
    cdef Exchange* x = request.x
    cdef Loop* loop
    cdef int verdict
    if x == NULL:
        return
    loop = x.loop
    x.waiting = 0
    if x.down == NULL:
        exchange_resume(x, STEP_NEXT)
        return
    try:
        verdict = python_verdict(x, step, task.result())
    except BaseException as error:
        verdict = python_failed(x, step, error)
    with nogil:
        loop_clock(loop)
        exchange_resume(x, verdict)
        conn_bury(loop)
