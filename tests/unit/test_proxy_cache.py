"""The native part of proxy-cache: which requests it answers, until when, and that what lies in memory is not believed blindly."""

import mmap
import struct

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot

STORED = struct.Struct("<QIIHHI")
KNOWN = b"12345678"
LINES = b"Date: Thu, 01 Jan 2015 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Cache:
    """A core with the step, and what it remembers of /a: as the plugin would write it."""

    def __init__(self, *, obeys: bool = False, bypass: tuple[str, ...] = ()) -> None:
        self.zone = _core.CacheZone(mmap.mmap(-1, 2**20), bytes(16))
        key = [_core.Template("host"), _core.Template("request_uri")]
        self.step = _core.CacheStep(self.zone, key, [_core.Template(name) for name in bypass], b"owner", obeys=obeys)
        self.keys: list[bytes] = []
        python = _core.PythonStep("keys", "access", self._look, None)
        self.wire = _core.Wire(snapshot(self.step, python))
        self.known = KNOWN

    def _look(self, _: None, request: _core.Request) -> None:
        resource = self.step.resource(request)
        self.keys = [resource, self.step.variant(request, resource, self.known)]

    def ask(self, request: bytes = GET) -> bytes:
        line = self.wire.open()
        self.keys = []
        self.wire.push(line, request)
        if self.keys:  # it went on to Python, and to the upstream
            up = next(number for number, kind, _ in self.wire.lines() if kind == "up" and self.wire.pull(number))
            self.wire.push(up, OK)
        got = self.wire.pull(line)
        assert got.endswith(b"ok") == bool(self.keys)
        return got

    def keep(self, *, age: int = 0, lifetime: int = 60, status: int = 200, lines: bytes = LINES, body: bytes = b"kept") -> None:
        self.ask()
        resource, variant = self.keys
        self.zone.put(resource, self.known, b"")
        self.zone.put(variant, STORED.pack(self.wire.wall, age, lifetime, status, 0, 0) + lines, body)


def test_a_hit_is_what_was_kept() -> None:
    cache = Cache()
    cache.keep(age=7)
    head, _, body = cache.ask().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n")
    assert head.count(b"Date: ") == head.count(b"Content-Type: ") == 1
    assert LINES in head + b"\r\n"
    assert head.endswith(b"\r\nAge: 7\r\nApisix-Cache-Status: HIT")
    assert (body, cache.keys) == (b"kept", [])


@pytest.mark.parametrize("size", [0, 1, 2047, 2049, 60_000])
def test_bodies_of_all_lengths(size: int) -> None:
    cache = Cache()
    cache.keep(body=b"x" * size)
    head, _, body = cache.ask().partition(b"\r\n\r\n")
    assert body == b"x" * size
    assert b"Content-Length: %d\r\n" % size in head
    assert cache.ask(GET.replace(b"GET", b"HEAD")) == head + b"\r\n\r\n"


def test_it_is_fresh_for_its_lifetime() -> None:
    cache = Cache()
    cache.keep(age=10, lifetime=60)
    kept_at = cache.wire.wall
    for seconds, hit in ((0, True), (49, True), (50, False), (-100, True)):
        cache.wire.wall = kept_at + seconds
        assert (b"HIT" in cache.ask()) == hit, seconds


@pytest.mark.parametrize(
    ("line", "hit"),
    [
        (b"X-Other: 1", True),
        (b"Cache-Control: no-cache", True),
        (b"range: bytes=0-1", False),
        (b'If-None-Match: "a"\r\nIf-None-Match: "b"', False),
        (b'If-None-Match: "a"\r\nIf-Modified-Since: x', False),
        (b"IF-MODIFIED-SINCE: x", False),
        (b"If-Range: x", False),
        (b"If-Match: x", False),
        (b"Content-Length: 0", True),
        (b"X-Bypass: 0", True),
        (b"X-Bypass: 1", False),
    ],
)
def test_requests_that_want_more_than_the_answer_are_left_alone(line: bytes, hit: bool) -> None:
    cache = Cache(bypass=("http_x_bypass",))
    cache.keep()
    assert (b"HIT" in cache.ask(GET[:-2] + line + b"\r\n\r\n")) == hit


@pytest.mark.parametrize(
    ("tag", "tags", "answer"),
    [
        (b'"a"', b"*", b"304"),
        (b'"a"', b'"a"', b"304"),
        (b'W/"a"', b'"a"', b"304"),
        (b'"a"', b'"b", W/"a"', b"304"),
        (b'"a"', b' ,, "b" ,"a" , "c"', b"304"),
        (b'"a,b"', b'"a", "a,b"', b"304"),
        (b'""', b'""', b"304"),
        (b'"a"', b'"b"', b"200"),
        (b'"a"', b"", b"200"),
        (b'"a"', b'"aa", "', b""),  # Python's, as all that is not written as it ought
        (b'"a"', b"a", b""),
        (b'"a"', b"W/", b""),
        (b"a", b"a", b""),
        (b"", b'"a"', b""),
    ],
)
def test_tags(tag: bytes, tags: bytes, answer: bytes) -> None:
    cache = Cache()
    cache.keep(lines=LINES + (b"etag: " + tag + b"\r\n" if tag else b"") + b"X-Own: 1\r\nVary: a\r\n")
    got = cache.ask(GET[:-2] + b"If-None-Match: " + tags + b"\r\n\r\n")
    assert (got.split(b" ")[1] if b"HIT" in got else b"") == answer
    if answer == b"304":
        head, _, body = got.partition(b"\r\n\r\n")
        assert (body, b"X-Own" in head, b"Content-" in head) == (b"", False, False)
        assert b"Date: Thu, 01 Jan 2015 00:00:00 GMT\r\netag: " + tag + b"\r\nVary: a\r\nAge: 0\r\n" in got


@pytest.mark.parametrize("line", [b"Cache-Control: max-age=0", b"pragma: no-cache"])
def test_directives_are_left_to_who_obeys_them(line: bytes) -> None:
    cache = Cache(obeys=True)
    cache.keep()
    assert b"HIT" in cache.ask()
    assert b"HIT" not in cache.ask(GET[:-2] + line + b"\r\n\r\n")


def test_methods() -> None:
    cache = Cache()
    cache.keep()
    for method in (b"POST", b"PURGE", b"DELETE", b"OPTIONS"):
        assert b"HIT" not in cache.ask(GET.replace(b"GET", method))


def test_names_of_vary_choose() -> None:
    cache = Cache()
    cache.known = KNOWN + b"accept\0x-b\0"
    cache.keep()
    assert b"HIT" in cache.ask()
    for line in (b"Accept: 1", b"x_b: 1", b"X-B:"):
        assert b"HIT" not in cache.ask(GET[:-2] + line + b"\r\n\r\n")
    assert b"HIT" in cache.ask(GET[:-2] + b"X-C: 1\r\n\r\n")


def test_what_is_no_answer_is_none() -> None:
    cache = Cache()
    cache.ask()
    resource, variant = cache.keys
    for known, head in ((b"", b""), (b"1234567", b"x" * 100), (KNOWN, b""), (KNOWN, b"x" * (STORED.size - 1))):
        cache.zone.put(resource, known, b"")
        cache.zone.put(variant, head, b"body")
        assert cache.ask().endswith(b"\r\n\r\nok")


def test_keys_tell_everything_apart() -> None:
    cache = Cache()
    seen = set()
    requests = [
        GET,
        GET.replace(b"/a", b"/b"),
        GET.replace(b"/a", b"/a?"),
        GET.replace(b"/a", b"/a?b"),
        GET.replace(b"Host: h", b"Host: ha"),
        GET.replace(b"/a", b"/%61"),
        GET.replace(b"/a", b"//a"),
    ]
    for request in requests:
        cache.ask(request)
        seen.add(tuple(cache.keys))
    assert len({keys[1] for keys in seen}) == len(requests) - 1  # a query without a byte is none: both ask the upstream
    assert len({keys[0] for keys in seen}) == 4


@pytest.mark.parametrize("known", [b"", b"1234567", KNOWN + b"x"])
def test_what_is_known_must_be_sound(known: bytes) -> None:
    cache = Cache()
    cache.ask()
    resource = cache.keys[0]
    failed: list[str] = []

    def look(_: None, request: _core.Request) -> None:
        with pytest.raises(ValueError, match="expected") as raised:
            cache.step.variant(request, resource, known)
        failed.append(str(raised.value))

    wire = _core.Wire(snapshot(_core.PythonStep("test", "access", look, None)))
    wire.push(wire.open(), GET)
    assert len(failed) == 1
