"""From samples of what limits are asked to the keys that are asked most.

Owns: the estimate. Must not know: where samples come from, what a limit is. A sample stands for the hits since the one before it
in its process (native/hot), so sums of them are unbiased; a key that makes up a tenth of 128 samples is told to within a quarter.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from fastgw import _core

__all__ = ["WINDOW_MS", "Heat", "hottest"]

WINDOW_MS: Final = 10_000
RING: Final = 128  # samples that a process keeps


class Heat(NamedTuple):
    """How much one key of one limit is asked, in the last ten seconds or as far as the samples reach."""

    identity: bytes
    key: bytes
    cut: bool
    """Whether the identity or the key is longer than what is known of it."""
    hits: float
    """Per second."""
    refused: float


def hottest(samples: Iterable[_core.Sample], now_ms: int) -> list[Heat]:
    """The keys, by falling number of hits per second."""
    slots: defaultdict[int, list[_core.Sample]] = defaultdict(list)
    for each in samples:
        if each.time > now_ms - WINDOW_MS:
            slots[each.slot].append(each)
    found: dict[tuple[bytes, int], Heat] = {}
    for of_one in slots.values():
        of_one.sort(key=lambda each: each.time)
        span_ms = WINDOW_MS
        if len(of_one) >= RING:  # older ones were written over; what the oldest stands for was before it
            span_ms = max(now_ms - of_one.pop(0).time, 1)
        for each in of_one:
            rate = each.hits * 1000 / span_ms
            name = (each.identity, each.fp)
            was = found.get(name, Heat(each.identity, each.key, each.cut, 0.0, 0.0))
            found[name] = was._replace(hits=was.hits + rate, refused=was.refused + rate * each.refused)
    return sorted(found.values(), key=lambda heat: heat.hits, reverse=True)
