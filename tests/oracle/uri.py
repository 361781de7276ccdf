"""The normal form of a path, step by step over lists (RFC 3986 section 6.2.2): decode, encode, merge, resolve."""

from __future__ import annotations

import re

PCHAR = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@")
BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")


def normalise(path: bytes) -> bytes | None:
    if path == b"":
        return b"/"
    if not path.startswith(b"/") or BROKEN_ESCAPE.search(path) or b"\\" in path or b"\x00" in path:
        return None
    segments = [spell(segment) for segment in path[1:].split(b"/")]
    folder = segments[-1] in (b"", b".", b"..")
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if not kept:
                return None
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    normal = b"/" + b"/".join(kept)
    return normal + b"/" if folder and kept else normal


def spell(segment: bytes) -> bytes:
    """One segment in its only spelling."""
    data = re.sub(rb"%(..)", lambda match: bytes([int(match[1], 16)]), segment, flags=re.DOTALL)
    return b"".join(bytes([byte]) if byte in PCHAR else b"%%%02X" % byte for byte in data)
