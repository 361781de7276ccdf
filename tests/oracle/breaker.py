"""What APISIX's api-breaker does (3.14 and later, whose level is rounded down), in plain Python, times in milliseconds."""


class Breaker:
    """The state of one place. Thresholds are asked for with each event, as routes share a place."""

    def __init__(self) -> None:
        self.failures = self.successes = 0
        self.opened: int | None = None

    def open(self, now: int, failures: int, max_s: int) -> bool:
        if self.failures == 0 or self.opened is None:
            return False
        seconds = min(2 ** max(self.failures // failures, 1), max_s)
        return self.opened + seconds * 1000 >= now

    def failed(self, now: int, failures: int) -> None:
        self.failures += 1
        self.successes = 0
        if self.failures % failures == 0:
            self.opened = now

    def succeeded(self, successes: int) -> None:
        if self.failures == 0:
            return
        self.successes += 1
        if self.successes >= successes:
            self.failures = self.successes = 0
            self.opened = None
