"""Request targets and authorities as regular expressions (RFC 9112 section 3.2), as strict as the gateway."""

from __future__ import annotations

import ipaddress
import re

AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{0,5}))?")
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]+)([^?#]*)(\?[^#]*)?")


def split(target: bytes) -> tuple[int, bytes, bytes, bytes | None] | None:
    """Form (1 origin, 2 absolute, 3 asterisk), authority, path, query."""
    if b"#" in target:
        return None
    if target == b"*":
        return 3, b"", b"", None
    if target.startswith(b"/"):
        path, mark, query = target.partition(b"?")
        return 1, b"", path, query if mark else None
    absolute = ABSOLUTE.fullmatch(target)
    return absolute and (2, absolute[1], absolute[2], absolute[3] and absolute[3][1:])


def host(authority: bytes) -> tuple[bytes, int] | None:
    """Host in lower case without final dot, and port or 0."""
    match = AUTHORITY.fullmatch(authority)
    if match is None or len(match[1]) > 256 or int(match[2] or 0) > 65535:
        return None
    name = match[1].lower()
    if name.startswith(b"["):
        try:
            ipaddress.IPv6Address(name[1:-1].decode())
        except ValueError:
            return None
    elif name.startswith(b".") or b".." in name:
        return None
    return name.removesuffix(b"."), int(match[2] or 0)


def valid_authority(authority: bytes) -> bool:
    return host(authority) is not None


def valid_target(method: bytes, target: bytes) -> bool:
    parts = split(target)
    if parts is None:
        return False
    if parts[0] == 3:
        return method == b"OPTIONS"
    return parts[0] == 1 or valid_authority(parts[1])
