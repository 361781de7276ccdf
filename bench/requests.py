"""The requests of a contestant as bytes, made before anything is timed. Pure.

Every load generator sends the same bytes in rotation; what a request costs a generator is then nobody's figure.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from bench.peers.base import Job

LETTERS = bytes(97 + byte % 26 for byte in range(256))


@dataclass(frozen=True)
class Asking:
    """What is in the requests of a job besides its paths: tokens in rotation, whether the connection is kept, other headers."""

    tokens: Callable[[], Sequence[str]] | None = None
    keep_alive: bool = True
    headers: tuple[str, ...] = ()


def letters(size: int, seed: str) -> bytes:
    """`size` bytes that follow from `seed`, of letters only, so that they can stand in a configuration."""
    return random.Random(seed).randbytes(size).translate(LETTERS)


def raw(path: str, token: str | None, keep_alive: bool, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """One HTTP/1.1 request as wrk itself would write it."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if not keep_alive:
        lines.append("Connection: close")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def body_of(job: Job) -> bytes:
    """What requests of a job carry: the same in every run."""
    return letters(job.upload_bytes, "upload")


def of(job: Job, asking: Asking, given: Callable[[str], str]) -> list[bytes]:
    """As many as the job has paths or tokens, whichever is more; the others begin again.

    `given` turns a token into the one that the peer is given.
    """
    paths = job.paths()
    tokens = [given(token) for token in asking.tokens()] if asking.tokens else [None]
    body = body_of(job)
    pairs = islice(zip(cycle(paths), cycle(tokens), strict=False), max(len(paths), len(tokens)))
    return [raw(path, token, asking.keep_alive, body, asking.headers) for path, token in pairs]


def packed(requests: Sequence[bytes]) -> bytes:
    """The file format of the generators: length in 4 bytes, then the request, again and again."""
    return b"".join(struct.pack("=I", len(one)) + one for one in requests)
