"""resty.chash in the plainest Python, by its definition: where each key goes, and where it goes when nodes are out."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Collection, Mapping

POINTS = 160


def _bare_crc(register: int, data: bytes) -> int:
    """The register after these bytes, without the inversions that zlib adds before and after."""
    return zlib.crc32(data, register ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def follow(id_: bytes, count: int) -> list[int]:
    """So many points of a node, in the order in which they come about."""
    base, hash_, points = zlib.crc32(id_), 0, list[int]()
    for _ in range(count):
        hash_ = _bare_crc(base, hash_.to_bytes(4, "little")) ^ 0xFFFFFFFF
        points.append(hash_)
    return points


def ring(nodes: Mapping[str, int]) -> list[tuple[int, str]]:
    """The points of nodes ("host:port" to weight), by hash."""
    divisor = math.gcd(*nodes.values()) or 1
    points = [
        (hash_, name)
        for name, weight in nodes.items()
        for hash_ in follow(name.replace(":", "\0").encode(), POINTS * weight // divisor)
    ]
    return sorted(points, key=lambda point: point[0])


@functools.cache
def _ring(nodes: tuple[tuple[str, int], ...]) -> list[tuple[int, str]]:
    return ring(dict(nodes))


def node_of(nodes: Mapping[str, int], key: bytes, out: Collection[str] = ()) -> str | None:
    """The node that has the key: of the greatest point that is not above its hash, or below all the first; then onwards past
    those that are out."""
    points = _ring(tuple(nodes.items()))
    hash_ = zlib.crc32(key)
    at = max((i for i, (point, _) in enumerate(points) if point <= hash_), default=0)
    for _, name in points[at:] + points[:at]:
        if name not in out:
            return name
    return None
