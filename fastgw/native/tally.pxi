# tally: what Python plugins count, among the counters of their worker. Must not know who counts what.


cdef class Tally:
    """Counters of the worker that serves a request, for as long as somebody counts."""
    cdef Reactor reactor

    def __init__(self, Request request not None):
        self.reactor = <Reactor>request.alive().loop.reactor

    def add(self, str name not None, unsigned long long n=1) -> None:
        """One of METRIC_NAMES, higher by n."""
        metric_count(self.reactor.core.metrics, METRIC_NAMES.index(name), n)
