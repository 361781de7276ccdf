"""What a head means: body, persistence, upgrade, what must not cross; and what is refused for its meaning.

Owns: the framing room. Heads that are none by their bytes are test_head's.
"""

import pytest

from fastgw import _core
from tests.oracle import head as oracle
from tests.support.pieces import every_way

NONE, LENGTH, CHUNKED, UNTIL_CLOSE, TUNNEL = range(5)


def head_of(line: bytes, fields: list[bytes]) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def request(*fields: bytes, line: bytes = b"POST / HTTP/1.1", host: bytes = b"Host: a"):
    data = head_of(line, [host, *fields] if host else list(fields))
    verdict = every_way(lambda data, pieces: _core._test_head(data, pieces, False), data, trailing=True)
    agree(verdict, oracle.request(data))
    return verdict


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK", method: str = "GET"):
    data = head_of(line, list(fields))
    verdict = every_way(lambda data, pieces: _core._test_head(data, pieces, True, method), data, trailing=True)
    agree(verdict, oracle.response(data, method))
    return verdict


def agree(verdict, expected) -> None:
    assert isinstance(verdict, int) == (expected is None)
    if expected is not None:
        assert {name: verdict[name] for name in expected} == expected


def crossing(head) -> list[bytes]:
    return [name for name, _, dropped in head["fields"] if not dropped]


# --- body of a request ---


@pytest.mark.parametrize(
    ("fields", "body", "length"),
    [
        ([], NONE, -1),
        ([b"Content-Length: 0"], NONE, 0),
        ([b"Content-Length: 5"], LENGTH, 5),
        ([b"Content-Length:5  "], LENGTH, 5),
        ([b"content-length: 0005"], LENGTH, 5),
        ([b"Content-Length: 9223372036854775807"], LENGTH, 2**63 - 1),
        ([b"Transfer-Encoding: chunked"], CHUNKED, -1),
        ([b"transfer-encoding:Chunked "], CHUNKED, -1),
        ([b"Content_Length: 7"], NONE, -1),
        ([b"Transfer.Encoding: chunked", b"Content-Length: 5"], LENGTH, 5),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_request_body(method, fields, body, length):
    head = request(*fields, line=method + b" / HTTP/1.1")
    assert (head["body"], head["length"]) == (body, length)


BAD_LENGTHS = [
    b"", b" ", b"+5", b"-5", b"-0", b"5 5", b"5,5", b"5, 5", b"5;", b"5.0", b"0x5", b"5e0", b"1_0", b"five", b'"5"',
    b"\t5", b"5\t", b"\xd9\xa5", b"\xb2", b"9223372036854775808", b"18446744073709551616", b"18446744073709551621",
    b"9" * 40,
]  # fmt: skip
BAD_CODINGS = [
    b"", b"xchunked", b"chunked, identity", b"identity, chunked", b"identity", b"gzip", b"gzip, chunked",
    b"chunked, chunked", b"chunked,", b",chunked", b'"chunked"', b"chunked;q=1", b"chunked x", b"\tchunked",
    b"chunked\t", b"chunke", b"chunkedd", b"x", b"ch\xfcnked", b"\xa0chunked", b"chun ked", b"CHUNKED, CHUNKED",
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_LENGTHS)
def test_bad_length(value):
    assert request(b"Content-Length: " + value) == 400
    assert response(b"Content-Length: " + value) == 502


@pytest.mark.parametrize("value", BAD_CODINGS)
def test_bad_coding(value):
    assert request(b"Transfer-Encoding: " + value) in (400, 501)
    assert response(b"Transfer-Encoding: " + value) == 502


@pytest.mark.parametrize("value", [b"gzip", b"xchunked", b"identity", b"gzip, chunked"])
def test_unknown_coding_is_not_implemented(value):
    assert request(b"Transfer-Encoding: " + value) == 501


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"content-length: 5", b"CONTENT-LENGTH: 5"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding:"],
        [b"Transfer-Encoding: identity", b"Content-Length: 5"],
    ],
)
def test_lengths_and_codings_that_contradict(fields):
    assert request(*fields) == 400
    assert response(*fields) == 502


def test_coding_belongs_to_http_11():
    assert request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") == 400
    assert response(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK") == 502


# --- target and Host ---


@pytest.mark.parametrize(
    "line",
    [
        b"GET /?a=http://b/ HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://b/c HTTP/1.1",
        b"GET HTTP://B:80 HTTP/1.1",
        b"GET https://b?c HTTP/1.1",
        b"GET http://[::1]:80/ HTTP/1.1",
    ],
)
def test_good_target(line):
    assert isinstance(request(line=line), dict)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET * HTTP/1.1", 400),
        (b"POST * HTTP/1.1", 400),
        (b"OPTIONS ** HTTP/1.1", 400),
        (b"OPTIONS *a HTTP/1.1", 400),
        (b"GET /#a HTTP/1.1", 400),
        (b"GET /?# HTTP/1.1", 400),
        (b"GET http:// HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://?a HTTP/1.1", 400),
        (b"GET http://u@b/ HTTP/1.1", 400),
        (b"GET http://b:x/ HTTP/1.1", 400),
        (b"GET http://b,c/ HTTP/1.1", 400),
        (b"GET http:/b HTTP/1.1", 400),
        (b"GET ftp://b/ HTTP/1.1", 400),
        (b"GET a/b HTTP/1.1", 400),
        (b"GET b:80 HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"CONNECT b:80 HTTP/1.1", 405),
        (b"TRACE / HTTP/1.1", 405),
    ],
)
def test_bad_target(line, status):
    assert request(line=line) == status


@pytest.mark.parametrize(
    "value",
    [b"a", b"a:80", b"A.Example:8080", b"127.0.0.1", b"[::1]", b"[2001:db8::1]:443", b"a.", b"a_b", b"\ta"],
)
def test_good_host(value):
    assert isinstance(request(host=b"Host: " + value), dict)


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"a b", b"a,b", b"a, b", b"u@a", b"u:p@a", b"a/b", b"/", b"a?b", b"a#b", b"a\\b", b'"a"', b"'a'",
        b"a\x80", b"\xc3\xa9", b"a:b", b"a:80:80", b"a:-1", b"a:99999", b"a:8 0", b":80", b"[::1", b"::1", b"[::1]a",
        b"a[", b"http://a", b"a\tb", b"a%00", b"a..b", b".a", b"<a>", b"a;b", b"a=b", b"a&b", b"*",
    ],
)  # fmt: skip
def test_bad_host(value):
    assert request(host=b"Host: " + value) == 400
    assert request(host=b"Host: " + value, line=b"GET http://b/ HTTP/1.1") == 400


def test_host_is_there_once():
    assert request(host=b"") == 400
    assert request(b"Host: a") == 400
    assert request(b"Host: b") == 400
    assert request(b"HOST: a", line=b"POST / HTTP/1.0") == 400
    assert request(host=b"", line=b"GET http://a/ HTTP/1.1") == 400
    assert request(host=b"Host_: a") == 400
    assert isinstance(request(host=b"", line=b"GET / HTTP/1.0"), dict)


# --- persistence, upgrade, expectation ---


@pytest.mark.parametrize(
    ("minor", "fields", "keeps"),
    [
        (b"1", [], True),
        (b"1", [b"Connection: close"], False),
        (b"1", [b"Connection: CLOSE"], False),
        (b"1", [b"Connection: x , close,,"], False),
        (b"1", [b"Connection: keep-alive", b"Connection: close"], False),
        (b"1", [b"Connection: closed"], True),
        (b"1", [b'Connection: "close"'], True),
        (b"1", [b"Proxy-Connection: close"], True),
        (b"0", [], False),
        (b"0", [b"Connection: keep-alive"], True),
        (b"0", [b"Connection: Keep-Alive, close"], False),
        (b"0", [b"Proxy-Connection: keep-alive"], False),
        (b"0", [b"Keep-Alive: timeout=5"], False),
    ],
)
def test_keep_alive(minor, fields, keeps):
    assert request(*fields, line=b"POST / HTTP/1." + minor)["keep_alive"] is keeps
    assert response(*fields, b"Content-Length: 1", line=b"HTTP/1." + minor + b" 200 OK")["keep_alive"] is keeps


UPGRADE, WEBSOCKET = b"Connection: upgrade", b"Upgrade: websocket"


@pytest.mark.parametrize(
    ("fields", "upgrades"),
    [
        ([UPGRADE, WEBSOCKET], True),
        ([b"Connection: keep-alive, Upgrade", b"upgrade: a/1.0"], True),
        ([UPGRADE], False),
        ([WEBSOCKET], False),
        ([b"Connection: close", WEBSOCKET], False),
        ([UPGRADE, b"Upgrade:"], False),
        ([UPGRADE, b"Upgrade: websocket, a"], False),
        ([UPGRADE, WEBSOCKET, WEBSOCKET], False),
        ([UPGRADE, b"Upgrade: h2c"], False),
        ([UPGRADE, b"Upgrade: H2C", b"HTTP2-Settings: a"], False),
        ([UPGRADE, WEBSOCKET, b"HTTP2-Settings: a"], False),
        ([UPGRADE, b"Upgrade: h2c/1"], False),
        ([UPGRADE, b"Upgrade: h2"], False),
        ([UPGRADE, b"Upgrade: HTTP/1.1"], False),
        ([UPGRADE, b"Upgrade: tls/1.2"], False),
        ([UPGRADE, b"Upgrade: httpx/1.1"], True),
        ([UPGRADE, b"Upgrade: a"], True),
        ([UPGRADE, b"Upgrade: /a"], False),
        ([UPGRADE, b"Upgrade: a/"], False),
        ([UPGRADE, b"Upgrade: a/b/c"], False),
        ([UPGRADE, b"Upgrade: a b"], False),
    ],
)
def test_upgrade(fields, upgrades):
    head = request(*fields)
    assert head["upgrade"] is upgrades
    assert crossing(head) == []
    assert request(*fields, line=b"GET / HTTP/1.0")["upgrade"] is False
    assert response(*fields)["upgrade"] is False
    switched = response(*fields, line=b"HTTP/1.1 101 Switching Protocols")
    assert switched["upgrade"] if upgrades else switched == 502


@pytest.mark.parametrize(
    ("line", "fields", "body"),
    [
        (b"GET / HTTP/1.1", [WEBSOCKET], TUNNEL),
        (b"GET / HTTP/1.1", [b"Upgrade: WebSocket", b"Content-Length: 0"], TUNNEL),
        (b"GET / HTTP/1.1", [WEBSOCKET, b"Expect: 100-continue"], TUNNEL),
        (b"GET / HTTP/1.1", [WEBSOCKET, b"Content-Length: 1"], LENGTH),
        (b"GET / HTTP/1.1", [WEBSOCKET, b"Transfer-Encoding: chunked"], CHUNKED),
        (b"GET / HTTP/1.0", [WEBSOCKET], NONE),
        (b"POST / HTTP/1.1", [WEBSOCKET], NONE),
        (b"POST / HTTP/1.1", [b"Upgrade: WEBSOCKET"], NONE),
        (b"POST / HTTP/1.1", [b"Upgrade: SPDY/3.1"], TUNNEL),
        (b"GET / HTTP/1.1", [b"Upgrade: h2c"], NONE),
    ],
)
def test_what_may_become_a_tunnel(line, fields, body):
    head = request(UPGRADE, *fields, line=line)
    assert head["body"] == body
    assert head["expect_continue"] is False


@pytest.mark.parametrize("line", [b"OPTIONS / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"OPTIONS / HTTP/1.0"])
@pytest.mark.parametrize(
    ("hops", "status"),
    [
        ([b"0"], 0), ([b"000"], 0), ([b"7"], 0), ([b"99999999999999999999999999"], 0), ([], 0),
        ([b""], 400), ([b"-1"], 400), ([b"+1"], 400), ([b"1.0"], 400), ([b"0x1"], 400), ([b"1 1"], 400), ([b"1, 1"], 400),
        ([b"1", b"1"], 400), ([b"0", b"1"], 400), ([b"\xb2"], 400),
    ],
)  # fmt: skip
def test_max_forwards_of_options_is_one_number(line, hops, status):
    found = request(*(b"Max-Forwards: " + each for each in hops), line=line)
    assert found == status if status else isinstance(found, dict)
    assert isinstance(request(*(b"Max-Forwards: " + each for each in hops)), dict)  # of others it is a field as any other


@pytest.mark.parametrize(
    ("fields", "continues"),
    [
        ([], False),
        ([b"Expect: 100-continue", b"Content-Length: 5"], True),
        ([b"expect: 100-Continue ", b"Transfer-Encoding: chunked"], True),
        ([b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5"], True),
        ([b"Expect: 100-continue"], False),
        ([b"Expect: 100-continue", b"Content-Length: 0"], False),
    ],
)
def test_expect(fields, continues):
    assert request(*fields)["expect_continue"] is continues
    assert request(*[f for f in fields if b"chunked" not in f], line=b"PUT / HTTP/1.0")["expect_continue"] is False


@pytest.mark.parametrize("value", [b"", b"200-ok", b"100-continue, x", b"100-continue;a", b"100", b"1000-continue"])
def test_other_expectations_fail(value):
    assert request(b"Expect: " + value) == 417
    assert request(b"Expect: 100-continue", b"Expect: " + value) == 417


# --- what crosses ---

HOP_BY_HOP = [
    b"Connection: x", b"Keep-Alive: a", b"Proxy-Connection: a", b"Proxy-Authorization: a", b"Proxy-Authenticate: a",
    b"TE: trailers", b"Trailer: a", b"Upgrade: a", b"HTTP2-Settings: a", b"Content-Length: 0",
]  # fmt: skip
CLIENTS_WORD = [
    b"Expect: 100-continue", b"Forwarded: for=a", b"X-Real-IP: a", b"X-Forwarded-For: a", b"X-Forwarded-Proto: a",
    b"X-Forwarded-Host: a", b"X-Forwarded-Port: a", b"X-Forwarded-Prefix: a", b"X-Consumer-Username: a",
    b"X-Credential-Identifier: a", b"X-Consumer-Custom-ID: a", b"X-Consumer-Groups: a",
]  # fmt: skip
END_TO_END = [
    b"Authorization: a", b"Cookie: a", b"Content-Type: a", b"User-Agent: a", b"Referer: a", b"Server: a", b"Date: a",
    b"X-Request-ID: a", b"Max-Forwards: 1", b"Accept: a", b"Set-Cookie: a", b"X-Other: a", b"under_score: a", b"Via: a",
]  # fmt: skip


def names(fields: list[bytes]) -> list[bytes]:
    return [field.split(b":")[0] for field in fields]


def test_what_crosses():
    assert crossing(request(*HOP_BY_HOP, *CLIENTS_WORD, *END_TO_END)) == names(END_TO_END)
    answered = [field for field in CLIENTS_WORD if b"Expect" not in field]
    assert crossing(response(*HOP_BY_HOP, *answered, *END_TO_END)) == names(answered + END_TO_END)


@pytest.mark.parametrize("separator", [b"_", b".", b"~"])
def test_twins_of_known_names_never_cross(separator):
    twins = [name.replace(b"-", separator) + b": a" for name in names(HOP_BY_HOP + CLIENTS_WORD + END_TO_END[:9]) if b"-" in name]
    assert len(twins) > 15
    head = request(*twins)
    assert crossing(head) == []
    assert (head["body"], head["expect_continue"]) == (NONE, False)
    assert crossing(response(*twins)) == []


@pytest.mark.parametrize("name", [b"x-consumer-username", b"X-CONSUMER-USERNAME", b"X_Consumer-Username"])
def test_identity_is_dropped_however_often_it_is_said(name):
    assert crossing(request(name + b": a", b"X-A: b", name + b": c")) == [b"X-A"]


def test_the_first_of_a_name_is_the_one_that_is_found():
    forwarded = [b"X-Forwarded-Abc: 1", b"X-Forwarded-Proto: 1", b"X-Forwarded-Abcd: 2", b"X-Forwarded-Proto: 2"]
    twice = [*END_TO_END, *forwarded, *END_TO_END]
    known = [*range(1, 10), len(END_TO_END) + 1, len(END_TO_END) + 2]
    assert request(*twice)["first"] == [0, *known]
    assert response(*twice)["first"] == [i - 1 for i in known]


def test_named_by_connection():
    fields = [b"X-A: 1", b"x-a: 2", b"X-B: 3", b"X-C: 4", b"X_A: 5"]
    assert crossing(request(b"Connection: X-A, close", b"Connection: \tx-b ,", *fields)) == [b"X-C", b"X_A"]
    assert crossing(response(b"Connection: X-A, x-b", *fields)) == [b"X-C", b"X_A"]


def test_connection_cannot_remove_what_is_relied_on():
    listed = b"Connection: Host, " + b", ".join(names(END_TO_END[:9]))
    head = request(listed, b"Connection: content-length, x-forwarded-for", *END_TO_END[:9], b"Content-Length: 5")
    assert crossing(head) == names(END_TO_END[:9])
    assert (head["body"], head["length"]) == (LENGTH, 5)


def test_connection_options_are_bounded():
    assert isinstance(request(b"Connection: " + b"a," * 32), dict)
    assert request(b"Connection: " + b"a," * 33) == 400
    assert request(b"Connection: " + b"a," * 16, b"Connection: " + b"b," * 17) == 400
    assert isinstance(request(b"Connection: " + b" ,\t," * 400), dict)
    assert response(b"Connection: " + b"a," * 33) == 502


# --- body of an answer ---


@pytest.mark.parametrize(
    ("status", "method", "fields", "body", "length", "keeps"),
    [
        (200, "GET", [b"Content-Length: 5"], LENGTH, 5, True),
        (200, "GET", [b"Content-Length: 0"], NONE, 0, True),
        (200, "GET", [b"Transfer-Encoding: chunked"], CHUNKED, -1, True),
        (200, "GET", [], UNTIL_CLOSE, -1, False),
        (200, "POST", [b"Connection: keep-alive"], UNTIL_CLOSE, -1, False),
        (500, "GET", [], UNTIL_CLOSE, -1, False),
        (200, "HEAD", [b"Content-Length: 5"], NONE, 5, True),
        (200, "HEAD", [b"Transfer-Encoding: chunked"], NONE, -1, True),
        (200, "HEAD", [], NONE, -1, True),
        (304, "GET", [b"Content-Length: 5"], NONE, 5, True),
        (304, "GET", [], NONE, -1, True),
        (204, "GET", [b"Content-Length: 5"], NONE, -1, False),
        (204, "GET", [b"Content-Length: 0"], NONE, -1, True),
        (204, "GET", [b"Transfer-Encoding: chunked"], NONE, -1, False),
        (204, "GET", [], NONE, -1, True),
        (100, "POST", [], NONE, -1, True),
        (103, "GET", [b"Link: a", b"Content-Length: 5"], NONE, -1, True),
        (205, "GET", [b"Content-Length: 0"], NONE, 0, True),
    ],
)
def test_answer_body(status, method, fields, body, length, keeps):
    head = response(*fields, line=b"HTTP/1.1 %d Reason" % status, method=method)
    assert (head["body"], head["length"], head["keep_alive"]) == (body, length, keeps)


@pytest.mark.parametrize("status", [204, 304])
def test_bad_length_is_bad_without_a_body_too(status):
    assert response(b"Content-Length: x", line=b"HTTP/1.1 %d Reason" % status) == 502
    assert response(b"Content-Length: x", method="HEAD") == 502
