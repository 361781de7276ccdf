"""What the limiter's algorithms mean, in plain Python."""

from fractions import Fraction


class Fixed:
    """A window of `window` ms that starts at a key's first admitted hit; times in ms."""

    def __init__(self, count: int, window: int) -> None:
        self.count, self.window, self.end, self.used = count, window, 0, 0

    def hit(self, now: int, cost: int = 1) -> tuple[bool, int]:
        if now >= self.end:
            self.end, self.used = now + self.window, 0
        self.end = min(self.end, now + self.window)  # an edit of the window
        if self.used + cost > self.count:
            if self.used == 0:
                self.end = 0  # nothing was consumed: no window began
            return False, 0
        self.used += cost
        return True, self.count - self.used


class Bucket:
    """`burst` tokens at most, `count` more per `window` ns, exactly; times in ns."""

    def __init__(self, count: int, window: int, burst: int) -> None:
        self.rate, self.burst, self.tokens, self.at = Fraction(count, window), burst, Fraction(burst), None

    def hit(self, now: int, cost: int = 1) -> bool:
        if self.at is not None:
            self.tokens = min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True
