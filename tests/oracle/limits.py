"""What the limiter's algorithms mean, in plain Python: times in ns, exact."""

from fractions import Fraction
from math import ceil, floor, inf

MS = 1_000_000
SKEW = 10_000 * MS

Told = tuple[bool, int, int, float]
"""allowed, remaining, reset, retry after"""


class Fixed:
    """A window from a key's first admitted hit; its end is rounded up to a millisecond."""

    def __init__(self) -> None:
        self.end = self.used = 0

    def hit(self, now: int, count: int, window: int, cost: int = 1) -> Told:
        latest = ceil((now + window) / MS) * MS
        live = now < self.end
        used, end = (self.used, min(self.end, latest)) if live else (0, latest)
        reset = min(end - now, window)
        if used + cost > count:
            self.end = end if live else 0
            return False, 0, reset if live else 0, inf if cost > count else reset
        self.end, self.used = end, used + cost
        return True, count - self.used, reset, 0


class Bucket:
    """`burst` tokens at most, `count` more per `window`. State: when it will be full again."""

    def __init__(self) -> None:
        self.full_at = Fraction(0)

    def hit(self, now: int, count: int, window: int, burst: int, cost: int = 1) -> Told:
        token = Fraction(window, count)
        debt = max(Fraction(0), self.full_at - now)
        if debt > burst * token + SKEW:  # left by a slower limit
            debt = burst * token
        after = debt + cost * token
        allowed = after <= burst * token
        if allowed:
            debt = after
        self.full_at = now + debt
        if not allowed:
            return False, 0, ceil(debt), inf if cost > burst else ceil(after - burst * token)
        return True, floor((burst * token - debt) / token), ceil(debt), 0


class Leaky:
    """`rate` requests a second flow out; up to `burst` wait in the bucket. What APISIX's limit-req does, without its rounding."""

    def __init__(self, rate: Fraction, burst: Fraction) -> None:
        self.rate, self.burst = rate, burst
        self.excess, self.last = Fraction(-1), Fraction(0)

    def hit(self, now: Fraction) -> Fraction | None:
        """Seconds that the request has to wait; None when it flows over."""
        excess = max(self.excess - self.rate * (now - self.last) + 1, Fraction(0))
        if excess > self.burst:
            return None
        self.excess, self.last = excess, now
        return excess / self.rate


class Sliding:
    """Windows aligned to the clock; the one before counts by the share of it that a window ending now would see."""

    def __init__(self) -> None:
        self.used: dict[int, int] = {}

    def hit(self, now: int, count: int, window: int, cost: int = 1) -> tuple[bool, int, int]:
        index, inside = divmod(now // MS, window // MS)
        left = Fraction(window // MS - inside, window // MS)
        before, used = min(self.used.get(index - 1, 0), count), self.used.get(index, 0)
        reset = (index + 1) * window - now
        if used + cost > count or before * left + used + cost - 1 >= count:
            return False, 0, reset
        self.used[index] = used + cost
        return True, max(0, floor(count - used - cost - before * left)), reset


def siphash_1_3_128(key: bytes, data: bytes) -> bytes:
    """SipHash-1-3 with 128 bits of output, from its description."""
    mask = 2**64 - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def turn(x: int, bits: int) -> int:
        return (x << bits | x >> 64 - bits) & mask

    def rounds(n: int) -> None:
        for _ in range(n):
            for a, b, by in ((0, 1, 13), (2, 3, 16)):
                v[a] = (v[a] + v[b]) & mask
                v[b] = turn(v[b], by) ^ v[a]
            v[0] = turn(v[0], 32)
            for a, b, by in ((0, 3, 21), (2, 1, 17)):
                v[a] = (v[a] + v[b]) & mask
                v[b] = turn(v[b], by) ^ v[a]
            v[2] = turn(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v[3] ^= word
        rounds(1)
        v[0] ^= word
    v[2] ^= 0xEE
    out = b""
    for _ in range(2):
        rounds(3)
        out += (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")
        v[1] ^= 0xDD
    return out
