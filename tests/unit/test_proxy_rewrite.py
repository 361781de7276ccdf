"""proxy-rewrite's step: what the upstream is asked, of lawful requests and of those that want more than they may."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins.check import check_plugin
from tests.oracle import http1
from tests.support.core import OK, ask, snapshot
from tests.unit.test_compile import Change, consumer, route


def served(conf: dict[str, Any], path: str = "/*", **others: Any) -> _core.Snapshot:
    assert check_plugin("routes", "proxy-rewrite", conf)[0] == []
    build = Compiler().apply([*consumer("john"), route("r", path, plugins={"proxy-rewrite": conf, **others})])
    assert build.faults == ()
    return build.snapshot


def sent(conf: dict[str, Any], target: str = "/a", *fields: str, method: str = "GET", path: str = "/*") -> str:
    """The head that the upstream gets; what the client gets where it is not asked."""
    request = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: h.test:81", *fields, "", ""]).encode("latin-1")
    up, down = ask(served(conf, path), request)
    return (up or down).decode("latin-1")


def target(conf: dict[str, Any], asked: str = "/a", *fields: str, **more: Any) -> str:
    line = sent(conf, asked, *fields, **more).partition("\r\n")[0]
    return line.split(" ")[1] if line.endswith(" HTTP/1.1") else line.removeprefix("HTTP/1.1 ")


def values(head: str, name: str) -> list[str]:
    lines = (line.partition(": ") for line in head.split("\r\n"))
    return [value for found, _, value in lines if found.lower() == name.lower()]


# ---- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "asked", "made"),
    [
        ("/new", "/a", "/new"),
        ("/new", "/a?x=1&y=%20", "/new?x=1&y=%20"),
        ("/new", "/a?", "/new"),
        ("/new?own=1", "/a", "/new?own=1"),
        ("/new?own=1", "/a?x=1", "/new?own=1&x=1"),
        ("/new?", "/a?x=1", "/new?&x=1"),
        ("/a b/ü/%41%2f%", "/a", "/a%20b/%C3%BC/A%2F%25"),
        ("/a/../b//c/.", "/a", "/b/c/"),
        ("/p$uri", "/a/%2e%62", "/p/a/.b"),
        ("/p$uri", "/a%2Fb%3Fc", "/p/a%2Fb%3Fc"),
        ("/p$uri/", "/a/", "/p/a/"),
        ("/${uri}x", "/a", "/ax"),
        ("/p$request_uri", "/a?x=1", "/p/a%3Fx=1?x=1"),
        ("/$arg_x", "/a?x=b%2Fc", "/b%2Fc?x=b%2Fc"),
        ("/$arg_x", "/a?x=b/c+d", "/b%2Fc%20d?x=b/c+d"),
        ("/$arg_x/z", "/a", "/z"),
        ("/${arg_x ?? none}", "/a", "/none"),
        (r"/\$arg_x", "/a?x=1", "/$arg_x?x=1"),
        ("/$host/$request_method", "/a", "/h.test/GET"),
        ("/x?u=$uri", "/a%20b&c", "/x?u=/a%20b%26c"),
        ("/x?u=$request_uri", "/a%20b?c=1+2", "/x?u=/a%2520b?c=1%2B2&c=1+2"),
        ("/x?$args", "/a?c=1+2%26", "/x?c=1+2%26&c=1+2%26"),
        ("/x?y=$arg_c", "/a?c=1+2%26", "/x?y=1+2%26&c=1+2%26"),
        ("/x#y", "/a", "/x%23y"),
    ],
)
def test_uri(uri: str, asked: str, made: str) -> None:
    assert target({"uri": uri}, asked) == made


def test_parameters_of_the_route() -> None:
    assert target({"uri": "/$uri_param_rest"}, "/p/a/%3Fb", path="/p/*rest") == "/a/%3Fb"


@pytest.mark.parametrize(
    ("pairs", "asked", "made"),
    [
        (["^/a/(.*)", "/b/$1"], "/a/x/y?z=1", "/b/x/y?z=1"),
        (["^/a/(.*)", "/b/${1}.html"], "/a/x", "/b/x.html"),
        (["^/a/(.*)", "/b/$1"], "/a/%3Fx=1", "/b/%3Fx=1"),
        (["^/a/(.*)", "/b/$1"], "/a/x%2Fy%20%25", "/b/x%2Fy%20%25"),
        (["^/([^/]+)/([^/]+)/(.*)", "/$3?one=$1&two=$2"], "/a/b%26c/d?e=1", "/d?one=a&two=b%26c&e=1"),
        (["^/([^/]+)/([^/]+)", "/x?one=$1"], "/a&b+c/d/e", "/x?one=a%26b%2Bc/e"),
        (["a", "b"], "/xay/a", "/xby/a"),
        (["^/a", ""], "/a/x", "/x"),
        (["^/a", "/"], "/a/x", "/x"),
        (["^/a/(x)?", "/$1"], "/a/", "/"),
        (["^.*$", "no-slash"], "/a", "/no-slash"),
        (["^.*$", "$$1"], "/a", "/$1"),
        (["^/n/(.*)", "/1/$1", "^/a/(.*)", "/2/$1"], "/a/x", "/2/x"),
        (["^/a/(.*)", "/1/$1", "^/a/(.*)", "/2/$1"], "/a/x", "/1/x"),
        (["^/n/(.*)", "/1/$1"], "/a/x?y", "/a/x?y"),
        (["^/n/(.*)", "/1/$1"], "/a/%78?y", "/a/x?y"),
        (["^/a/(.*)", "/$host/$1"], "/a/x", "/h.test/x"),
    ],
)
def test_regex_uri(pairs: list[str], asked: str, made: str) -> None:
    assert target({"regex_uri": pairs}, asked) == made


def test_uri_goes_before_regex_uri() -> None:
    assert target({"uri": "/u", "regex_uri": ["^/a", "/r"]}) == "/u"


@pytest.mark.parametrize(
    ("conf", "asked"),
    [
        ({"regex_uri": ["^/f-(.*)", "/files/$1"]}, "/f-../admin"),
        ({"regex_uri": ["^/f-(.*)", "/files/$1"]}, "/f-%2e%2E/admin"),
        ({"regex_uri": ["^/f(.*)", "/.$1"]}, "/f./admin"),
        ({"uri": "/files/$arg_f"}, "/a?f=.."),
        ({"uri": "/files/$arg_f/x"}, "/a?f=%2e%2e"),
        ({"uri": "/files/.$arg_f"}, "/a?f=."),
        ({"uri": "/files/$arg_f"}, "/a?f=%00"),
        ({"uri": "/files/$real_request_uri"}, "/a/../b"),
    ],
)
def test_what_would_climb_is_refused(conf: dict[str, Any], asked: str) -> None:
    assert target(conf, asked) == "400 Bad Request"


def test_a_variable_that_is_no_path_stays_in_its_segment() -> None:
    assert target({"uri": "/t/$http_x/d"}, "/a", "X: ../../admin?x#y z") == "/t/..%2F..%2Fadmin%3Fx%23y%20z/d"
    assert target({"uri": "/t/$http_x/d"}, "/a", "X: %2F..\\") == "/t/%252F..%5C/d"
    assert target({"uri": "/t?q=$http_x"}, "/a", "X: a&b=c#d e+f%41;") == "/t?q=a%26b=c%23d%20e%2Bf%2541%3B"
    assert target({"uri": "/t/$cookie_c"}, "/a", "Cookie: c=a/b") == "/t/a%2Fb"


def test_what_gets_too_long_is_refused() -> None:
    assert target({"uri": "/" + "$uri" * 1000}, "/" + "a" * 100) == "414 URI Too Long"


def test_without_a_new_path_the_normal_form_goes_upstream() -> None:
    conf = {"headers": {"X-A": "1"}}
    assert target(conf, "/a/./b//c/%7E?x=/../") == "/a/b/c/~?x=/../"
    assert target(conf, "/a%2fb") == "/a%2Fb"
    assert target({"use_real_request_uri_unsafe": True}, "/a/./b//c/%7E?x") == "/a/./b//c/%7E?x"


@pytest.mark.parametrize(
    ("conf", "asked", "made"),
    [
        ({"regex_uri": ["^/a/(.*)", "/b/$1"]}, "/a/../x//y?z=1", "/b/../x//y?z=1"),
        ({"regex_uri": ["^/n", "/"]}, "/a/%2e?z=1", "/a/%2e?z=1"),
        ({"regex_uri": [r"z=(\d)", "q=$1"]}, "/a?z=1", "/a?q=1"),
        ({"regex_uri": ["^/a", ""]}, "/a", "/"),
        ({"uri": "/u"}, "/a/./b?z=1", "/u?z=1"),
    ],
)
def test_the_real_uri(conf: dict[str, Any], asked: str, made: str) -> None:
    assert target({**conf, "use_real_request_uri_unsafe": True}, asked) == made


def test_an_argument_that_a_step_has_hidden_stays_hidden() -> None:
    key = {"key-auth": {"query": "k", "hide_credentials": True}}
    credential = Change("credentials", "john/k", {"id": "k", "plugins": {"key-auth": {"key": "s3"}}})
    for conf, made in (
        ({"uri": "/u"}, b"GET /u?a=1&b=2 "),
        ({"uri": "/u?all=$request_uri"}, b"GET /u?all=/x?a=1%26b=2&a=1&b=2 "),
        ({"uri": "/u?$args"}, b"GET /u?a=1&b=2&a=1&b=2 "),
        ({"regex_uri": ["^/x", "/y"], "use_real_request_uri_unsafe": True}, b"GET /y?a=1&b=2 "),
        ({"method": "GET"}, b"GET /x?a=1&b=2 "),
    ):
        changes = [*consumer("john"), credential, route("r", "/*", plugins={**key, "proxy-rewrite": conf})]
        up, _ = ask(Compiler().apply(changes).snapshot, b"GET /x?a=1&k=s3&b=2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert up.startswith(made)


# ---- host, method --------------------------------------------------------------------------------


def test_host() -> None:
    head = sent({"host": "up.test:8080"})
    assert values(head, "Host") == ["up.test:8080"]
    assert values(head, "X-Forwarded-Host") == ["h.test:81"]
    assert target({"host": "up.test", "uri": "/$host"}) == "/h.test"


@pytest.mark.parametrize("pass_host", ["node", "rewrite"])
def test_an_upstream_that_says_who_is_asked_has_the_last_word(pass_host: str) -> None:
    up = {"nodes": {"127.0.0.1:81": 1}, "pass_host": pass_host, "upstream_host": "fixed.test"}
    snapshot = Compiler().apply([route("r", "/*", plugins={"proxy-rewrite": {"host": "x.test"}}, upstream=up)]).snapshot
    head = ask(snapshot, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")[0].decode()
    assert values(head, "Host") == ["127.0.0.1:81" if pass_host == "node" else "fixed.test"]


def test_the_host_is_of_one_request() -> None:
    wire = _core.Wire(
        Compiler().apply([route("a", "/a", plugins={"proxy-rewrite": {"host": "x.test"}}), route("b", "/b")]).snapshot
    )
    line = wire.open()
    for path, host in (("a", b"x.test"), ("b", b"h"), ("a", b"x.test")):
        wire.push(line, b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
        assert b"\r\nHost: %b\r\n" % host in wire.pull(1)
        wire.push(1, OK)


def test_method() -> None:
    post = sent({"method": "POST"})
    assert post.startswith("POST /a HTTP/1.1\r\n")
    assert values(post, "Content-Length") == ["0"]
    assert values(sent({"method": "PROPFIND"}), "Content-Length") == []
    assert target({"method": "GET", "uri": "/$request_method"}, method="PUT") == "/PUT"


def exchange(conf: dict[str, Any], request: bytes, answer: bytes) -> tuple[bytes, bytes, bool]:
    """What the upstream saw, what the client got, and whether the upstream's connection is kept."""
    wire = _core.Wire(served(conf))
    line = wire.open()
    wire.push(line, request)
    up = wire.pull(1)
    wire.push(1, answer)
    return up, wire.pull(line), {number: is_open for number, _, is_open in wire.lines()}[1]


def test_a_body_goes_with_any_method() -> None:
    up, _, _ = exchange({"method": "GET"}, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", OK)
    assert up.startswith(b"GET / HTTP/1.1\r\n")
    assert up.endswith(b"Content-Length: 2\r\n\r\nhi")


def test_head_is_answered_without_a_body_whatever_was_asked() -> None:
    for answer in (OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"):
        _, got, kept = exchange({"method": "GET"}, b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", answer)
        assert got.endswith(b"\r\n\r\n")
        assert (b"Content-Length: 2\r\n" in got) is (answer == OK)
        assert not kept


def test_an_answer_to_head_is_whole_for_who_did_not_ask_for_one() -> None:
    _, got, kept = exchange(
        {"method": "HEAD"}, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"
    )
    assert b"\r\nContent-Length: 0\r\n" in got
    assert got.endswith(b"\r\n\r\n")
    assert kept
    _, got, _ = exchange({"method": "HEAD"}, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    assert b"\r\nContent-Length: 0\r\n" in got


# ---- headers -------------------------------------------------------------------------------------


def test_headers_are_added_set_and_removed() -> None:
    ways = {"add": {"X-Add": "2", "X-New": 1}, "set": {"X-Set": "s", "X-List": ["a", 1.5]}, "remove": ["X-Gone"]}
    head = sent(
        {"headers": ways}, "/a", "X-Add: 0", "x_add: 1", "X-Set: c", "x-set: d", "X_Set: e", "X-Gone: 1", "X.Gone: 1", "X-List: z"
    )
    assert (values(head, "X-Add"), values(head, "x_add"), values(head, "X-New")) == (["0", "2"], ["1"], ["1"])
    assert (values(head, "X-Set"), values(head, "X-List")) == (["s"], ["a", "1.5"])
    assert "gone" not in head.lower()
    assert "X_Set" not in head


def test_the_short_form_sets() -> None:
    head = sent({"headers": {"X-A": "1", "set": "2"}}, "/a", "X-A: 0")
    assert (values(head, "X-A"), values(head, "set")) == (["1"], ["2"])


def test_what_was_set_can_be_added_to_and_what_was_added_removed() -> None:
    head = sent({"headers": {"add": {"X-A": "1", "X-B": "1"}, "set": {"X-C": "1"}, "remove": ["X-B", "X-C"]}})
    assert (values(head, "X-A"), values(head, "X-B"), values(head, "X-C")) == (["1"], [], [])


def test_variables_and_captures_in_headers() -> None:
    conf = {
        "regex_uri": ["^/a/([^/]+)/(.*)", "/$2"],
        "headers": {"set": {"X-1": "$1-$host", "X-2": "${2}x$10", "X-3": "$arg_n", "X-4": "$http_x_4 ${http_no ?? -}"}},
    }
    head = sent(conf, "/a/b%0D%0Ac/d?n=%0d+", "X-4: old")
    assert [values(head, f"X-{n}") for n in range(1, 5)] == [["b%0D%0Ac-h.test"], ["dx"], ["%0d+"], ["old -"]]
    assert values(sent(conf, "/b"), "X-1") == ["-h.test"]


def test_a_line_of_another_step_is_replaced() -> None:
    plugins = {"request-id": {}, "proxy-rewrite": {"headers": {"set": {"X-Request-Id": "mine"}}}}
    up, down = ask(
        Compiler().apply([route("r", "/*", plugins=plugins)]).snapshot, b"GET / HTTP/1.1\r\nHost: h\r\nX-Request-Id: c\r\n\r\n"
    )
    assert values(up.decode(), "X-Request-Id") == values(down.decode(), "X-Request-Id") == ["mine"]


def test_many_fields_of_one_name_hide_no_other() -> None:
    first = {"proxy-rewrite": {"headers": {"add": {"X-Many": "1"}}}}
    many = b"".join(b"X-Many: %d\r\n" % i for i in range(80))
    steps = [*consumer("john"), route("r", "/*", plugins=first)]
    step = _core.ProxyRewriteStep(fields=[("add", "X-Many", "1"), ("set", "X-Last", "own")])
    up, _ = ask(Compiler().apply(steps).snapshot, b"GET / HTTP/1.1\r\nHost: h\r\n" + many + b"\r\n")
    assert len(values(up.decode(), "X-Many")) == 81
    up, _ = ask(snapshot(step), b"GET / HTTP/1.1\r\nHost: h\r\nX-Last: c\r\n" + many + b"\r\n")
    assert values(up.decode(), "X-Last") == ["own"]


# ---- whatever clients send -----------------------------------------------------------------------

segments = st.text("/.%2eEfF05cC\\?#&=+;:@~ az\x7f\x80\xff", max_size=24)


@given(segments, segments, segments)
def test_nothing_of_a_request_breaks_out(path: str, query: str, field: str) -> None:
    conf = {
        "regex_uri": ["^/x-(.*)", "/files/$1?from=$1&h=$http_x", "(.)$", "/any/$1$http_x/$arg_a"],
        "headers": {"set": {"X-Out": "$1 $arg_a $http_x"}},
    }
    head = sent(conf, f"/x-{path.replace(' ', '').replace('#', '')}?a={query.replace(' ', '').replace('#', '')}", f"X: {field}")
    if head.startswith("HTTP/1.1 400"):
        return
    assert len(list(http1.requests(head.encode("latin-1")))) == 1  # which raises where it is not one lawful request
    line = head.partition("\r\n")[0]
    assert line.count(" ") == 2
    assert line.isprintable()
    made = line.split(" ")[1].partition("?")[0]
    assert not {".", ".."} & set(made.split("/"))
    assert "\\" not in made
    assert _core.normalise_path(made.encode()) == made.encode()


def test_captures_are_of_the_target_that_there_was() -> None:
    """Of an absolute form without a path the target is made, and so lies where the new one is going to."""
    conf = {"use_real_request_uri_unsafe": True, "regex_uri": ["^/[?](.*)", "/was/$1"], "headers": {"set": {"X-C": "<$1>"}}}
    for query in ("captured", "q" * 5000):
        head = sent(conf, f"http://h.test:81?{query}")
        assert head.startswith(f"GET /was/{query} HTTP/1.1\r\n")
        assert values(head, "X-C") == [f"<{query}>"]


def test_no_spelling_of_a_field_lets_another_one_pass() -> None:
    """Lines that steps set replace the client's: also behind many that a client sent of a field that is added to."""
    added = _core.ProxyRewriteStep(fields=[("add", "X-A", "1")])
    told = _core.PythonStep("test", "rewrite", lambda _, request: request.set_header("X-User", "me"), None)
    fields = "".join(f"{'X-A' if i % 2 else 'x-a'}: {i}\r\n" for i in range(80))
    request = f"GET / HTTP/1.1\r\nHost: h\r\nX-User: admin\r\n{fields}\r\n".encode()
    head = ask(snapshot(added, told), request)[0].decode()
    assert len(values(head.lower(), "x-a")) == 81
    assert values(head, "X-User") == ["me"]
