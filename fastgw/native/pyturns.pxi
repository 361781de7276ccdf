# pyturns: coroutines of Python plugins, each the task of a request that it holds up. Owns: their turns in the event loop, how
# long they may take in all, what becomes of one that will not end. Must not know what a verdict is (pystep).


cdef enum:
    TURNS_END_NS = 1000000000   # for a coroutine that was cancelled to come to its end; then its request goes on without it


cdef class Turns:
    """A coroutine of a plugin as its task runs it: between two awaits it may not hold up the worker for longer than any method.

    What would end the event loop, and the worker with it (SystemExit, KeyboardInterrupt), ends the request.
    """
    cdef Reactor reactor
    cdef PythonStep step
    cdef object inner
    cdef bint sends             # else it is an iterator, and no more

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.turn(None, None)

    def send(self, value):
        """As a coroutine's."""
        return self.turn(value, None)

    def throw(self, *error):
        """As a coroutine's."""
        return self.turn(None, error)

    def close(self):
        """As a coroutine's."""
        if hasattr(self.inner, "close"):
            self.inner.close()

    cdef object turn(self, value, tuple error):
        cdef Overrun* overrun = &self.reactor.core.overrun
        cdef uint64_t began = python_clock()
        overrun_begin(overrun, not self.step.called)
        try:
            if error is not None:
                return self.inner.throw(*error)
            return self.inner.send(value) if self.sends else next(self.inner)
        except (SystemExit, KeyboardInterrupt) as leaving:
            raise PluginError(f"plugin {self.step.name}: it raised {type(leaving).__name__}") from leaving
        finally:
            overrun_end(overrun)
            self.step.called = True
            plugin_add(&self.step.block.held_ns, python_clock() - began)


cdef class Suspended:
    """A request that a plugin's coroutine holds up."""
    cdef Reactor reactor
    cdef Request request
    cdef PythonStep step
    cdef object task
    cdef uint64_t began         # when the method was called, ns
    cdef uint64_t due           # when it takes too long
    cdef bint late              # it was told to end
    cdef bint over              # the request has gone on, with it or without

    def done(self, task):
        """The callback of its task; runs outside any drain."""
        self.reactor.tasks.discard(task)
        self.reactor.timed.pop(task, None)
        self.reactor.late.pop(task, None)
        if self.over:
            if not task.cancelled():
                task.exception()    # nobody is left to be told of it
            return
        self.resume()
        self.reactor.resumed()

    cdef object verdict(self):
        if self.late:
            seconds = self.reactor.core.limits.plugin_wait_ns / 1e9
            raise PluginTimeout(f"it held up its request for more than {seconds:g} s (limits.plugin_wait)")
        return self.task.result()

    cdef int resume(self) except -1:
        cdef Exchange* x = self.request.x
        cdef Loop* loop
        cdef int verdict
        self.over = True
        self.request.holds_up = False
        plugin_took(self.step.block, python_clock() - self.began)
        if x == NULL or x.down == NULL:
            if self.task.done() and not self.task.cancelled():
                self.task.exception()
            if x != NULL:
                x.waiting = 0
                exchange_resume(x, STEP_NEXT)
            return 0
        loop = x.loop
        if x.gathering:         # who asked for the body has given up: it is not the client who is waited for
            pace_stop(x.down)
        x.waiting = x.gathering = 0
        try:
            verdict = python_verdict(x, self.step, self.verdict())
        except BaseException as error:
            verdict = python_failed(x, self.step, error)
        with nogil:
            loop_clock(loop)
            exchange_resume(x, verdict)
            conn_bury(loop)
        return 0


cdef Suspended turns_begin(Reactor reactor, Request request, PythonStep step, awaitable, uint64_t began):
    # Its task begins with the event loop's turn.
    cdef Turns turns = Turns.__new__(Turns)
    cdef Suspended held = Suspended.__new__(Suspended)
    cdef uint64_t wait = 0 if step.keeps_time else reactor.core.limits.plugin_wait_ns
    turns.reactor = held.reactor = reactor
    turns.step = held.step = step
    turns.inner = awaitable.__await__()
    turns.sends = hasattr(turns.inner, "send")
    held.request = request
    held.began = began
    held.due = began + wait
    held.task = reactor.loop.create_task(turns)
    reactor.tasks.add(held.task)
    if wait:
        reactor.timed[held.task] = held
    held.task.add_done_callback(held.done)
    return held


cdef int turns_overdue(Reactor reactor) except -1:
    # Coroutines that take too long are cancelled; the requests of those that will not end then go on without them.
    cdef Suspended held
    cdef uint64_t now
    if not reactor.timed and not reactor.late:
        return 0
    now = python_clock()
    while reactor.timed:        # in the order in which they began, and all may take as long
        task, held = next(iter(reactor.timed.items()))
        if held.due > now:
            break
        del reactor.timed[task]
        if held.request.x != NULL and held.request.x.gathering:     # it waits for the client, who has a time of its own
            held.due = now + reactor.core.limits.plugin_wait_ns
            reactor.timed[task] = held
            continue
        held.late = True
        held.due = now + TURNS_END_NS
        reactor.late[task] = held
        task.cancel()
    while reactor.late:
        task, held = next(iter(reactor.late.items()))
        if held.due > now:
            break
        del reactor.late[task]
        reactor.tasks.discard(task)
        held.resume()
    return 0
