# watch: steps that tell that they were asked, for whoever explains what a request would meet. Never in a worker: who asks
# compiles a snapshot of its own, in which each step is wrapped, and runs the request on memory (wire). So order, merging and
# routing are those of every request, and what a step would have changed for others is left out: limits tell their key and do
# not count, a cache does not answer, Python plugins are not called. The first refusal is noted, and the request goes on, so that
# what lies behind it is told too.

cdef struct Sight:              # one step that was asked
    PyObject* step              # the WatchedStep; borrowed, the snapshot keeps it
    uint8_t reached             # nothing had refused the request before
    uint8_t limited             # text is the value that a limit counts by
    uint16_t status             # of the refusal; 0: none
    int32_t rule                # of a workflow, the one that holds; -1: none, or it is no workflow
    const char* reason
    uint32_t text               # offset in the watch's texts
    uint32_t text_len

cdef struct WatchC:
    Buf sights
    Buf texts
    bint refused

cdef struct WatchedConf:
    WatchC* watch
    PyObject* step
    const StepC* inner          # NULL: not to be run
    const LimitedConf* limited
    const WorkflowConf* workflow


class Seen(_NamedTuple):
    """A step that was asked. `text`: of a limit the value it counts by, of a refusal the answer's body. `rule`: of a workflow the
    number of the rule that holds, from 0; a limit is then that of its action."""
    source: object
    phase: str
    reached: bool
    limited: bool
    status: int
    reason: str
    text: bytes
    rule: int | None


cdef class Watch:
    """What the steps wrapped for it are asked."""
    cdef WatchC c

    def take(self) -> list:
        """The steps asked since the last time, in the order in which they were."""
        cdef Sight* s = <Sight*>self.c.sights.p
        cdef WatchedStep step
        cdef size_t i
        found = []
        for i in range(self.c.sights.len // sizeof(Sight)):
            text = self.c.texts.p[s[i].text:s[i].text + s[i].text_len] if s[i].text_len else b""
            reason = s[i].reason.decode() if s[i].reason != NULL else ""
            step = <WatchedStep>s[i].step
            rule = s[i].rule if s[i].rule >= 0 else None
            found.append(Seen(step.source, PHASES[step.phase], bool(s[i].reached), bool(s[i].limited), s[i].status, reason, text,
                              rule))
        buf_reset(&self.c.sights)
        buf_reset(&self.c.texts)
        self.c.refused = False
        return found

    def __dealloc__(self):
        buf_free(&self.c.sights)
        buf_free(&self.c.texts)


cdef class WatchedStep(Step):
    """A step in the place of `inner`. `source` is what `Watch.take` names it by."""
    cdef WatchedConf conf
    cdef Watch watch
    cdef Step inner
    cdef readonly object source

    def __init__(self, Watch watch not None, Step inner not None, source):
        self.watch = watch
        self.inner = inner
        self.source = source
        self.conf.watch = &watch.c
        self.conf.step = <PyObject*>self
        bare = (<ErrorBodyStep>inner).inner if isinstance(inner, ErrorBodyStep) else inner
        if isinstance(bare, LimitedStep):
            self.conf.limited = (<LimitedStep>bare).who
        elif isinstance(bare, WorkflowStep):
            self.conf.workflow = &(<WorkflowStep>bare).conf
            self.conf.inner = &inner.c
        elif not isinstance(bare, (PythonStep, CacheStep)):     # what is kept was an answer to somebody
            self.conf.inner = &inner.c
        self.bind(step_watched, &self.conf, PHASES[inner.phase])


cdef bint watch_key(Exchange* x, const LimitedConf* c, Buf* out) noexcept nogil:
    # Whether it would count the request; the key as limited_key has it, but for values that only the client knows: a limit may
    # count by what carries its secret.
    cdef uint32_t i
    cdef uint32_t found = 0
    cdef uint32_t start = out.len
    cdef Span s
    cdef Buf hidden
    memset(&hidden, 0, sizeof(Buf))
    for i in range(c.key_n):
        if c.key[i].id == VAR_REQUEST_URI or (c.key[i].id >= VAR_POST_ARG and var_made(x, &c.key[i], &hidden)):
            buf_put(out, b"***", 3)
            found += 1
        elif c.key[i].id >= VAR_MADE and var_made(x, &c.key[i], out):
            found += 1
        elif c.key[i].id < VAR_MADE and var_value(x, &c.key[i], &s):
            if c.key[i].id in (VAR_HTTP, VAR_ARG, VAR_COOKIE, VAR_QUERY_STRING, VAR_REAL_REQUEST_URI):
                buf_put(out, b"***", 3)
            else:
                buf_put(out, s.p, s.n)
            found += c.key[i].id != VAR_LITERAL
        elif c.key[i].other != NULL:
            buf_put(out, c.key[i].other, c.key[i].other_len)
            found += 1
    buf_free(&hidden)
    if found == 0 and c.key_needs_value:
        out.len = start
        if c.is_rule:
            return False
        buf_put(out, x.client.address, x.client.address_len)
    return True


cdef void watch_tell(WatchedConf* c, Exchange* x, const StepC* step, const LimitedConf* limited, int32_t rule) noexcept nogil:
    # One sight: of a limit, which is not run; of a step that is; or of one that is not to be (NULL).
    cdef WatchC* w = c.watch
    cdef Sight s
    memset(&s, 0, sizeof(s))
    s.step = c.step
    s.rule = rule
    s.reached = not w.refused
    s.text = w.texts.len
    if limited != NULL:
        s.limited = watch_key(x, limited, &w.texts)
    elif step != NULL and s.reached and step.fn(x, step.conf) == STEP_REPLY:
        w.refused = True
        s.status = x.status
        s.reason = x.refused
        buf_put(&w.texts, x.reply_body.p, x.reply_body.len)
    s.text_len = w.texts.len - s.text
    buf_put(&w.sights, &s, sizeof(s))


cdef void watch_workflow(WatchedConf* c, Exchange* x) noexcept nogil:
    # The rule that holds; the limits of its action, each by itself.
    cdef const WorkflowRule* rule = workflow_rule(x, c.workflow)
    cdef int32_t number
    cdef uint32_t i
    if rule == NULL or c.watch.refused:
        watch_tell(c, x, NULL, NULL, -1)
        return
    number = <int32_t>(rule - c.workflow.rules)
    if not rule.limits:
        watch_tell(c, x, c.inner, NULL, number)
        return
    if rule.plugin != WORKFLOW_NOBODY:
        chain_pass_over(x, rule.plugin)
    for i in range(rule.n):
        watch_tell(c, x, NULL, <const LimitedConf*>rule.members[i].conf, number)


cdef int step_watched(Exchange* x, void* p) noexcept nogil:
    cdef WatchedConf* c = <WatchedConf*>p
    if c.workflow != NULL:
        watch_workflow(c, x)
    else:
        watch_tell(c, x, c.inner, c.limited, -1)
    return STEP_NEXT
