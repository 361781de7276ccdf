"""The chunked coding as one regular expression per part (RFC 9112 section 7.1): slow, plain, obviously right."""

from __future__ import annotations

import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[ !#-\[\]-~\x80-\xff]|\\[ -~\x80-\xff])*"'
EXTENSIONS = rb"((?:; *" + TOKEN + rb"(?: *= *(?:" + TOKEN + rb"|" + QUOTED + rb"))?)*)"
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})" + EXTENSIONS + rb"\r\n")
TRAILER = re.compile(rb"((?:" + TOKEN + rb":[\t -~\x80-\xff]*\r\n)*)\r\n")


def decode(data: bytes, max_ext: int = 1024, max_trailer: int = 8192) -> tuple[bytes, int] | None:
    """Payload and length of the whole message at the front of `data`; None where there is none."""
    payload, at, announced, extensions = b"", 0, 0, 0
    while True:
        line = SIZE_LINE.match(data, at)
        if line is None:
            return None
        size = int(line[1], 16)
        announced += size
        extensions += len(line[2])
        at = line.end()
        if announced >= 2**63 or extensions > max_ext:
            return None
        if size == 0:
            trailer = TRAILER.match(data, at)
            if trailer is None or len(trailer[1]) > max_trailer:
                return None
            return payload, trailer.end()
        if data[at + size : at + size + 2] != b"\r\n":
            return None
        payload += data[at : at + size]
        at += size + 2
