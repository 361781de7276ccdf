"""Mutations of a corpus: what the fuzzer does where no coverage can be had.

Owns: how bytes are changed. Must not know the targets.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b":", b";", b",", b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Host: y\r\n", b"HTTP/1.0",
    b"X-Consumer-Username: root\r\n", b"Expect: 100-continue\r\n", b"HEAD", b"PUT", b"\0", b"\xff", b"\xfe",
    b"Host: y\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Length: +3\r\n", b"Connection: keep-alive, x-a\r\n",
    b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b" folded\r\n", b"Upgrade: h2c\r\n",
    b"x_real_ip: 1\r\n", b"X-Forwarded-For: 1.1.1.1\r\n", b"Trailer: x\r\n", b"TE: trailers\r\n", b"X-Request-Id: a\r\n",
    b"X-Tag: a\r\n", b"OPTIONS", b"POST", b"HTTP/1.1 100 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n",
    b"GET / HTTP/1.1\r\n", b"/../", b"%2e%2e/", b"%2F", b"$N",
    b'"', b"\\u0000", b"{", b"[", b"1e999", b"-", b"$TOKEN",
]  # fmt: skip
Raw = Callable[[bytes, int], bytes]
Rewrite = Callable[[bytes, int, random.Random, Raw], bytes]
LONGEST = 70000
INTERESTING = (0, 9, 10, 13, 32, 58, 127, 254, 255)


def mutations(corpus: list[bytes], chance: random.Random, rounds: int, rewrite: Rewrite | None = None) -> Iterator[bytes]:
    """Inputs made from the corpus, one to four changes each; half of them by `rewrite`, where the target has one."""

    def raw(data: bytes, most: int) -> bytes:
        return _changed(data, corpus, chance)[:most]

    for _ in range(rounds):
        data = chance.choice(corpus)
        for _ in range(chance.randint(1, 4)):
            as_it_is = rewrite is None or chance.random() < 0.5
            data = raw(data, LONGEST) if as_it_is else rewrite(data, LONGEST, chance, raw)
        yield data


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
