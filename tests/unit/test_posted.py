"""Variables out of bodies: which bodies are read, what they have, who waits for them and who does not."""

import json
from typing import Any

import pytest

from fastgw import _core
from fastgw.compile import Compiler
from fastgw.plugins.posted import _TOKEN, read
from fastgw.schema.expression import parsed
from tests.support.core import OK, chain, upstream
from tests.unit.test_compile import Change

FORM, JSON, GRAPHQL = "application/x-www-form-urlencoded", "application/json", "application/graphql"
MULTIPART = "multipart/form-data; boundary=b"


def request(body: bytes, content_type: str = FORM, *, chunked: bool = False, target: str = "/", method: str = "POST") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\n"
    if content_type:
        head += f"Content-Type: {content_type}\r\n"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body)))
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


def routes(*rules: list[Any]) -> _core.Snapshot:
    """A route r0, r1, … for each condition, and `else`; each says in the upstream's Host which it was."""
    entries = []
    for i, rule in enumerate([*rules, None]):
        name = f"r{i}" if rule is not None else "else"
        to = upstream(host=name.encode(), pass_host="rewrite")
        condition = None if rule is None else _core.Expression(parsed(rule))
        entries.append((_core.Plan(name.encode(), chain(), to, order=i, condition=condition), b"", b"/*"))
    return _core.Snapshot(entries, {}, chain())


def taken(wire: _core.Wire) -> tuple[str, bytes]:
    """Which route the request on the first line took, and the body that went upstream."""
    head, _, body = wire.pull(1).partition(b"\r\n\r\n")
    host = next(line for line in head.split(b"\r\n") if line.startswith(b"Host: "))
    return host[6:].decode(), body


def route_of(rule: list[Any], raw: bytes) -> str:
    wire = _core.Wire(routes(rule))
    wire.push(wire.open(), raw)
    return taken(wire)[0]


@pytest.mark.parametrize(
    ("rule", "raw", "met"),
    [
        (["post_arg_a", "==", "1"], request(b"b=2&a=1&a=3"), True),
        (["post_arg_a", "==", "x y&"], request(b"%61=x+y%26"), True),
        (["post_arg_a", "==", True], request(b"a"), True),
        (["post_arg_a", "==", ""], request(b"a="), True),
        (["post_arg_a", "==", None], request(b"b=1"), True),
        (["post_arg_a", "==", "1"], request(b"a=1", FORM + "; charset=utf-8"), True),
        (["post_arg_a", "==", "1"], request(b"a=1", "Application/X-WWW-form-urlencoded", chunked=True), True),
        (["post_arg_a", "==", "1"], request(b"a=1", "text/plain"), False),
        (["post_arg_a", "==", "1"], request(b"a=1", ""), False),
        (["post_arg_a", "==", "1"], request(b"a=1", f"{FORM}\r\nContent-Type: text/plain"), False),
        (["post_arg_a", "==", "1"], request(b"a=1", f"{FORM}x"), False),
        (["post_arg_a", "==", None], b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (["post_arg.a", "==", "1"], request(b"a=1&a=2"), True),
        (["post_arg.a.b", "==", "x"], request(b'{"a": {"b": "x"}}', JSON), True),
        (["post_arg.a.b", ">", 4], request(b'{"a": {"b": 5}}', JSON, chunked=True), True),
        (["post_arg.a[*].b", "has", "y"], request(b'{"a": [{"b": "x"}, {"b": "y"}]}', JSON), True),
        (["post_arg..b", "has", "y"], request(b'{"a": [{"b": "x"}, {"c": {"b": "y"}}]}', JSON), True),
        (["post_arg.a[*].b", "has", "z"], request(b'{"a": [{"b": "x"}, {"b": "y"}]}', JSON), False),
        (["post_arg.a", "==", "1"], request(b'{"a": "1"', JSON), False),
        (["post_arg.a", "==", "1"], request(b'["a"]', JSON), False),
        (
            ["post_arg.f", "==", "1\r\n2"],
            request(b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1\r\n2\r\n--b--\r\n', MULTIPART),
            True,
        ),
        (["post_arg.f", "==", "1"], request(b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n1', MULTIPART), False),
        (["graphql_operation", "==", "mutation"], request(b"mutation Do { a }", GRAPHQL), True),
        (["graphql_name", "==", "Do"], request(json.dumps({"query": "query Do($a: [Int] = [1]) { a }"}).encode(), JSON), True),
        (
            ["graphql_root_fields", "has", "b"],
            request(b"{ x: a(y: {z: 1}) @skip(if: false) { c }, ... on Q { d } b }", GRAPHQL),
            True,
        ),
        (
            ["graphql_root_fields", "has", "c"],
            request(b"{ x: a(y: {z: 1}) @skip(if: false) { c }, ... on Q { d } b }", GRAPHQL),
            False,
        ),
        (["graphql_operation", "==", "query"], b"GET /?query=%7Ba%7D HTTP/1.1\r\nHost: h\r\n\r\n", True),
        (["graphql_operation", "==", "query"], request(b"query {", GRAPHQL), False),
    ],
)
def test_a_route_for_a_body(rule: list[Any], raw: bytes, met: bool) -> None:
    assert _core.variable_known(rule[0], True)
    assert route_of([rule], raw) == ("r0" if met else "else")


def test_the_body_goes_upstream_as_it_came() -> None:
    for chunked in (False, True):
        wire = _core.Wire(routes([["post_arg_a", "==", "1"]], [["post_arg_a", "==", "2"]]))
        line = wire.open()
        raw = request(b"b=7&a=2", chunked=chunked)
        for i in range(len(raw)):
            assert len(wire.lines()) == 1
            wire.push(line, raw[i : i + 1])
        assert taken(wire) == ("r1", b"b=7&a=2")
        wire.push(1, OK)
        assert wire.pull(line).startswith(b"HTTP/1.1 200 ")
        wire.push(line, request(b"a=1"))  # the connection lives on
        wire.push(2 if len(wire.lines()) > 2 else 1, OK)
        assert wire.pull(line).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: %b\r\nContent-Length: 67108865\r\n\r\n" % FORM.encode(),
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: %b\r\nContent-Length: 1048577\r\n\r\n" % JSON.encode(),
    ],
)
def test_what_is_no_form_or_too_long_is_not_waited_for(raw: bytes) -> None:
    wire = _core.Wire(routes([["post_arg_a", "==", "1"]], [["post_arg.a", "==", "1"]]), limits={"body_bytes": 1 << 30})
    wire.push(wire.open(), raw)
    assert taken(wire)[0] == "else"


def test_nobody_waits_where_an_earlier_route_fits() -> None:
    """Only a condition that is looked at has the body gathered."""
    first = _core.Plan(b"first", chain(), upstream())
    other = _core.Plan(b"other", chain(), upstream(), condition=_core.Expression(parsed([["post_arg_a", "==", "1"]])))
    wire = _core.Wire(_core.Snapshot([(first, b"", b"/a*"), (other, b"", b"/*")], {}, chain()))
    wire.push(wire.open(), request(b"a=1", target="/a")[:-1])
    assert len(wire.lines()) == 2
    wire.push(wire.open(), request(b"a=1", target="/b")[:-1])
    assert len(wire.lines()) == 3


def test_a_chunked_body_that_grows_too_long_is_passed_on() -> None:
    wire = _core.Wire(routes([["post_arg.a", "==", "1"]]), limits={"body_bytes": 1 << 30})
    line = wire.open()
    wire.push(line, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    for _ in range(32):
        wire.push(line, piece)
    assert len(wire.lines()) == 1
    wire.push(line, piece)
    assert len(wire.lines()) == 2
    wire.push(line, b"0\r\n\r\n")
    sent = b"".join(wire.pull(1) for _ in range(80))
    assert sent.startswith(b"POST / ")
    assert sent.count(b" ") >= 33 * 0x8000
    assert sent.endswith(b"0\r\n\r\n")


def test_a_client_that_leaves_meanwhile() -> None:
    wire = _core.Wire(routes([["post_arg_a", "==", "1"]]))
    line = wire.open()
    wire.push(line, request(b"a=1")[:-1])
    wire.end(line)
    assert wire.active == 0


def test_an_edit_counts_the_conditions() -> None:
    plan = _core.Plan(b"r", chain(), upstream(), condition=_core.Expression(parsed([["post_arg_a", "==", "1"]])))
    edit = _core.Edit(routes())
    edit.put_route(plan, b"", b"/p")
    edit = _core.Edit(edit.finish())
    edit.drop_route(plan, b"", b"/p")
    wire = _core.Wire(edit.finish())
    wire.push(wire.open(), request(b"a=1", target="/p")[:-1])
    assert len(wire.lines()) == 2  # nothing is waited for any more


def test_a_step_that_gathers_for_those_behind() -> None:
    seen: list[str] = []
    ran = _core.PythonStep(
        "t", "access", lambda c, r: seen.append(r.text(_core.Template("${post_arg.a.b ?? none}", "var_combination"))), None
    )
    filtered = _core.FilteredStep(_core.Expression(parsed([["post_arg.a.b", "==", "x"]])), ran)
    plan = _core.Plan(b"r", chain(_core.PostedStep(), filtered), upstream())
    for body, expected in ((b'{"a": {"b": "x"}}', ["x"]), (b'{"a": {"b": "y"}}', [])):
        wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()))
        line = wire.open()
        raw = request(body, JSON)
        wire.push(line, raw[:-1])
        assert len(wire.lines()) == 1
        wire.push(line, raw[-1:])
        assert wire.pull(1).endswith(body)
        assert seen == expected
        seen.clear()


@pytest.mark.parametrize(("body", "runs"), [(b"a=1", True), (b"a=2", False)])
def test_a_filter_of_a_step_that_runs_when_the_body_is_gone(body: bytes, runs: bool) -> None:
    seen: list[str] = []
    expression = _core.Expression(parsed([["post_arg_a", "==", "1"]]))
    log = _core.FilteredStep(expression, _core.PythonStep("t", "log", lambda c, r: seen.append("ran"), None))
    plan = _core.Plan(b"r", chain(_core.PostedStep("access", expression), log), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()))
    wire.push(wire.open(), request(body))
    wire.push(1, OK)
    assert bool(seen) is runs


@pytest.mark.parametrize(
    ("text", "is_"),
    [
        (r"\$host $host", "$host h"),
        (r"\${host}", "${host}"),
        ("${arg_a ?? none}-${post_arg.a[0] ?? no}", "none-no"),
        ("$$host", "$h"),
        ("${host-x}", "${host-x}"),
    ],
)
def test_templates(text: str, is_: str) -> None:
    seen: list[str] = []
    template = _core.Template(text, "var_combination")
    step = _core.PythonStep("t", "access", lambda c, r: seen.append(r.text(template)), None)
    wire = _core.Wire(_core.Snapshot([(_core.Plan(b"r", chain(step), upstream()), b"", b"/*")], {}, chain()))
    wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert seen == [is_]


def test_a_limit_by_what_a_form_says() -> None:
    """The compiler puts the step that gathers in front of whatever reads bodies."""
    conf = {"count": 1, "time_window": 60, "key": "post_arg_user", "key_type": "var", "rejected_code": 429}
    route = {"id": "1", "uri": "/*", "plugins": {"limit-count": conf}, "upstream": {"nodes": {"127.0.0.1:81": 1}}}
    wire = _core.Wire(Compiler().apply([Change("routes", "1", route)]).snapshot)

    def status(body: bytes) -> bytes:
        line = wire.open()
        wire.push(line, request(body)[:-1])
        wire.push(line, request(body)[-1:])
        for number, side, is_open in wire.lines():
            if side == "up" and is_open:
                wire.push(number, OK)
        return wire.pull(line).split(b" ")[1]

    assert [status(body) for body in (b"user=a", b"user=a", b"user=b")] == [b"200", b"429", b"200"]


@pytest.mark.parametrize(
    ("variable", "content_type", "body"),
    [
        ("post_arg.a", b"application/json", b'{"a":' * 5000 + b"1" + b"}" * 5000),
        ("post_arg..a", b"application/json", b"[" * 500_000 + b"]" * 500_000),
        ("post_arg.a", FORM.encode(), b"a&" * 500_000),
        ("post_arg.a", MULTIPART.encode(), b"--b\r\n" * 200_000),
        ("post_arg.a[", b"application/json", b"{}"),
        ("graphql_name", GRAPHQL.encode(), b"{" * 1_000_000),
        ("graphql_name", GRAPHQL.encode(), b'"' * 1_000_000),
        ("graphql_name", GRAPHQL.encode(), b"\xff"),
        ("graphql_root_fields", JSON.encode(), b'{"query": 5}'),
        ("graphql_name", JSON.encode(), b"[]"),
    ],
)
def test_hostile_bodies_have_nothing(variable: str, content_type: bytes, body: bytes) -> None:
    assert read(variable, content_type, body) in (None, [])


@pytest.mark.parametrize("unit", ['\\"""\n', '\\"', '"""\\', '"\\'])
@pytest.mark.parametrize("end", ["", "\\"])
def test_a_text_without_its_end_is_gone_through_once(unit: str, end: str) -> None:
    """Each quote of it would else be looked at as the beginning of another one, to the end of the body: quadratic time."""
    found = [each[0] for each in _TOKEN.finditer("{ a } " + unit * 1000 + end)]
    assert len(found) < 20
    assert len(max(found, key=len)) > 1900


@pytest.mark.parametrize(("others", "found"), [(9999, "r0"), (10_000, "else")])
def test_a_form_of_more_arguments_than_are_looked_at_has_nothing(others: int, found: str) -> None:
    assert route_of([["post_arg_user", "==", "a"]], request(b"user=a" + b"&a" * others)) == found
