"""Every way in which the same bytes may arrive: whole, byte by byte, in random pieces, with more behind them.

Owns: the cuts and the claim that no parser may care about them. Must not know any parser.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

TRAILING = (b"", b"X", b"\r\n", b"\x00", b"GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n")
RANDOM_CUTS = 4


def cuts(size: int) -> Iterator[list[int]]:
    """Piece sizes; what they leave over comes as the last piece."""
    yield []
    yield [1] * size
    chance = random.Random(size)
    for _ in range(RANDOM_CUTS):
        yield [chance.randint(1, max(2, size // 3)) for _ in range(8)]


def every_way(parse: Callable[[bytes, list[int]], T], data: bytes, *, trailing: bool) -> T:
    """Parse in every way, assert that all give the same, and return it."""
    result = parse(data, [])
    for tail in TRAILING if trailing else TRAILING[:1]:
        for sizes in cuts(len(data)):
            again = parse(data + tail, sizes)
            assert again == result, f"{again} with {tail!r} behind, in pieces {sizes}, instead of {result}"
    return result
