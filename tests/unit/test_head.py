"""Heads as bytes: what is one, where it ends, what its parts are, however the bytes arrive.

Owns: the head room. What heads mean is test_framing's.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle import head as oracle
from tests.oracle import llhttp
from tests.support.pieces import every_way

INCOMPLETE = 0


def request(data: bytes, pieces: list[int]):
    return _core._test_head(data, pieces, False)


def response(data: bytes, pieces: list[int]):
    return _core._test_head(data, pieces, True)


def fields_of(head) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value, _ in head["fields"]]


GOOD_REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"QUERY /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b'GET /a/b;c=d?e=f&g[]=h|i^`{}"<>\\ HTTP/1.1\r\nHost: a\r\n\r\n',
    b"GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhOsT:a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\t \ta \t \r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\nBlank: \t \r\nLast:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a b\tc\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\xc3\xa9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: : ,;=\"'()<>@[]{}\\\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\nx: 3\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nSet_Cookie: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(99)) + b"Host: a\r\n\r\n",
    b"GET /" + b"a" * 8191 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
]
BAD_REQUESTS = [
    # line ends
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\n\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\nX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n\n",
    b"GET / HTTP/1.1\rHost: a\r\r",
    b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\nb\r\n\r\n",
    # before the request line
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x00GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
    # method
    b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b'"GET" / HTTP/1.1\r\nHost: a\r\n\r\n',
    b"GET:/ HTTP/1.1\r\nHost: a\r\n\r\n",
    # spaces of the request line
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    # target
    b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /?\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /?\x0b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a\r/b HTTP/1.1\r\nHost: a\r\n\r\n",
    # version
    b"GET /\r\nHost: a\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    b"GET / HTTP/01.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1,1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1./\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.:\r\nHost: a\r\n\r\n",
    b"GET / HTTP/:.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/ 1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.\xd9\xa1\r\nHost: a\r\n\r\n",
    b"GET / http/1.1\r\nHost: a\r\n\r\n",
    b"GET / Http/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n",
    b"GET / RTSP/1.0\r\nHost: a\r\n\r\n",
    b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
    # field names
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x85: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\xa0: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0b: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x0c: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\x00: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer\xc3\xa9Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX/Y: b\r\n\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\n"X": b\r\n\r\n',
    b"GET / HTTP/1.1\r\nHost: a\r\nX@: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX\x7f: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost\r\n: a\r\n\r\n",
    # field values
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x08\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x0bb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\x0cb\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x1f\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: long enough for whole words\x1bof eight bytes\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n",
]
OTHER_STATUS = [
    (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"GETX / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"GE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"DESCRIBE / RTSP/1.0\r\nHost: a\r\n\r\n", 501),
    (b"UNSUBSCRIBF / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"UNSUBSCRIBED / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    (b"UNSUBSCRIBEDX", 501),
    (b"PRI * HTTP/1.1\r\n\r\n", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/0.1\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505),
]
GOOD_RESPONSES = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.1 599 Out of\tOrder \x80\xff\r\nA: b\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nA:\r\nB: c \r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
]
BAD_RESPONSES = [
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1\t200 OK\r\n\r\n",
    b"HTTP/1.1 200\tOK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 2x0 OK\r\n\r\n",
    b"HTTP/1.1 +20 OK\r\n\r\n",
    b"HTTP/1.1 000 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1 600 OK\r\n\r\n",
    b"HTTP/1.1 999 OK\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\n\r\n",
    b"HTTP/1.1 200 O\x01K\r\n\r\n",
    b"HTTP/1.1 200 O\x7fK\r\n\r\n",
    b"HTTP/1.1 200 OK\n\r\n",
    b"HTTP/1.1 200 OK\r\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b"HTTP/0.9 200 OK\r\n\r\n",
    b"RTSP/1.0 200 OK\r\n\r\n",
    b"ICE/1.0 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"http/1.1 200 OK\r\n\r\n",
    b"<html>no head at all</html>",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA\xa0: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n",
]

# Each is wrong in its last byte.
BAD_REQUEST_LINES = [
    b"\n", b"\r\r", b"\r\n\n", b" ", b"GET\r", b"G\xc9", b"GET  ", b"GET /\r", b"GET /\x80", b"GET / h", b"GET / HTTPS",
    b"GET / HTTP/x", b"GET / HTTP/1,", b"GET / HTTP/1.x", b"GET / HTTP/1.1 ", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\r",
]  # fmt: skip
BAD_STATUS_LINES = [
    b"h", b"HTTP/2", b"HTTP/1\r", b"HTTP/1.2", b"HTTP/1./", b"HTTP/1.1\r", b"HTTP/1.1  ", b"HTTP/1.1 0", b"HTTP/1.1 6",
    b"HTTP/1.1 2\r", b"HTTP/1.1 2:", b"HTTP/1.1 20\r", b"HTTP/1.1 20/", b"HTTP/1.1 200\t", b"HTTP/1.1 2000",
]  # fmt: skip


def agrees(head, expected) -> None:
    """A parsed head shows everything that the oracle says of it."""
    assert isinstance(head, dict), head
    assert {name: head[name] for name in expected} == expected


@pytest.mark.parametrize("data", GOOD_REQUESTS)
def test_good_request(data):
    head = every_way(request, data, trailing=True)
    assert head["len"] == len(data)
    agrees(head, oracle.request(data))


@pytest.mark.parametrize("method", sorted(oracle.METHODS))
def test_every_method(method):
    data = method + b" / HTTP/1.1\r\nHost: a\r\n\r\n"
    agrees(every_way(request, data, trailing=False), oracle.request(data))


@pytest.mark.parametrize("data", BAD_REQUESTS)
def test_bad_request(data):
    assert every_way(request, data, trailing=True) == 400
    assert oracle.request(data) is None


@pytest.mark.parametrize(("data", "status"), OTHER_STATUS)
def test_request_refused_with_another_status(data, status):
    assert every_way(request, data, trailing=True) == status
    assert oracle.request(data) is None


@pytest.mark.parametrize("data", GOOD_RESPONSES)
def test_good_response(data):
    head = every_way(response, data, trailing=True)
    assert head["len"] == len(data)
    agrees(head, oracle.response(data, "GET"))


@pytest.mark.parametrize("data", BAD_RESPONSES)
def test_bad_response(data):
    assert every_way(response, data, trailing=True) == 502
    assert oracle.response(data, "GET") is None


@pytest.mark.parametrize("data", [GOOD_REQUESTS[0], GOOD_REQUESTS[1], GOOD_REQUESTS[11]])
def test_every_beginning_is_incomplete(data):
    for end in range(len(data)):
        assert every_way(request, data[:end], trailing=False) == INCOMPLETE


def test_head_ends_where_the_next_begins():
    data = GOOD_REQUESTS[0] + b"POST /next HTTP/1.1\r\nHost: b\r\n\r\n"
    assert request(data, [])["len"] == len(GOOD_REQUESTS[0])


@pytest.mark.parametrize("data", BAD_REQUEST_LINES)
def test_bad_request_line_is_refused_at_its_first_wrong_byte(data):
    assert every_way(request, data, trailing=True) == 400
    assert every_way(request, data[:-1], trailing=False) == INCOMPLETE


@pytest.mark.parametrize("data", BAD_STATUS_LINES)
def test_bad_status_line_is_refused_at_its_first_wrong_byte(data):
    assert every_way(response, data, trailing=True) == 502
    assert every_way(response, data[:-1], trailing=False) == INCOMPLETE


@pytest.mark.parametrize("pieces", [[], [1] * 400], ids=["whole", "bytewise"])
@pytest.mark.parametrize(
    ("data", "bounds", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 300, {"max_bytes": 200}, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X" * 300, {"max_bytes": 200}, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n", {"max_bytes": 32}, 431),
        (b"GET /" + b"a" * 300, {"max_bytes": 200}, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {"max_bytes": 15}, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {"max_bytes": 16}, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {"max_bytes": 26}, 431),
        (b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {"max_target": 100}, 414),
        (b"GET /" + b"a" * 100, {"max_target": 100}, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nY: c\r\n\r\n", {"max_fields": 2}, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 129, {"max_fields": 60000}, 431),
        (b"GET / HTTP/1.1\r\n" + b"X" * 65536, {"max_bytes": 70000}, 431),
        (b"GET / HTTP/1.1\r\n" + b"X" * 65536 + b": a\r\n\r\n", {"max_bytes": 70000}, 431),
    ],
)
def test_bounds(data, bounds, status, pieces):
    assert _core._test_head(data, pieces, False, "GET", **bounds) == status


def test_bounds_are_exact():
    data = b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"
    bounds = {"max_bytes": len(data), "max_target": 2, "max_fields": 2}
    assert _core._test_head(data, [], False, "GET", **bounds)["len"] == len(data)
    assert _core._test_head(b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n", [], True, "GET", max_fields=1) == 502
    name = b"X" * 65535
    head = _core._test_head(b"HTTP/1.1 200 OK\r\n" + name + b": b\r\n\r\n", [30000], True, "GET", max_bytes=70000)
    assert fields_of(head) == [(name, b"b")]


TCHARS = "!#$%&'*+-.^_`|~09azAZ"
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=30)
NAMES = st.text(TCHARS, min_size=1, max_size=12).map(lambda text: b"N" + text.encode())
VALUES = st.binary(max_size=24).map(lambda raw: bytes(b for b in raw if (b > 31 and b != 127) or b == 9).strip(b" \t"))
SPACE = st.text(" \t", max_size=2).map(str.encode)
FIELDS = st.lists(st.tuples(NAMES, SPACE, VALUES, SPACE), max_size=8)
PIECES = st.lists(st.integers(1, 40), max_size=10)


@settings(deadline=None)
@given(st.sampled_from(sorted(oracle.METHODS)), TARGETS, FIELDS, PIECES)
def test_valid_head_parses_to_its_parts(method, target, fields, pieces):
    line = method + b" /" + target.encode() + b" HTTP/1.1\r\n"
    lines = b"".join(name + b":" + before + value + after + b"\r\n" for name, before, value, after in fields)
    head = request(line + b"Host: a\r\n" + lines + b"\r\n" + b"body", pieces)
    assert head["target"] == b"/" + target.encode()
    assert fields_of(head) == [(b"Host", b"a"), *((name, value) for name, _, value, _ in fields)]


NASTY = st.sampled_from(
    [b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b",", b"\x00", b"\x0b", b"\x7f", b"\x85", b"\xa0", b"_", b"#", b"/",
     b"X-Consumer-Username: root\r\n", b"Content-Length: 5\r\n", b"Content-Length: +5\r\n", b"chunked", b"HTTP/1.1",
     b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Host: b\r\n", b"Expect: 100-continue\r\n",
     b"Connection: close, x-a, upgrade\r\n", b"Upgrade: websocket\r\n", b"X-A: 1\r\n", b"X_Real_Ip: 1\r\n", b"http://b"]
)  # fmt: skip
REQUESTS = st.sampled_from(
    [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
     b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n", b"GET http://c/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"]
)  # fmt: skip
RESPONSES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", b"HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"]
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3), NASTY), max_size=4)


def edited(data: bytes, edits) -> bytes:
    """Replace `gone` bytes at each place by nasty ones."""
    for at, gone, nasty in edits:
        data = data[:at] + nasty + data[at + gone :]
    return data


@settings(max_examples=400, deadline=None)
@given(REQUESTS, EDITS, PIECES)
def test_request_as_the_oracle(data, edits, pieces):
    data = edited(data, edits)
    expected = oracle.request(data)
    head = request(data, pieces)
    if expected is None:
        assert isinstance(head, int), head
    else:
        agrees(head, expected)


@settings(max_examples=400, deadline=None)
@given(RESPONSES, EDITS, PIECES, st.sampled_from(["GET", "HEAD"]))
def test_response_as_the_oracle(data, edits, pieces, method):
    data = edited(data, edits)
    expected = oracle.response(data, method)
    head = _core._test_head(data, pieces, True, method)
    if expected is None:
        assert head in (INCOMPLETE, 502), head
    else:
        agrees(head, expected)


@settings(max_examples=400, deadline=None)
@given(REQUESTS | RESPONSES, EDITS)
def test_what_is_accepted_llhttp_reads_alike(data, edits):
    is_response = data.startswith(b"HTTP/")
    data = edited(data, edits)
    head = _core._test_head(data, [], is_response)
    if isinstance(head, dict):
        taken = llhttp.read(data[: head["len"]], is_response)
        assert taken.done
        assert taken.target == head["target"]
        assert taken.fields == fields_of(head)
