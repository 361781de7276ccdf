"""proxy-cache: requests with conditions and ranges, answered out of what is kept (RFC 9110 sections 13 and 14)."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.plugins.caching import HOUR, MEMORY, Saying, cached, fetch, status
from tests.support.gateway import Gateway

NUMBERS = count()


def new(route: str) -> str:
    """A target nobody has asked for."""
    return f"/{route}/{next(NUMBERS)}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Saying]:
    with Saying() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Saying) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("cache"), cached(upstream.address, plain=MEMORY)) as running:
        yield running


MODIFIED = "Thu, 01 Jan 2015 00:00:00 GMT"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (('If-None-Match: "a"',), 304),
        (('If-None-Match: W/"a"',), 304),
        (('If-None-Match: "b", "a"',), 304),
        (("If-None-Match: *",), 304),
        (('If-None-Match: "b"',), 200),
        (('If-None-Match: "b"', f"If-Modified-Since: {MODIFIED}"), 200),
        ((f"If-Modified-Since: {MODIFIED}",), 304),
        (("If-Modified-Since: Thu, 01 Jan 2010 00:00:00 GMT",), 200),
        (("If-Modified-Since: nonsense",), 200),
        (("Range: bytes=0-1",), 206),
        (("Range: bytes=0-1", 'If-Range: "a"'), 206),
        (("Range: bytes=0-1", f"If-Range: {MODIFIED}"), 206),
        (("Range: bytes=0-1", 'If-Range: W/"a"'), 200),
        (("Range: bytes=0-1", 'If-Range: "b"'), 200),
        (("Range: bytes=99-",), 416),
        (("Range: bytes=-0",), 416),
        (("Range: bytes=0-1,3-4",), 200),
        (("Range: bytes=5-1",), 200),
        (("Range: pages=0-1",), 200),
        (("Range: bytes=-",), 200),
        (("Range: bytes=" + "9" * 400 + "-",), 416),
        (('If-None-Match: "a"', "Range: bytes=0-1"), 304),
    ],
)
def test_conditions_and_ranges(gateway: Gateway, upstream: Saying, fields: tuple[str, ...], code: int) -> None:
    target = new("plain")
    say = f'{HOUR} | ETag: "a" | Last-Modified: {MODIFIED} | Content-Type: text/plain | X-Own: 1'
    fetch(gateway, target, "X-Body: 0123456789", say=say)
    before = upstream.answers
    answer = fetch(gateway, target, *fields)
    assert (answer.status, upstream.answers, status(answer)) == (code, before, "HIT")
    if code == 304:
        assert (answer.header("ETag"), answer.header("X-Own"), answer.body) == (['"a"'], [], b"")
        assert answer.header("Content-Length") == answer.header("Content-Type") == []
    elif code == 206:
        assert (answer.body, answer.header("Content-Range")) == (b"01", ["bytes 0-1/10"])
    elif code == 416:
        assert (answer.body, answer.header("Content-Range")) == (b"", ["bytes */10"])
    else:
        assert answer.body == b"0123456789"


@pytest.mark.parametrize(
    ("wanted", "body"), [("3-", b"3456789"), ("-3", b"789"), ("-99", b"0123456789"), ("8-99", b"89"), ("0-0", b"0")]
)
def test_ranges(gateway: Gateway, wanted: str, body: bytes) -> None:
    target = new("plain")
    fetch(gateway, target, "X-Body: 0123456789", say=HOUR)
    answer = fetch(gateway, target, f"Range: bytes={wanted}")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (206, body, [str(len(body))])


def test_conditions_for_the_upstream_alone(gateway: Gateway, upstream: Saying) -> None:
    target = new("plain")
    fetch(gateway, target, say=f'{HOUR} | ETag: "a"')
    before = upstream.answers
    assert status(fetch(gateway, target, 'If-Match: "b"')) == "MISS"
    assert upstream.answers == before + 1
