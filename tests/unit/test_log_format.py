"""The access log as text with variables, on memory: each variable, what is escaped, and what is never written."""

import re
import tempfile

import pytest

from fastgw import _core
from tests.support.core import OK, TOKEN, john, snapshot

APISIX = (
    '$remote_addr - $remote_user [$time_local] $http_host "$request" $status $body_bytes_sent $request_time "$http_referer" '
    '"$http_user_agent" $upstream_addr $upstream_status $upstream_response_time "$upstream_scheme://$upstream_host$upstream_uri" '
    '"$apisix_request_id"'
)


def line(text: str, request: bytes, *steps: _core.Step, json: bool = False, answer: bytes = OK) -> str:
    """What is logged of one exchange."""
    wire = _core.Wire(snapshot(*steps, credentials=(john(),)))
    with tempfile.TemporaryFile() as log:
        wire.access_log(log.fileno())
        wire.log_as(_core.LogFormat(text, json))
        wire.open()
        wire.run(0, request, answer, 1)
        wire.access_log(-1)
        log.seek(0)
        logged = log.read().decode()
    assert logged.endswith("\n")
    assert logged.count("\n") == 1
    return logged[:-1]


def test_the_default_of_apisix() -> None:
    request = b"GET /a/b?x=1 HTTP/1.1\r\nHost: h.test\r\nUser-Agent: u\r\nAuthorization: %s\r\n\r\n" % TOKEN
    told = line(APISIX, request, _core.RequestIdStep("rewrite"), _core.JwtAuthStep())
    form = (
        r"192\.0\.2\.1 - john \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        r'h\.test "GET /a/b\?x=1 HTTP/1\.1" 200 2 0\.000 '
        r'"-" "u" 127\.0\.0\.1:81 200 0\.000 "http://h\.test/a/b\?x=1" "[0-9a-f-]{36}"'
    )
    assert re.fullmatch(form, told), told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$time_iso8601", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"),
        ("$msec", r"\d+\.\d{3}"),
        ("${status}ms $request_body_bytes", "200ms 0"),
        ("$uri $args $arg_x $host $request_method $server_protocol", r"/a x=1 1 h GET HTTP/1\.1"),
        ("$route_id $matched_uri $credential_id $refused", "route - - -"),
        ("${http_x_none ?? nothing}", "nothing"),
        (r"\$status", r"\$status"),
        ("$upstream_header_time", r"0\.000"),
        ("$trace_id $span_id", "- -"),
        ("$server_port", r"\d+"),
    ],
)
def test_a_variable(text: str, told: str) -> None:
    found = line(text, b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert re.fullmatch(told, found), found


def test_a_trace_is_named() -> None:
    parent = b"00-%s-%s-01" % (b"a" * 32, b"b" * 16)
    assert (
        line("$trace_id $span_id", b"GET / HTTP/1.1\r\nHost: h\r\ntraceparent: %s\r\n\r\n" % parent) == f"{'a' * 32} {'b' * 16}"
    )


def test_no_value_forges_a_line() -> None:
    request = b'GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a"b\\c\tq\xff\r\n\r\n'
    assert line('"$http_user_agent"', request) == r'"a\x22b\x5Cc\x09q\xFF"'
    assert line('{"a":"$http_user_agent","b":"$http_none"}', request, json=True) == r'{"a":"a\"b\\c\u0009q\u00ff","b":""}'


def test_no_target_and_no_referer_ends_what_quotes_enclose() -> None:
    request = b'GET /a"b?c"d=1 HTTP/1.1\r\nHost: h\r\nReferer: x" 500 "\\?y="z\xe9\r\n\r\n'
    told = line('"$request" "$request_uri" "$args" "$upstream_uri" "$http_referer"', request)
    assert told == (
        r'"GET /a\x22b?c\x22d=1 HTTP/1.1" "/a\x22b?c\x22d=1" "c\x22d=1" "/a\x22b?c\x22d=1" "x\x22 500 \x22\x5C?y=\x22z\xE9"'
    )
    assert line('{"a":"$args"}', request, json=True) == r'{"a":"c\"d=1"}'


def test_what_is_refused_is_told() -> None:
    assert (
        line("$status $refused $upstream_addr", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", _core.JwtAuthStep()) == "401 jwt.no_token -"
    )


def test_a_request_that_is_none() -> None:
    assert line('"$request" $status $request_uri', b"GARBAGE\r\n\r\n").startswith('"-" 400 -')


def test_credentials_are_not_written() -> None:
    """Those that plugins take from arguments and headers, whatever the text asks for."""
    steps = (_core.KeyAuthStep(header="X-Own-Key", query="own_key"),)
    request = b"GET /?own_key=s3cret&b=2 HTTP/1.1\r\nHost: h\r\nX-Own-Key: s3cret\r\n\r\n"
    told = line("$request|$request_uri|$args|$arg_own_key|$http_x_own_key|$arg_b", request, *steps)
    assert "s3cret" not in told
    assert told == "GET /?own_key=***&b=2 HTTP/1.1|/?own_key=***&b=2|own_key=***&b=2|***|***|2"


def test_what_data_mask_hides_is_not_told_by_the_way_upstream() -> None:
    request = b"GET /a?masked_arg=s3cret&b=2 HTTP/1.1\r\nHost: h.test\r\n\r\n"
    for masked, shown in ((b"masked_arg=*", "/a?masked_arg=*"), (b"", "/a")):
        step = _core.PythonStep("data-mask", "log", lambda query, request: _core.ledger_query(request, query), masked)
        told = line("$request_uri|$upstream_uri|$upstream_host", request, step)
        assert told == f"{shown}|{shown}|h.test"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("$nobody", "$nobody is unknown"),
        ("$http_authorization", "$http_authorization bears credentials, which are never logged"),
        ("$http_Authorization", "bears credentials"),
        ("${cookie_session}", "bears credentials"),
        ("$http_cookie", "bears credentials"),
        ("$http_x_auth_token", "bears credentials"),
        ("$post_arg_x", "is of the body"),
    ],
)
def test_a_text_that_cannot_be_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        _core.LogFormat(text)


@pytest.mark.parametrize(
    "bad", [b"GET /b HTTP/1.1\r\nno field\r\n\r\n", b"GET /b HTTP/1.1\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"]
)
def test_a_request_that_is_none_has_nothing_of_an_earlier_one(bad: bytes) -> None:
    wire = _core.Wire(snapshot())
    with tempfile.TemporaryFile() as log:
        wire.access_log(log.fileno())
        wire.log_as(_core.LogFormat("$status $uri"))
        line = wire.open()
        wire.run(line, b"GET /secret/%41 HTTP/1.1\r\nHost: h\r\n\r\n", OK, 1)
        wire.push(line, bad)
        assert wire.pull(line).startswith(b"HTTP/1.1 400 ")
        wire.access_log(-1)
        log.seek(0)
        assert log.read().decode().splitlines() == ["200 /secret/A", "400 -"]


def test_a_referer_has_no_credential() -> None:
    """The page before was asked with one, as the next is."""
    request = b'GET /a HTTP/1.1\r\nHost: h\r\nReferer: https://h/b?x=1&apikey=kims-key&y="\r\n\r\n'
    _core.KeyAuthStep()  # says that its argument is a credential
    for json, quote in ((False, r"\x22"), (True, r"\"")):
        assert line("$http_referer", request, json=json) == f"https://h/b?x=1&apikey=***&y={quote}"
    request = b"GET /a HTTP/1.1\r\nHost: h\r\nX-Original-URL: /b?apikey=kims-key\r\nX-A: a?b\r\n\r\n"
    assert line("$http_x_original_url $http_x_a", request) == "/b?apikey=*** a?b"
