# pystep: Python plugins in the same chain. The step takes the GIL, calls the plugin's method and takes its verdict; a coroutine
# suspends the exchange until its task ends. What a plugin raises or gives costs its own request a 500, what takes too long a 504,
# never the worker. Must not know what a request looks like (pyrequest), how a method is cut off (overrun).


cdef class PythonStep(Step):
    """A plugin's phase method as a step: `call(conf, request)` gives None, a Reply, or an awaitable of those.

    keeps_time: a coroutine of it ends by itself, whatever time the settings allow.
    """
    cdef readonly object call
    cdef object conf
    cdef readonly str name
    cdef bint keeps_time
    cdef bint called            # it has come back once
    cdef PluginBlock* blocks    # what `block` is one of
    cdef PluginBlock* block
    cdef uint64_t bit           # of a request's mask

    def __init__(self, str name, str phase, call, conf, *, bint keeps_time=False):
        self.name = name
        self.call = call
        self.conf = conf
        self.keeps_time = keeps_time
        self.bind(step_python, <void*>self, phase)


cdef inline uint64_t python_clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef int python_count_in(Loop* loop, PythonStep step) except -1:
    # Where the plugin is counted by this loop's process.
    cdef bytes name = step.name.encode()
    cdef int place = plugin_place(loop.plugin_names, name, len(name))
    step.blocks = loop.plugins
    step.block = &loop.plugin_other if place < 0 else &loop.plugins[place]
    step.bit = 0 if place < 0 else <uint64_t>1 << place
    return 0


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
    if reply.reason_:
        x.refused = reply.reason_
    elif reply.status >= 400:
        x.refused = "plugin"
    pyrequest_of(x).keep(reply)
    x.reply_type = NULL
    if isinstance(reply.body, bytes):
        body = reply.body
        x.reply_type = reply.type_
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
    if reply.lines is not None:
        buf_put(&x.down_extra, <const char*>reply.lines, len(reply.lines))
        x.reply_type = REPLY_STORED
    return STEP_REPLY


cdef int python_failed(Exchange* x, PythonStep step, error) noexcept:
    # The answer first: whatever happens to who is told of it, the request has one.
    cdef bint late = isinstance(error, PluginTimeout)
    cdef bint answers = step.phase < PHASE_HEADER_FILTER
    if step.block != NULL:
        plugin_add(&step.block.timeouts if late else &step.block.failures, 1)
    if answers:
        buf_reset(&x.down_extra)
        fault_set(x, 504 if late else 500, "plugin.timeout" if late else "plugin.failed")
    try:
        (<Reactor>x.loop.reactor).on_error(step.name, PHASES[step.phase], error)
    except BaseException:
        pass                    # not even the log took it
    return STEP_REPLY if answers else STEP_NEXT


cdef int step_python(Exchange* x, void* p) noexcept nogil:
    cdef int verdict = STEP_NEXT
    x.loop.unheard = 1          # by its end the batch is old
    with gil:
        try:
            verdict = python_run(x, <PythonStep>p)
        except BaseException as error:
            verdict = python_failed(x, <PythonStep>p, error)
    return verdict


cdef int python_run(Exchange* x, PythonStep step) except -1:
    cdef Request request = pyrequest_of(x)
    cdef Loop* loop = x.loop
    cdef uint64_t began, took
    if step.blocks != loop.plugins:
        python_count_in(loop, step)
    request.plugins |= step.bit
    plugin_add(&step.block.calls, 1)
    began = python_clock()
    overrun_begin(&loop.overrun, not step.called)
    try:
        if step.phase != PHASE_BODY_FILTER:
            result = step.call(step.conf, request)
        else:
            result = step.call(step.conf, request, x.piece_p[:x.piece_n] if x.piece_n else b"", bool(x.piece_last))
    finally:
        overrun_end(&loop.overrun)
        step.called = True
        took = python_clock() - began
        plugin_add(&step.block.held_ns, took)
    if result is None:
        plugin_took(step.block, took)
        return STEP_NEXT
    if step.phase == PHASE_BODY_FILTER:
        plugin_took(step.block, took)
        return python_filter(x, step, result)
    if isinstance(result, Reply) or not hasattr(result, "__await__"):
        plugin_took(step.block, took)
        return python_verdict(x, step, result)
    if step.phase > PHASE_ACCESS:
        result.close()
        raise PluginError(f"plugin {step.name}: phase {PHASES[step.phase]} cannot be async")
    (<Reactor>loop.reactor).suspend(request, step, result, began)
    x.waiting = 1
    request.holds_up = True
    return STEP_WAIT


cdef int python_filter(Exchange* x, PythonStep step, result) except -1:
    # The new piece of a body.
    cdef bytes piece
    if not isinstance(result, bytes):
        raise PluginError(f"plugin {step.name}: body_filter gives bytes or None, found {type(result).__name__}")
    piece = result
    filter_replace(x, <const char*>piece, len(piece))
    return STEP_NEXT
