"""A script of `exchange` changed as a script: its steps come, go, move and are cut, so that what is new is mostly still a script.

Owns: which steps and lines are worth trying. Must not know what they do.
"""

from __future__ import annotations

import gzip
import random
import re

from tests.fuzz.mutate import TOKENS, Raw
from tests.fuzz.play import SEPARATOR
from tests.fuzz.scene import NAMES

LONGEST = 4096  # bytes that a step is made to grow to
LENGTH = re.compile(rb"(?i)(content-length: *)[0-9]+")

_HEAD = b" HTTP/1.1\r\nHost: x\r\n"
_SHOWN = {b"auth": b"?jwt=$TOKEN", b"key": b"?apikey=kim-key", b"say": b"?say", b"mixed": b"?apikey=kim-key"}
_TARGETS = [b"/%s/$N%s" % (name, _SHOWN.get(name, b"")) for name in NAMES if name != b"hmac"]
_TARGETS += [b"/rewrite/%41$N/c%2Fd", b"/rewrite/./$N", b"/raw/a%41//$N", b"/split/$N?b=1", b"/split/$N?b=2", b"/fault/$N?d=1"]
_TARGETS += [
    b"/fault/$N?s=1",
    b"/made/$N?u=a+b&u=%26",
    b"/goto/$N?to=//b",
    b"/goto/$N?to=",
    b"/cache/n1",
    b"/cache/n1",
    b"/cache-told/n1",
    b"/mixed/n1?apikey=kim-key",
]
_TARGETS += [b"/none", b"*", b"/auth", b"/key"]
_REQUESTS = [
    *(b"sGET " + target + _HEAD + b"\r\n" for target in _TARGETS),
    b"sGET /auth/$N" + _HEAD + b"Authorization: Bearer $TOKEN\r\n\r\n",
    b"sGET /auth/$N" + _HEAD + b"Cookie: a=b; jwt=$TOKEN; c=d\r\n\r\n",
    b"sGET /key/$N" + _HEAD + b"apikey: kim-key\r\nX-Request-Id: mine$N\r\n\r\n",
    b"sPOST /hmac" + _HEAD + b"$SIGNED\r\nContent-Length: 5\r\n\r\nhello",
    b"sPOST /hmac" + _HEAD + b"$SIGNED\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n",
    b"sPOST /open/$N" + _HEAD + b"Content-Length: 6\r\n\r\nbody$N",
    b"sPUT /tag/$N" + _HEAD + b"Content-Length: 40\r\n\r\n" + b"0123456789" * 4,
    b"sPOST /hash/$N" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n6\r\nbody$N\r\n0\r\nX-T: 1\r\n\r\n",
    b"sPUT /open/$N" + _HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    b"sHEAD /swap/$N" + _HEAD + b"\r\n",
    b"sGET /open/$N HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"sGET /swap/$N HTTP/1.0\r\n\r\n",
    b"sGET /swap-coded/$N" + _HEAD + b"Accept-Encoding: gzip\r\n\r\n",
    b"sGET /swap-coded/$N HTTP/1.0\r\nAccept-Encoding: *\r\n\r\n",
    b"sHEAD /fixed/$N" + _HEAD + b"\r\n",
    b"sGET /fixed/$N HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"sGET /up/$N" + _HEAD + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"sGET /up/$N" + _HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /open/$N" + _HEAD + b"\r\n",
    b"sOPTIONS *" + _HEAD + b"Max-Forwards: 10\r\n\r\n", b"sOPTIONS /open/$N" + _HEAD + b"Max-Forwards: 10\r\n\r\n",
    b"sGET http://a.example:81/open/$N" + _HEAD + b"\r\n",
    *(b"sGET " + target + _HEAD + b"Accept-Encoding: " + coding + b"\r\n\r\n"
      for target, coding in ((b"/gzip/$N", b"gzip"), (b"/brotli/$N", b"gzip;q=.5, br"), (b"/mixed/n1?apikey=kim-key", b"*;q=1"))),
    *(b"sHEAD " + target + _HEAD + b"\r\n" for target in (b"/to-get/$N", b"/to-200/$N", b"/cache/n1", b"/echo/$N", b"/gzip/$N")),
    b"sPOST /to-get/$N" + _HEAD + b"Content-Length: 6\r\n\r\nbody$N",
    b"sPOST /to-head/$N" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n6\r\nbody$N\r\n0\r\n\r\n",
    b"sPOST /small/$N" + _HEAD + b"Content-Length: 9\r\n\r\nbody$N...",
    b"sPOST /small/$N" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n6\r\nbody$N\r\n",
    b"sOPTIONS /cors/$N" + _HEAD + b"Origin: http://a.example\r\nAccess-Control-Request-Method: GET\r\n\r\n",
    b"sGET /cors/$N" + _HEAD + b"Origin: http://a.example\r\n\r\n",
    b"sGET /cors-any/$N" + _HEAD + b"Origin: null\r\nAccess-Control-Request-Headers: X-A\r\n\r\n",
    b"sGET /peer/$N" + _HEAD + b"X-Client: 192.0.2.3\r\n\r\n",
    b"sGET /peer/$N" + _HEAD + b"X-Client: [::ffff:192.0.2.9]:80\r\n\r\n",
    b"sGET /hops/$N" + _HEAD + b"X-Forwarded-For: 2001:db9::1, 192.0.2.2\r\nX-Forwarded-For: 2001:db8::1\r\n\r\n",
    b"sGET /secure/$N?a" + _HEAD + b"X-Forwarded-Proto: https\r\n\r\n",
    b"sGET /rewrite/$N/b" + _HEAD + b"X-More: 1\r\nX-A: 2\r\nX_Part: 3\r\nX-B: 4\r\n\r\n",
    b"sGET /cache/n1" + _HEAD + b"If-None-Match: \"a\"\r\n\r\n", b"sGET /cache/n1" + _HEAD + b"Range: bytes=1-1\r\n\r\n",
    b"sGET /cache/n1" + _HEAD + b"X-A: $N\r\n\r\n", b"sPURGE /cache/n1" + _HEAD + b"\r\n", b"sPOST /cache/n1" + _HEAD + b"\r\n",
    b"sGET /cache-told/n1" + _HEAD + b"Cache-Control: max-stale=9, max-age=60\r\n\r\n",
    b"sGET /cache-told/n1" + _HEAD + b"Cache-Control: only-if-cached\r\n\r\n",
    b"sab", b"s0\r\n\r\n", b"s3\r\nabc\r\n",
]  # fmt: skip
_GZIP = gzip.compress(b"n1 and n2", mtime=0)
_ANSWERS = [
    b"SHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nn$N",
    b"SHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nn$N\r\n0\r\n\r\n",
    b"SHTTP/1.1 200 OK\r\n\r\nn$N",
    b"SHTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nn$N",
    b"SHTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nn$N",
    b"SHTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"9876543210" * 4,
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nn$N",
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nn$N\r\n",
    b"SHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    b"SHTTP/1.1 100 Continue\r\n\r\n",
    b"SHTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"SHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"SHTTP/1.1 204 No Content\r\n\r\n",
    b"SHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"SHTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nETag: \"a\"\r\nCache-Control: max-age=9\r\nContent-Length: 3\r\n\r\nn$N",
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nCache-Control: max-age=9\r\nVary: X-A\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n3\r\nn$N\r\n0\r\n\r\n",
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_GZIP) + _GZIP,
    b"SHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nAccess-Control-Allow-Origin: *\r\nVary: *\r\n\r\nn$N",
    b"SHTTP/1.1 206 Part\r\nContent-Type: a/b\r\nContent-Range: bytes 0-2/9\r\nContent-Length: 3\r\n\r\nn$N",
    b"SHTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    b"Sxx", b"S0\r\n\r\n",
]  # fmt: skip
_REST = [
    b"n\0\0", b"n\1\0", b"t\1\0", b"t\x0a\0", b"t\x32\0", b"t\x40\0", b"k\0", b"k\1", b"k\2", b"e", b"E", b"r", b"R", b"h", b"H",
    b"f\0\0", b"f\x40\0", b"f\xff\xff", b"F\0\0", b"F\x40\0", b"F\xff\xff", b"C", b"o\0", b"o\1", b"o\2", b"O\0", b"O\1", b"O\2",
    b"i", b"x",
]  # fmt: skip
READY = (_REQUESTS, _ANSWERS, _REST)


def script(data: bytes, most: int, chance: random.Random, raw: Raw) -> bytes:
    """One to three changes; `raw` changes bytes that have no form."""
    steps = data.split(SEPARATOR)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(steps))
        chance.choice(_CHANGES)(steps, at, chance, raw)
    return SEPARATOR.join(steps)[:most]


def _bytes(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    steps[at] = steps[at][:1] + raw(steps[at][1:], LONGEST)


def _come(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    steps.insert(at + chance.randint(0, 1), chance.choice(chance.choice(READY)))


def _served(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    steps[at + 1 : at + 1] = [chance.choice(_REQUESTS), chance.choice(_ANSWERS)]


def _go(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    if len(steps) > 1:
        del steps[at]


def _move(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    step = steps.pop(at)
    steps.insert(chance.randint(0, len(steps)), step)


def _repeat(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    steps.insert(chance.randint(0, len(steps)), steps[at])


def _cut(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    letter, data = steps[at][:1], steps[at][1:]
    if letter in (b"s", b"S") and data:
        where = chance.randint(0, len(data))
        steps[at : at + 1] = [letter + data[:where], letter + data[where:]]


def _join(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    if at + 1 < len(steps) and steps[at][:1] == steps[at + 1][:1]:
        steps[at : at + 2] = [steps[at] + steps[at + 1][1:]]


def _letter(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    steps[at] = chance.choice((b"s", b"S", b"b", b"B", b"e", b"E", b"f", b"F", b"g", b"t")) + steps[at][1:]


def _line(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    """A token of HTTP where a line begins."""
    lines = steps[at].split(b"\r\n")
    lines.insert(chance.randint(1, len(lines)), chance.choice(TOKENS).removesuffix(b"\r\n"))
    steps[at] = b"\r\n".join(lines)


def _length(steps: list[bytes], at: int, chance: random.Random, raw: Raw) -> None:
    """A length that is right, or nearly."""
    head, end, body = steps[at].partition(b"\r\n\r\n")
    size = len(body) + chance.choice((0, 0, 0, 1, -1, 10))
    steps[at] = LENGTH.sub(lambda found: found[1] + b"%d" % max(size, 0), head) + end + body


_CHANGES = (
    _bytes, _bytes, _bytes, _bytes, _come, _come, _come, _served, _go, _move, _repeat, _cut, _cut, _join, _letter, _line, _length,
)  # fmt: skip
