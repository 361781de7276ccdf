"""redirect's step: where clients are sent, and that requests have no say in the host."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins.check import check_plugin
from tests.oracle import http1
from tests.support.core import ask
from tests.unit.test_compile import Change, route


def told(
    conf: dict[str, Any], asked: str = "/a", *fields: str, method: str = "GET", host: str = "Host: h.test:81"
) -> tuple[int, str]:
    """Status and Location; 200 where the request goes upstream."""
    assert check_plugin("routes", "redirect", conf)[0] == []
    build = Compiler().apply([route("r", "/*", plugins={"redirect": conf})])
    assert build.faults == ()
    version = "HTTP/1.1" if host else "HTTP/1.0"
    head = [f"{method} {asked} {version}", *([host] if host else []), *fields, "", ""]
    _, got = ask(build.snapshot, "\r\n".join(head).encode("latin-1"))
    (answer,) = http1.answers(got, [method.encode()], closed=True)
    found = answer.values(b"location")
    assert len(found) <= 1
    return answer.status, found[0].decode("latin-1") if found else ""


@pytest.mark.parametrize(
    ("uri", "asked", "location"),
    [
        ("/there$request_uri", "/h/redir?a=1", "/there/h/redir?a=1"),  # APISIX 3.11, transcript H82
        ("https://$host$request_uri", "/a//b/%7e?x=%20", "https://h.test/a/b/~?x=%20"),
        ("https://$host:8443/x", "/a", "https://h.test:8443/x"),
        ("$scheme://$host:8080$uri", "/a?b", "http://h.test:8080/a"),
        ("${scheme}://x.test", "/a", "http://x.test"),
        ("https://x.test?u=$request_uri", "/a?b=1&c=2", "https://x.test?u=/a?b=1%26c=2"),
        ("https://x.test/#$uri", "/a", "https://x.test/#/a"),
        ("//x.test/y", "/a", "//x.test/y"),
        ("/ü b$uri", "/%20", "/%C3%BC%20b/%20"),
        (r"/\$uri", "/a", "/$uri"),
        ("$arg_to", "/a?to=https://evil.test/", "/https:%2F%2Fevil.test%2F"),
        ("$arg_to", "/a", "/"),
        ("/$arg_to", "/a?to=/evil.test", "/%2Fevil.test"),
        ("$uri", "//evil.test", "/evil.test"),
        ("/$uri", "/evil.test", "/evil.test"),
        ("/$uri", "/%5Cevil.test", "/%5Cevil.test"),
        ("https://$arg_h/", "/a?h=x.test/@y%23z", "https://x.test%2F%40y%23z/"),
        ("https://$arg_h.test/", "/a?h=a%0D%0Ab", "https://a%0D%0Ab.test/"),
        ("other", "/a", "other"),
        ("https://x.test$uri", "/a", "https://x.test/a"),
        ("https://x.test:8080$request_uri", "/a?b", "https://x.test:8080/a?b"),
    ],
)
def test_uri(uri: str, asked: str, location: str) -> None:
    assert told({"uri": uri}, asked) == (302, location)


@pytest.mark.parametrize(
    ("pair", "asked", "outcome"),
    [
        (["^/test/uri/(.*)/(.*)/(.*)", "/$1_$2_$3"], "/test/uri/1/2/3", (302, "/1_2_3")),
        (["^/old/(.*)", "https://x.test/$1"], "/old/a/b?c", (302, "https://x.test/a/b")),
        (["^/old(.*)", "/$1"], "/old/evil.test", (302, "/evil.test")),
        (["^/old/(.*)", "/?p=$1"], "/old/a&b", (302, "/?p=a%26b")),
        (["^/no/", "/x"], "/old/a", (200, "")),
        (["^(/.*)", "https://x.test$1"], "/a%20b", (302, "https://x.test/a%20b")),
        (["^/(.*)", "https://x.test$1"], "/@evil.test", (302, "https://x.test%40evil.test")),
        (["^/(.*)", "https://$1.x.test/"], "/evil.test%2F", (302, "https://evil.test%252F.x.test/")),
        (["old", "new"], "/old/a", (302, "/new/a")),
        (["^/(.*)", "$1"], "/https://evil.test", (302, "/https:/evil.test")),
    ],
)
def test_regex_uri(pair: list[str], asked: str, outcome: tuple[int, str]) -> None:
    assert told({"regex_uri": pair}, asked) == outcome


def test_status_and_query() -> None:
    assert told({"uri": "/x", "ret_code": 307}) == (307, "/x")
    append = {"append_query_string": True}
    assert told({"uri": "/x", **append}, "/a?b=%20&c") == (302, "/x?b=%20&c")
    assert told({"uri": "/x?y=1", **append}, "/a?b") == (302, "/x?y=1&b")
    assert told({"uri": "/x#y", **append}, "/a?b") == (302, "/x?b#y")
    assert told({"uri": "/x$request_uri", **append}, "/a?b") == (302, "/x/a?b&b")
    assert told({"uri": "/x", **append}, "/a") == (302, "/x")
    assert told({"uri": "/x y%20z", "encode_uri": True}) == (302, "/x%20y%20z")
    assert told({"regex_uri": ["^/a/(.*)", "/$1"], **append}, "/a/x?b") == (302, "/x?b")


def test_to_https() -> None:
    conf = {"http_to_https": True}
    assert told(conf, "/a/./b?c=%20") == (301, "https://h.test/a/b?c=%20")
    assert told(conf, method="HEAD") == (301, "https://h.test/a")
    assert told(conf, method="POST") == (308, "https://h.test/a")
    assert told(conf, "/a", "X-Forwarded-Proto: https") == (301, "https://h.test/a")
    assert told(conf, host="Host: [::1]:80") == (301, "https://[::1]/a")
    assert told(conf, host="")[0] == 400
    assert told({"http_to_https": False}) == (200, "")
    assert told({"http_to_https": True, "ret_code": 303})[0] == 301


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (["https"], 200),
        (["HTTPS"], 200),
        (["http"], 301),
        ([], 301),
        (["https", "http"], 301),
        (["https, http"], 301),
    ],
)
def test_what_a_trusted_proxy_says_counts(says: list[str], outcome: int) -> None:
    wire = _core.Wire(Compiler().apply([route("r", "/*", plugins={"redirect": {"http_to_https": True}})]).snapshot)
    line = wire.open(trusted=True)
    lines = "".join(f"X-Forwarded-Proto: {word}\r\n" for word in says)
    wire.push(line, f"GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    assert (len(wire.lines()) > 1) is (outcome == 200)
    if outcome != 200:
        assert wire.pull(line).startswith(b"HTTP/1.1 301 ")


def test_the_port_that_is_told() -> None:
    metadata = Change("plugin_metadata", "redirect", {"id": "redirect", "https_port": 8443})
    build = Compiler().apply([metadata, route("r", "/*", plugins={"redirect": {"http_to_https": True}})])
    _, got = ask(build.snapshot, b"GET /a HTTP/1.1\r\nHost: h:80\r\n\r\n")
    assert b"\r\nLocation: https://h:8443/a\r\n" in got


def test_a_redirect_ends_the_request_and_keeps_the_connection() -> None:
    build = Compiler().apply([route("r", "/*", plugins={"redirect": {"uri": "/x"}, "request-id": {}})])
    wire = _core.Wire(build.snapshot)
    line = wire.open()
    for _ in range(2):
        wire.push(line, b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
        got = wire.pull(line)
        assert b"\r\nX-Request-Id: " in got
        assert b"Connection: close" not in got
    assert len(wire.lines()) == 1


@given(st.text("/.%2eE05cC\\?#&=+;:@ az\t\x7f\x80\xff", max_size=24), st.text("/.%2eE05cC\\?#&=+:@ az\t\x80\xff", max_size=24))
def test_nothing_of_a_request_breaks_out(path: str, field: str) -> None:
    conf = {"regex_uri": ["^(.*)$", "$1$http_x?a=$1$arg_a$http_x"]}
    asked = "/" + "".join(char for char in path if char not in " \t\x7f#")
    status, location = told(conf, asked, f"X: {field}")
    assert status in (302, 400)
    if status == 302:
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))
        assert location.isascii()
        assert location.isprintable()
        assert " " not in location
