# workflow: the workflow plugin's step: the first rule whose case holds for the request has its action run, which is a step that
# answers or the steps of another plugin. That plugin's own steps are then passed over (known-pains 2.8). Must not know any of
# them.

cdef enum:
    WORKFLOW_NOBODY = 0xffff    # in place of a plugin's number: the action is none's

cdef struct WorkflowRule:
    const ExprC* case           # NULL: always
    StepC* members
    uint32_t n
    uint16_t plugin             # whose steps the members are
    bint limits                 # they are all LimitedSteps

cdef struct WorkflowConf:
    WorkflowRule* rules
    uint32_t n


cdef class WorkflowReturnStep(Step):
    """The action `return`: refuses the request with a status."""
    cdef uint16_t status

    def __init__(self, int status):
        if not 200 <= status < 600:
            raise ValueError(f"status: expected 200 to 599, found {status}")
        self.status = <uint16_t>status
        self.bind(step_workflow_return, &self.status, "access")


cdef int step_workflow_return(Exchange* x, void* p) noexcept nogil:
    reply_error(x, (<const uint16_t*>p)[0], "rejected by workflow", "workflow.rejected")
    return STEP_REPLY


cdef class WorkflowStep(Step):
    """workflow of one object. `rules`: each a condition (an Expression, or None: always), the number of the plugin whose steps
    follow (or None), and these, of the phase access."""
    cdef WorkflowConf conf
    cdef list held

    def __init__(self, rules):
        cdef WorkflowRule* rule
        cdef Step step
        cdef uint32_t i
        self.held = [(case, number, list(steps)) for case, number, steps in rules]
        self.conf.rules = <WorkflowRule*>calloc(len(self.held) or 1, sizeof(WorkflowRule))
        if self.conf.rules == NULL:
            raise MemoryError
        for case, number, steps in self.held:
            rule = &self.conf.rules[self.conf.n]
            self.conf.n += 1
            if case is not None:
                rule.case = &(<Expression?>case).c
            rule.plugin = WORKFLOW_NOBODY if number is None else <uint16_t>number
            if number is not None and not 0 <= number < PLUGINS_MAX:
                raise ValueError(f"plugin number: expected 0 to {PLUGINS_MAX - 1}, found {number}")
            rule.members = <StepC*>calloc(len(steps) or 1, sizeof(StepC))
            if rule.members == NULL:
                raise MemoryError
            for i, step in enumerate(steps):
                if step.phase != PHASE_ACCESS:
                    raise ValueError(f"rules: expected steps of the phase access, found one of {PHASES[step.phase]}")
                rule.members[i] = step.c
            rule.n = <uint32_t>len(steps)
            rule.limits = all(isinstance(step, LimitedStep) for step in steps)
        self.bind(step_workflow, &self.conf, "access")

    def __dealloc__(self):
        cdef uint32_t i
        if self.conf.rules == NULL:
            return
        for i in range(self.conf.n):
            free(self.conf.rules[i].members)
        free(self.conf.rules)


cdef const WorkflowRule* workflow_rule(Exchange* x, const WorkflowConf* c) noexcept nogil:
    # The first one that holds. One that cannot be judged (no memory) does: its action is most likely a limit.
    cdef uint32_t i
    for i in range(c.n):
        if c.rules[i].case == NULL or expr_eval(c.rules[i].case, x) != 0:
            return &c.rules[i]
    return NULL


cdef int step_workflow(Exchange* x, void* p) noexcept nogil:
    cdef const WorkflowRule* rule = workflow_rule(x, <WorkflowConf*>p)
    if rule == NULL:
        return STEP_NEXT
    if rule.plugin != WORKFLOW_NOBODY:
        chain_pass_over(x, rule.plugin)
    x.member = 0
    return workflow_run(x, <void*>rule, STEP_NEXT)


cdef int workflow_run(Exchange* x, void* p, int result) noexcept nogil:
    # From the present member on; `result` is of the one before, which may have waited.
    cdef WorkflowRule* rule = <WorkflowRule*>p
    cdef const StepC* member
    while result == STEP_NEXT and x.member < rule.n:
        member = &rule.members[x.member]
        x.member += 1
        x.composite = workflow_run      # before it runs: after STEP_WAIT the exchange may be gone
        x.composite_conf = rule
        result = member.fn(x, member.conf)
        if result == STEP_WAIT:
            return STEP_WAIT
        if result == STEP_AGAIN:
            x.member -= 1
            return STEP_WAIT
        x.composite = NULL
    return result
