"""Conditions in the native core beside a plain reading of lua-resty-expr, on whole requests; and what each variable is."""

import os
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from fastgw.plugins.check import check_object
from fastgw.schema.expression import COMPARISONS, expression_faults, parsed
from fastgw.schema.kinds import KINDS
from tests.oracle import expression as oracle
from tests.support.core import OK, TOKEN, chain, john, snapshot, upstream

REQUEST = b"GET / HTTP/1.1\r\nHost: h.test\r\n\r\n"
HOST = "Host: h.test"


def on(rules: list[Any]) -> _core.Snapshot:
    """One route, for requests of which the expression holds."""
    assert expression_faults(rules) == []
    plan = _core.Plan(b"r", chain(), upstream(), condition=_core.Expression(parsed(rules)))
    return _core.Snapshot([(plan, b"", b"/*")], {}, chain())


def met(
    rules: list[Any], *fields: str, target: str = "/", method: str = "GET", address: str = "192.0.2.1", trusted: bool = False
) -> bool:
    """Whether such a request finds the route."""
    lines = [f"{method} {target} HTTP/1.1", *([] if any(f.startswith("Host:") for f in fields) else [HOST]), *fields, "", ""]
    core = _core.Wire(on(rules))
    line = core.open(address, trusted)
    core.push(line, "\r\n".join(lines).encode("latin-1"))
    for number, side, _ in core.lines():
        if side == "up":
            core.push(number, OK)
    status = core.pull(line).split(b" ")[1]
    assert status in (b"200", b"404")
    return status == b"200"


# ---- operators, one by one -----------------------------------------------------------------------

ROWS: list[tuple[list[Any], str, bool]] = [
    # == and ~=: texts as they are, numbers where the value is one
    (["arg_a", "==", "1"], "a=1", True),
    (["arg_a", "==", "1"], "a=01", False),
    (["arg_a", "==", "1"], "", False),
    (["arg_a", "==", 1], "a=01", True),
    (["arg_a", "==", 1], "a=1.0e0", True),
    (["arg_a", "==", 16], "a=0x10", True),
    (["arg_a", "==", 1], "a=%201%20", True),
    (["arg_a", "==", 1], "a=1x", False),
    (["arg_a", "==", 1], "a=", False),
    (["arg_a", "==", 1], "", False),
    (["arg_a", "==", 1], "a=1%00", False),
    (["arg_a", "~=", "1"], "a=2", True),
    (["arg_a", "~=", "1"], "", True),
    (["arg_a", "~=", 1], "a=x", True),
    (["arg_a", "~=", 1], "", True),
    (["arg_a", "~=", 1], "a=1.0", False),
    (["arg_a", "!", "~=", 1], "a=x", False),
    (["arg_a", "==", None], "", True),
    (["arg_a", "==", None], "a", False),
    (["arg_a", "==", None], "a=", False),
    (["arg_a", "~=", None], "a=", True),
    (["arg_a", "==", ""], "a=", True),
    (["arg_a", "==", ""], "a", False),
    (["arg_a", "==", True], "a", True),
    (["arg_a", "==", True], "a=true", False),
    (["arg_a", "==", False], "", False),
    (["arg_a", "~=", False], "", True),
    (["arg_a", "JSON"], "a=json", True),
    (["arg_a", "JSON"], "a=JSON", False),
    (["arg_a", 5], "a=5", True),
    (["arg_a", 5], "a=5.0", False),
    # order
    (["arg_a", ">", 10], "a=11", True),
    (["arg_a", ">", 10], "a=9", False),
    (["arg_a", ">", "10"], "a=11", True),
    (["arg_a", ">=", 10], "a=10", True),
    (["arg_a", "<", 10], "a=-1e3", True),
    (["arg_a", "<=", 10], "a=10.0", True),
    (["arg_a", "<", 10], "a=x", False),
    (["arg_a", "<", 10], "", False),
    (["arg_a", "<", 10], "a", False),
    (["arg_a", "!", "<", 10], "", True),
    (["arg_a", ">", 10], "a=inf", True),
    (["arg_a", "<", 10], "a=nan", False),
    (["arg_a", ">", 10], "a=nan", False),
    # patterns
    (["arg_a", "~~", "[a-z]{2}"], "a=1ab", True),
    (["arg_a", "~~", "^ab$"], "a=ab", True),
    (["arg_a", "~~", "AB"], "a=ab", False),
    (["arg_a", "~*", "AB"], "a=xaBx", True),
    (["arg_a", "~~", ".*"], "", False),
    (["arg_a", "~~", ".*"], "a=", True),
    (["arg_a", "~~", ".*"], "a", False),
    (["arg_a", "!", "~~", "b"], "", True),
    (["arg_a", "~~", "caf\u00e9"], "a=caf%c3%a9", True),
    (["arg_a", "~~", "x"], "a=%ff%fex", True),
    # in, has
    (["arg_a", "in", ["1", "2"]], "a=2", True),
    (["arg_a", "IN", ["1", "2"]], "a=3", False),
    (["arg_a", "in", [1, 2]], "a=1", False),
    (["arg_a", "in", []], "a=1", False),
    (["arg_a", "in", [None]], "", False),
    (["arg_a", "in", [True]], "a", True),
    (["arg_a", "in", ["true", 1]], "a", False),
    (["arg_a", "!", "in", ["1"]], "", True),
    (["arg_a", "in", ["", "bb", "a", "aa", "b"]], "a=aa", True),
    (["arg_a", "in", ["", "bb", "a", "aa", "b"]], "a=", True),
    (["arg_a", "in", ["", "bb", "a", "aa", "b"]], "a=ab", False),
    (["arg_a", "has", "1"], "a=1", False),
    (["arg_a", "!", "has", "1"], "a=1", True),
    # addresses
    (["arg_a", "ipmatch", "10.0.0.0/8"], "a=10.1.2.3", True),
    (["arg_a", "ipmatch", ["10.0.0.0/8", "::1"]], "a=%5B::1%5D", True),
    (["arg_a", "ipmatch", ["10.0.0.0/8", "::1"]], "a=11.0.0.1", False),
    (["arg_a", "ipmatch", "::/0"], "a=10.0.0.1", False),
    (["arg_a", "ipmatch", "::/0"], "a=2001:db8::1", True),
    (["arg_a", "ipmatch", "0.0.0.0/0"], "a=2001:db8::1", False),
    (["arg_a", "ipmatch", "0.0.0.0/0"], "a=::ffff:1.2.3.4", True),
    (["arg_a", "ipmatch", "0.0.0.0/0"], "a=1.2.3", False),
    (["arg_a", "ipmatch", "0.0.0.0/0"], "", False),
    (["arg_a", "!", "ipmatch", "0.0.0.0/0"], "a=" + "1" * 300, True),
]


@pytest.mark.parametrize(("rule", "query", "expected"), ROWS, ids=lambda value: str(value))
def test_an_operator(rule: list[Any], query: str, expected: bool) -> None:
    assert met([rule], target=f"/?{query}" if query else "/") is expected


def test_every_operator_has_a_row() -> None:
    assert {str(rule[-2]).lower() for rule, _, _ in ROWS if len(rule) > 2} == COMPARISONS


YES, NO = ["host", "==", "h.test"], ["host", "==", "x"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], True),
        ([YES, YES], True),
        ([YES, NO], False),
        (["AND", YES, NO], False),
        (["or", NO, YES], True),
        (["OR", NO, NO], False),
        (["!AND", YES, NO], True),
        (["!AND", YES, YES], False),
        (["!or", NO, NO], True),
        (["!OR", NO, YES], False),
        ([["OR", NO, ["!AND", YES, NO]], YES], True),
        ([["OR", NO, [YES, NO]]], False),
        ([[[YES, YES]], ["AND", YES, ["OR", YES, NO], ["!OR", NO, NO]]], True),
    ],
)
def test_groups(rules: list[Any], expected: bool) -> None:
    assert met(rules) is expected


# ---- beside the plain reading --------------------------------------------------------------------

NAMES = ("arg_a", "arg_b", "http_x_c", "cookie_d")
TEXT = st.text("01.-xe+ aAé\0", max_size=4) | st.sampled_from(["10.0.0.1", "::1", "0x1f", "1e2", " 7 ", "inf", "-nan", "true"])
NUMBERS = st.integers(-20, 20) | st.sampled_from([0.5, 100.0, 1e300, 10**30])
COMPARISON = st.one_of(
    st.tuples(st.sampled_from(["==", "~="]), TEXT | NUMBERS | st.sampled_from([None, True, False])),
    st.tuples(st.sampled_from([">", ">=", "<", "<="]), NUMBERS | st.sampled_from(["1", " 10", "1e1", "-.5"])),
    st.tuples(st.sampled_from(["~~", "~*"]), st.sampled_from(["a", "^x", "1$", "[0-9]+", "", "A|e", "x{2}", "é", "\\."])),
    st.tuples(st.sampled_from(["in", "IN"]), st.lists(TEXT | NUMBERS | st.sampled_from([None, True]), max_size=4)),
    st.tuples(st.just("has"), TEXT),
    st.tuples(st.just("ipmatch"), st.sampled_from(["10.0.0.0/8", "::1", ["::/0", "1.2.3.4"], "0.0.0.0/0"])),
)
RULE = st.builds(
    lambda name, negated, pair: [name, *(["!"] if negated else []), *pair], st.sampled_from(NAMES), st.booleans(), COMPARISON
)
NESTED = st.recursive(
    RULE,
    lambda inner: st.one_of(
        st.builds(
            lambda op, members: [op, *members],
            st.sampled_from(["AND", "or", "!AND", "!OR"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)
EXPRESSIONS = st.lists(NESTED, max_size=3)
FIELD_TEXT = st.text("01.-xe+aA:", min_size=1, max_size=4) | st.sampled_from(["10.0.0.1", "::1", "0x1f", "1e2"])
VALUES = st.fixed_dictionaries(
    {}, optional={"arg_a": TEXT | st.just(True), "arg_b": TEXT, "http_x_c": FIELD_TEXT, "cookie_d": FIELD_TEXT}
)


def asked(values: dict[str, Any]) -> tuple[list[str], str]:
    """The fields and the target of a request that has these values."""
    arguments = [(name[4:], value) for name, value in values.items() if name.startswith("arg_")]
    query = "&".join(name if value is True else f"{name}={quote(value, safe='')}" for name, value in arguments)
    fields = [f"{line}{values[name]}" for name, line in (("http_x_c", "X-C: "), ("cookie_d", "Cookie: d=")) if name in values]
    return fields, f"/?{query}" if query else "/"


@settings(max_examples=500)
@given(EXPRESSIONS, VALUES)
def test_as_lua_resty_expr_has_it(rules: list[Any], values: dict[str, Any]) -> None:
    fields, target = asked(values)
    # Patterns are searched in bytes, one by one.
    seen = {name: value if value is True else value.encode().decode("latin-1") for name, value in values.items()}
    assert met(rules, *fields, target=target) is oracle.holds(in_bytes(rules), seen)


def in_bytes(rules: Any) -> Any:
    """The same with every text as the oracle has it: one character a byte."""
    if isinstance(rules, list):
        return [in_bytes(each) for each in rules]
    return rules.encode().decode("latin-1") if isinstance(rules, str) else rules


@given(st.text("0123456789.eExXpP+-aAfin \t\n_()", max_size=12) | st.floats().map(repr) | st.integers().map(hex))
def test_numbers_are_those_of_lua(text: str) -> None:
    found, expected = _core._test_number(text.encode()), oracle.tonumber(text)
    assert repr(found) == repr(expected).replace("-nan", "nan") or (found != found and expected != expected)


def test_a_number_has_a_bound() -> None:
    assert _core._test_number(b"0" * 126 + b"7") == 7
    assert _core._test_number(b"0" * 127 + b"7") is None
    assert _core._test_number(b"") is None


# ---- variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "request_"),
    [
        ("uri", "/a/b", {"target": "/x/../a//%62"}),
        ("document_uri", "/a", {"target": "/a?b"}),
        ("request_uri", "/a/b?c=%64", {"target": "/a/./%62?c=%64"}),
        ("request_uri", "/a", {"target": "/a"}),
        ("request_uri", "/a", {"target": "http://h.test/a"}),
        ("real_request_uri", "/a/./%62?c=1", {"target": "/a/./%62?c=1"}),
        ("query_string", "c=1&d", {"target": "/?c=1&d"}),
        ("args", "c=1", {"target": "/?c=1"}),
        ("args", None, {"target": "/"}),
        ("host", "up.test", {"fields": ("Host: UP.test:8080",)}),
        ("http_host", "UP.test:8080", {"fields": ("Host: UP.test:8080",)}),
        ("method", "DELETE", {"method": "DELETE"}),
        ("request_method", "GET", {}),
        ("remote_addr", "192.0.2.7", {"address": "192.0.2.7"}),
        ("scheme", "http", {}),
        ("content_type", "a/b", {"fields": ("Content-Type: a/b",)}),
        ("http_x_y", "1", {"fields": ("X-Y: 1",)}),
        ("http_X_Y", "1", {"fields": ("x_y: 1",)}),
        ("http_x_y", "1, 2, 3", {"fields": ("X-Y: 1", "A: b", "x-y: 2", "X-y: 3")}),
        ("http_x_y", "", {"fields": ("X-Y:",)}),
        ("http_x_y", None, {}),
        ("http_cookie", "a=1; b=2", {"fields": ("Cookie: a=1", "Cookie: b=2")}),
        ("cookie_b", "2", {"fields": ("Cookie: a=1; b=2",)}),
        ("cookie_B", None, {"fields": ("Cookie: a=1; b=2",)}),
        ("arg_a", "x y&=", {"target": "/?a=x%20y%26%3d"}),
        ("arg_a", "x y", {"target": "/?b=1&%61=x+y&a=2"}),
        ("arg_A", None, {"target": "/?a=1"}),
        ("consumer_name", None, {}),
        ("server_protocol", "HTTP/1.1", {}),
        ("https", None, {}),
        ("hostname", os.uname().nodename, {}),
        ("remote_port", None, {}),  # the core on memory has none, nor an address of its own: see tests/proxying
        ("server_addr", None, {}),
        ("route_name", None, {}),
        # what a client says of itself that only a proxy or the gateway may say
        ("http_x_consumer_username", None, {"fields": ("X-Consumer-Username: root",)}),
        ("http_x_consumer_username", None, {"fields": ("x_consumer_username: root",)}),
        ("http_x_credential_identifier", None, {"fields": ("X-Credential-Identifier: root",)}),
        ("http_x_forwarded_for", None, {"fields": ("X-Forwarded-For: 1.2.3.4",)}),
        ("http_x_forwarded_anything", None, {"fields": ("X-Forwarded-Anything: 1",)}),
        ("http_x_real_ip", None, {"fields": ("X-Real-IP: 1.2.3.4",)}),
        ("http_forwarded", None, {"fields": ("Forwarded: for=1.2.3.4",)}),
        # the twin in another spelling that no upstream gets
        ("http_user_agent", "good", {"fields": ("User-Agent: good", "user_agent: bad")}),
        ("http_user_agent", None, {"fields": ("user_agent: bad",)}),
    ],
)
def test_a_variable(variable: str, text: str | None, request_: dict[str, Any]) -> None:
    assert met([[variable, "==", text]], *request_.pop("fields", ()), **request_)
    assert _core.variable_known(variable)


def test_a_trusted_proxy_is_believed() -> None:
    rules = [["http_x_forwarded_for", "==", "1.2.3.4"], ["http_x_real_ip", "ipmatch", "1.2.3.0/24"]]
    fields = ("X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1.2.3.4")
    assert met(rules, *fields, trusted=True)
    assert not met(rules, *fields)


def test_variables_of_the_consumer() -> None:
    seen: list[str] = []
    for name, text, runs in (("consumer_name", "john", True), ("consumer_name", "jane", False), ("route_id", "route", True)):
        step = _core.FilteredStep(
            _core.Expression(parsed([[name, "==", text]])), _core.PythonStep("t", "access", lambda c, r: seen.append("ran"), None)
        )
        wire = _core.Wire(snapshot(_core.JwtAuthStep(), step, credentials=(john(),)))
        wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % TOKEN)
        assert bool(seen) is runs
        seen.clear()


@pytest.mark.parametrize(
    ("phase", "rules", "runs"),
    [
        ("log", [["status", "==", "200"], ["upstream_status", "<", 300]], True),
        ("header_filter", [["status", ">=", 500]], False),
        ("log", [["balancer_ip", "==", "127.0.0.1"], ["balancer_port", "==", "81"]], True),
        ("access", [["status", "==", None], ["balancer_ip", "==", None], ["balancer_port", "==", None]], True),
        ("access", [["route_name", "==", "of people"], ["service_name", "==", "served"], ["service_id", "==", "5"]], True),
    ],
)
def test_variables_that_come_with_the_answer(phase: str, rules: list[Any], runs: bool) -> None:
    seen: list[str] = []
    step = _core.FilteredStep(
        _core.Expression(parsed(rules)), _core.PythonStep("t", phase, lambda c, r: seen.append("ran"), None)
    )
    plan = _core.Plan(b"r", chain(step), upstream(), service=b"5", name=b"of people", service_name=b"served")
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()))
    wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.push(1, OK)
    assert bool(seen) is runs


@pytest.mark.parametrize("variable", ["status", "upstream_status", "balancer_ip", "balancer_port"])
def test_what_comes_with_the_answer_chooses_no_route(variable: str) -> None:
    value = {"uri": "/", "vars": [[variable, "==", "1"]], "plugins": {}}
    faults = check_object(KINDS["routes"], value).faults
    assert [str(fault.path) for fault in faults] == ["vars[0][0]"]


# ---- what is no expression -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ([["arg_a", "~~", "(?=x)"]], "[0][2]"),
        ([["arg_a", "~~", "(a)\\1"]], "[0][2]"),
        ([["arg_a", "~*", "["]], "[0][2]"),
        ([["arg_a", "~~", 5]], "[0][2]"),
        ([["arg_a", "~~", "\ud800"]], "[0][2]"),
        ([["arg_a", "~~", "(x{1000}){1000}"]], "[0][2]"),
        ([["arg_a", "~~"]], "[0][1]"),
        ([["arg_a", "=="]], "[0][1]"),
        ([["arg_a", True]], "[0][1]"),
        ([["arg_a", None]], "[0][1]"),
        ([["arg_a", ["x"]]], "[0][1]"),
        ([["arg_a", "==", ["x"]]], "[0][2]"),
        ([["arg_a", ">", True]], "[0][2]"),
        ([["arg_a", ">", "1_0"]], "[0][2]"),
        ([["arg_a", ">", 10**400]], "[0][2]"),
        ([["arg_a", ">", "nan"]], "[0][2]"),
        ([["arg_a", "ipmatch", "fe80::1%eth0"]], "[0][2]"),
        ([["arg_a", "ipmatch", 1]], "[0][2]"),
        (["OR", ["arg_a", "==", "1"], []], "[2]"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(rules: list[Any], place: str) -> None:
    assert [str(fault.path) for fault in expression_faults(rules)] == [place]


@given(EXPRESSIONS)
def test_what_is_sound_can_be_laid_out(rules: list[Any]) -> None:
    if not expression_faults(rules):
        _core.Expression(parsed(rules))


def test_the_interpreter_is_entered_for_patterns_only() -> None:
    """Nobody else makes objects while requests run: of all operators, only these call a Python function."""
    calls: list[bytes] = []

    def search(text: bytes) -> re.Match[bytes] | None:
        calls.append(text)
        return re.search(b"x", text)

    group = parsed([["OR", ["arg_a", "==", "1"], ["arg_a", "~~", "x"]]])
    member = group.members[0]
    counted = member._replace(members=(member.members[0], member.members[1]._replace(value=search)))
    plan = _core.Plan(b"r", chain(), upstream(), condition=_core.Expression(group._replace(members=(counted,))))
    for query, seen in ((b"a=1", []), (b"a=x1", [b"x1"])):
        wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()))
        wire.push(wire.open(), REQUEST.replace(b"/ ", b"/?" + query + b" "))
        assert calls == seen
