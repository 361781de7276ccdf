"""Mutations of a corpus: what the fuzzer does where no coverage can be had.

Owns: how bytes are changed. Must not know the targets.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Host: y\r\n", b"HTTP/1.0",
    b"X-Consumer-Username: root\r\n", b"Expect: 100-continue\r\n", b"HEAD", b"PUT", b"\0", b"\xff", b"\xfe",
    b'"', b"\\u0000", b"{", b"[", b"1e999", b"-", b"$TOKEN",
]  # fmt: skip
LONGEST = 70000
INTERESTING = (0, 9, 10, 13, 32, 58, 127, 254, 255)


def mutations(corpus: list[bytes], chance: random.Random, rounds: int) -> Iterator[bytes]:
    """Inputs made from the corpus, one to four changes each."""
    for _ in range(rounds):
        data = chance.choice(corpus)
        for _ in range(chance.randint(1, 4)):
            data = _changed(data, corpus, chance)
        yield data[:LONGEST]


def _changed(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    to = min(len(data), at + chance.choice((1, 1, 2, 4, 8, 32)))
    match chance.randrange(7):
        case 0:
            return data[:at] + data[to:]
        case 1:
            return data[:at] + chance.choice(TOKENS) + data[at:]
        case 2:
            return data[:at] + chance.choice(TOKENS) + data[to:]
        case 3:
            return data[:at] + bytes([chance.choice((*INTERESTING, chance.randrange(256)))]) + data[at + 1 :]
        case 4:
            return data[:to] + data[at:to] * chance.randint(1, 3) + data[to:]
        case 5:
            other = chance.choice(corpus)
            cut = chance.randint(0, len(other))
            return data[:at] + other[cut : cut + chance.randint(1, 64)] + data[at:]
        case _:
            return data[:at] + chance.choice(corpus)
