"""What a route demands of claims, and which of them it hands on: judged on a core of its own, with the token cache.

Owns: issuers, audiences, age, headers of claims, claims for Python plugins. Times and signatures are test_jwt's, how it looks
from outside is in tests/plugins.
"""

from __future__ import annotations

import base64
import hmac
import json
import math
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import OK, chain, upstream
from tests.support.judge import GOOD, NOW, SECRET, credential, hs256, judge, token


def signed(payload: str) -> bytes:
    """A token of John's whose payload is this text, byte by byte."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', payload.encode())]
    text = b".".join(parts)
    return text + b"." + base64.urlsafe_b64encode(hmac.digest(SECRET, text, "sha256")).rstrip(b"=")


def step(*, store: bool = False, anonymous: _core.Credential | None = None, **rules: Any) -> _core.JwtAuthStep:
    return _core.JwtAuthStep(rules=_core.JwtClaims(**rules), store=store, anonymous=anonymous)


# -- issuers, audiences, age -----------------------------------------------------------------------

STRINGS = [
    ('"a"', True),
    ('"b"', True),
    (r'"\u0061"', True),
    ('"c"', False),
    ('"A"', False),
    ('"a "', False),
    (r'"a\u0000"', False),
    ('""', False),
    ("1", False),
    ("null", False),
    ("true", False),
    ('{"a":"a"}', False),
]
ARRAYS = [
    ('["a"]', True),
    (' [ "x" , "b" ] ', True),
    (r'["x","\u0061"]', True),
    ("[]", False),
    ('["c"]', False),
    ('["a",1]', False),
    ('[1,"a"]', False),
    ('["a",null]', False),
    ('["a",["b"]]', False),
    ('[["a"]]', False),
    ('[{"a":"a"}]', False),
    ('["a,b"]', False),
]


@pytest.mark.parametrize(("value", "good"), STRINGS)
def test_issuers(value: str, good: bool) -> None:
    one = judge(steps=[step(issuers=["a", "b"]), _core.JwtAuthStep()])
    text = signed(f'{{"key":"john-key","iss":{value}}}')
    for _ in range(2):
        assert one.ask(text, 1).reason == GOOD  # remembered by a route that asks for nothing
        assert one.ask(text).reason == (GOOD if good else "jwt.issuer")


@pytest.mark.parametrize(("value", "good"), [*STRINGS, *ARRAYS])
def test_audiences(value: str, good: bool) -> None:
    one = judge(steps=[step(audiences=["a", "b"]), _core.JwtAuthStep()])
    text = signed(f'{{"key":"john-key","aud":{value}}}')
    for _ in range(2):
        assert one.ask(text, 1).reason == GOOD
        assert one.ask(text).reason == (GOOD if good else "jwt.audience")


def test_what_is_absent_is_refused_and_what_is_deeper_is_absent() -> None:
    one = judge(steps=[step(issuers=["a"]), step(audiences=["a"]), step(max_age=60)])
    for claims in ({}, {"x": {"iss": "a", "aud": "a", "iat": NOW}}):
        found = [one.ask(token(**claims), route).reason for route in range(3)]
        assert found == ["jwt.issuer", "jwt.audience", "jwt.iat_missing"]


def test_each_route_has_its_own_list_also_for_remembered_tokens() -> None:
    one = judge(steps=[step(issuers=["a"]), step(issuers=["b"]), step(issuers=["a"], audiences=["x"]), _core.JwtAuthStep()])
    text = token(iss="a", aud="y")
    for _ in range(2):
        assert [one.ask(text, i).reason for i in range(4)] == [GOOD, "jwt.issuer", "jwt.audience", GOOD]
    hits, _ = one.counts()
    assert hits >= 3


def test_the_order_of_verdicts() -> None:
    one = judge(steps=[step(issuers=["a"], audiences=["a"], max_age=60)])
    assert one.ask(token(exp=NOW)).reason == "jwt.expired"
    assert one.ask(token()).reason == "jwt.issuer"
    assert one.ask(token(iss="a")).reason == "jwt.audience"
    assert one.ask(token(iss="a", aud="a")).reason == "jwt.iat_missing"
    assert one.ask(token(secret=b"wrong" * 9)).reason == "jwt.bad_signature"


@pytest.mark.parametrize(
    ("iat", "reason"),
    [
        (str(NOW), GOOD),
        (str(NOW + 5), GOOD),
        (f"{NOW + 5}.0", GOOD),
        (f"{NOW + 5}.001", "jwt.iat_in_future"),
        (str(NOW + 6), "jwt.iat_in_future"),
        (str(NOW - 65), GOOD),
        (f"{NOW - 65}.0e0", GOOD),
        (f"{NOW - 66}.999", "jwt.too_old"),
        (str(NOW - 66), "jwt.too_old"),
        ("0", "jwt.too_old"),
        ("-1", "jwt.too_old"),
        ("-0.5", "jwt.too_old"),
        (f'"{NOW}"', "jwt.bad_claim"),
        ("null", "jwt.bad_claim"),
        ("[1]", "jwt.bad_claim"),
        ("1e400", "jwt.bad_claim"),
        ("-1e400", "jwt.bad_claim"),
        ("9007199254740993", "jwt.bad_claim"),
    ],
)
def test_the_age_with_a_leeway_of_5_seconds(iat: str, reason: str) -> None:
    one = judge(credential(hs256(), leeway=5), steps=[step(max_age=60), _core.JwtAuthStep()])
    text = signed(f'{{"key":"john-key","iat":{iat}}}')
    assert one.ask(text, 1).reason == GOOD
    for _ in range(2):
        assert one.ask(text).reason == reason


def test_a_remembered_token_grows_too_old() -> None:
    one = judge(steps=[step(max_age=60)])
    text = token(iat=NOW)
    assert [one.hit(text), one.hit(text)] == [False, True]
    assert one.at(NOW + 60).ask(text).reason == GOOD
    assert one.at(NOW + 61).ask(text).reason == "jwt.too_old"
    assert one.at(NOW - 1).ask(text).reason == "jwt.iat_in_future"


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["", ".0", ".5", ".999999", "e0", "e-1", "e+1", "E-3"]),
    st.integers(1, 10**6),
    st.integers(0, 100),
)
def test_the_age_is_compared_without_rounding(whole: int, rest: str, most: int, leeway: int) -> None:
    text = f"{whole}{rest}"
    exact = Fraction(text)
    for now in {math.floor(exact), math.floor(exact) + most, math.ceil(exact) + most, math.ceil(exact) + most + leeway, NOW}:
        if not 0 <= now < 2**40:
            continue
        one = judge(credential(hs256(), leeway=leeway), steps=[step(max_age=most)], now=now)
        aged = GOOD if now - exact <= most + leeway else "jwt.too_old"
        expected = "jwt.iat_in_future" if exact > now + leeway else aged
        assert one.ask(signed(f'{{"key":"john-key","iat":{text}}}')).reason == expected, (text, now)


# -- claims as headers -----------------------------------------------------------------------------


def forwarded(payload: str, path: list[str], *fields: str, rules: dict[str, Any] | None = None) -> list[list[str]]:
    """The values that the upstream sees under X-Claim, of a token verified and of one remembered."""
    steps = [_core.StripStep(["X-Claim"]), step(headers=[(path, "X-Claim")], **(rules or {}))]
    plan = _core.Plan(b"r", chain(*steps), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {"jwt": [credential(hs256())]}, chain()), token_cache=64)
    wire.wall = NOW
    line = wire.open()
    found = []
    for _ in range(2):
        lines = ["GET / HTTP/1.1", "Host: h", f"Authorization: {signed(payload).decode()}", *fields, "", ""]
        wire.push(line, "\r\n".join(lines).encode())
        sent = wire.pull(1).decode()
        assert sent.endswith("\r\n\r\n")
        found.append(
            [value for name, value in re.findall(r"(?m)^([\w.-]+): ?(.*)\r$", sent) if re.fullmatch("(?i)x.claim", name)]
        )
        wire.push(1, OK)
    return found


VALUES: list[tuple[str, str | None]] = [
    ('"john"', "john"),
    ('"a b"', "a b"),
    (r'"\u00e9\ud83d\ude00"', "é😀"),
    ('"é😀"', "é😀"),
    (r'"a\/b\"c\\"', 'a/b"c\\'),
    ('"a,b"', "a,b"),
    ('""', ""),
    ("12", "12"),
    ("-1.50E+2", "-1.50E+2"),
    ("1e400", "1e400"),
    ("true", "true"),
    ("false", "false"),
    ('["a","b"]', "a,b"),
    ('[ "a" , "é" ]', "a,é"),
    (r'["\u0061"]', "a"),
    ("[]", ""),
    ("null", None),
    ('{"a":1}', None),
    ("{}", None),
    ('["a",1]', None),
    ('[1,"a"]', None),
    ('["a",null]', None),
    ('["a",["b"]]', None),
    ('["a,b","c"]', None),
    (r'"a\u0000b"', None),
    (r'"a\nb"', None),
    (r'"a\r\nX-Admin: 1"', None),
    (r'"a\tb"', None),
    (r'"\u007f"', None),
    (r'"a\u0085b"', None),
    (r'"\u009f"', None),
    (r'"\u00a0"', "\u00a0"),
    (r'["a","b\r\nX-Admin: 1"]', None),
    ('" a"', None),
    ('"a "', None),
    ('["a"," b"]', None),
    (json.dumps("x" * 4096), "x" * 4096),
    (json.dumps("x" * 4097), None),
    (json.dumps(["x" * 2000, "y" * 2095]), "x" * 2000 + "," + "y" * 2095),
    (json.dumps(["x" * 2000, "y" * 2096]), None),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values(value: str, expected: str | None) -> None:
    payload = f'{{"key":"john-key","c":{value},"z":1}}'
    assert forwarded(payload, ["c"]) == [[] if expected is None else [expected]] * 2
    nested = f'{{"key":"john-key","o":{{"b":"no","i":{{"c":{value}}}}}}}'
    assert forwarded(nested, ["o", "i", "c"]) == [[] if expected is None else [expected]] * 2


@pytest.mark.parametrize(
    ("payload", "path", "expected"),
    [
        ('"a.b":"x"', ["a.b"], "x"),
        ('"a.b":"x"', ["a", "b"], None),
        ('"a":{"b":"x"}', ["a.b"], None),
        ('"a":{"b":"x"}', ["a"], None),
        ('"a":{"b":"x"}', ["a", "b", "c"], None),
        ('"a":"x"', ["a", "b"], None),
        ('"a":[{"b":"x"}]', ["a", "b"], None),
        (r'"\u0061":{"\u0062":"x"}', ["a", "b"], "x"),
        ('"":{"":"x"}', ["", ""], "x"),
        ('"x":1', ["a"], None),
        ('"o":{"key":"x"}', ["key"], "john-key"),
    ],
)
def test_paths(payload: str, path: list[str], expected: str | None) -> None:
    assert forwarded(f'{{{payload},"key":"john-key"}}', path) == [[] if expected is None else [expected]] * 2


def test_the_clients_own_never_crosses() -> None:
    forged = ("X-Claim: admin", "x-claim: admin", "X_Claim: admin", "X.CLAIM: admin")
    for payload, expected in (
        ('{"key":"john-key","c":"x"}', ["x"]),
        ('{"key":"john-key"}', []),
        ('{"key":"john-key","c":{}}', []),
    ):
        assert forwarded(payload, ["c"], *forged) == [expected] * 2


def test_several_claims_of_one_root_beside_rules() -> None:
    headers = [(["o", "a"], "X-A"), (["o", "b"], "X-B"), (["iss"], "X-Iss"), (["key"], "X-Key"), (["exp"], "X-Exp")]
    rules = step(headers=headers, issuers=["i"], max_age=60)
    plan = _core.Plan(b"r", chain(rules), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {"jwt": [credential(hs256())]}, chain()), token_cache=64)
    wire.wall = NOW
    line = wire.open()
    text = token(o={"b": 2, "a": "1"}, iss="i", iat=NOW, exp=NOW + 9)
    for _ in range(2):
        wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + text + b"\r\n\r\n")
        assert b"X-A: 1\r\nX-B: 2\r\nX-Iss: i\r\nX-Key: john-key\r\nX-Exp: %d\r\n" % (NOW + 9) in wire.pull(1)
        wire.push(1, OK)


def test_a_later_token_says_all_and_an_earlier_one_nothing() -> None:
    """Two steps on one request, say a global rule's and a route's: what the second token lacks is not the first one's word."""
    guest = _core.Credential(_core.Consumer(b"guest", chain()), b"")
    for anonymous, expected in ((None, [b"401"]), (guest, [])):
        first = _core.JwtAuthStep(
            header="x-first", rules=_core.JwtClaims(headers=[(["sub"], "X-Sub"), (["r"], "X-R")]), store=True
        )
        second = step(headers=[(["sub"], "X-SUB")], anonymous=anonymous)
        plan = _core.Plan(b"r", chain(first, second), upstream())
        wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {"jwt": [credential(hs256())]}, chain()))
        wire.wall = NOW
        line = wire.open()
        for other, subs in ((token(), []), (token(sub="b"), [b"X-SUB: b"]), (b"x.y.z", expected)):
            request = [
                b"GET / HTTP/1.1",
                b"Host: h",
                b"X-First: " + token(sub="a", r="kept"),
                b"Authorization: " + other,
                b"",
                b"",
            ]
            wire.push(line, b"\r\n".join(request))
            sent = wire.pull(1) if len(wire.lines()) > 1 else b""
            if subs == [b"401"]:
                assert (sent, b" 401 " in wire.pull(line)) == (b"", True)
                continue
            assert re.findall(rb"(?i)x-sub: \w+", sent) == subs
            assert b"X-R: kept\r\n" in sent
            wire.push(1, OK)
            wire.pull(line)


def test_a_request_id_under_the_name_of_a_claim(tmp_path: Path) -> None:
    """The line that the log's request id stands in goes when the claim comes, and the log then has none."""
    path = tmp_path / "access.log"
    for earlier, logged in (("X-Sub", False), ("X-Before", True)):
        steps = chain(_core.RequestIdStep("rewrite", header_name=earlier), step(headers=[(["sub"], "x-sub")]))
        plan = _core.Plan(b"r", steps, upstream())
        wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {"jwt": [credential(hs256())]}, chain()))
        wire.wall = NOW
        log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        wire.access_log(log)
        line = wire.open()
        fields = b"X-Before: an-id\r\nX-Sub: an-id\r\nAuthorization: " + token(sub="a")
        wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n\r\n")
        sent = wire.pull(1)
        assert re.findall(rb"(?i)x-sub: [\w-]+", sent) == [b"x-sub: a"]
        wire.push(1, OK)
        wire.access_log(-1)
        os.close(log)
        assert ("an-id" in path.read_text()) == logged


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Transfer-Encoding", "transfer_encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
     "Proxy-Authorization", "Proxy-Connection", "Expect", "Cookie", "X-Consumer-Username", "x_credential_identifier",
     "X-Consumer-Custom-ID", "X-Forwarded-For", "X-Forwarded-Anything", "X-Real-IP", "Forwarded", "", "a b", "a:", "é"],
)  # fmt: skip
def test_headers_that_are_the_gateways(name: str) -> None:
    with pytest.raises(ValueError, match="the gateway sets it itself"):
        _core.JwtClaims(headers=[(["a"], name)])


def test_headers_that_are_not() -> None:
    for name in ("X-User", "Authorization", "Accept", "X-Consumer", "X-Consumers-Name", "x_user"):
        _core.JwtClaims(headers=[(["a"], name)])


def test_bounds_of_rules() -> None:
    _core.JwtClaims(headers=[([str(i)], f"X-{i}") for i in range(16)])
    with pytest.raises(ValueError, match="headers: expected at most 16, found 17"):
        _core.JwtClaims(headers=[(["a"], f"X-{i}") for i in range(17)])
    with pytest.raises(ValueError, match="at least one name"):
        _core.JwtClaims(headers=[([], "X-A")])
    with pytest.raises(ValueError, match="max_age"):
        _core.JwtClaims(max_age=-1)


def test_sixteen_claims_and_all_rules_at_once() -> None:
    names = [f"c{i}" for i in range(16)]
    payload = json.dumps({"key": "john-key", "iss": "i", "aud": "a", "iat": NOW, **{name: name for name in names}})
    steps = step(headers=[([name], f"X-{name}") for name in names], issuers=["i"], audiences=["a"], max_age=9)
    plan = _core.Plan(b"r", chain(steps), upstream())
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {"jwt": [credential(hs256())]}, chain()))
    wire.wall = NOW
    line = wire.open()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: " + signed(payload) + b"\r\n\r\n")
    assert re.findall(rb"X-(c\d+): (c\d+)\r\n", wire.pull(1)) == [(name.encode(), name.encode()) for name in names]


CLAIMS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["a", "b", "a,b", " ", "\n", "\x7f", "\x85"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)


def carried(value: Any) -> str | None:
    """The model: what a header says for a claim."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in items):
        return None
    for item in items:
        if any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in item) or item != item.strip(" "):
            return None
        if isinstance(value, list) and "," in item:
            return None
    return ",".join(items)


@given(CLAIMS, st.booleans(), st.lists(st.sampled_from(["a", "b"]), max_size=2))
def test_claims_at_random(value: Any, ascii_only: bool, path: list[str]) -> None:
    inner = value
    for name in path:
        inner = inner.get(name) if isinstance(inner, dict) else None
    try:
        payload = json.dumps({"key": "john-key", "c": value}, ensure_ascii=ascii_only)
        payload.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # half a surrogate is no JSON here
    expected = carried(inner)
    assert forwarded(payload, ["c", *path]) == [[] if expected is None else [expected]] * 2


# -- claims for Python plugins ---------------------------------------------------------------------


def test_python_plugins_read_the_claims_where_they_are_kept() -> None:
    seen: list[Any] = []

    def look(conf: Any, request: _core.Request) -> None:
        seen.append(request.jwt_claims)
        assert request.jwt_claims is seen[-1]  # read once

    guest = _core.Credential(_core.Consumer(b"guest", chain()), b"")
    plans, to = [], upstream()
    for i, store in enumerate((True, False)):
        steps = chain(_core.JwtAuthStep(store=store, anonymous=guest), _core.PythonStep("look", "access", look, None))
        plans.append((_core.Plan(b"r", steps, to), b"", b"/%d" % i))
    wire = _core.Wire(_core.Snapshot(plans, {"jwt": [credential(hs256())]}, chain()), token_cache=64)
    wire.wall = NOW
    line = wire.open()
    claims = {"key": "john-key", "o": {"a": [1, None, "é"]}, "n": 10**30}

    def ask(route: int, text: bytes) -> Any:
        wire.push(line, b"GET /%d HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % (route, text))
        wire.push(1, OK)
        return seen.pop()

    for _ in range(2):
        assert ask(0, token(**claims)) == claims
    assert ask(1, token(**claims)) is None  # the exchange's memory is used again, and tells nothing of the last one
    assert ask(0, signed('{"key":"john-key","n":1e400}')) == {"key": "john-key", "n": math.inf}
    assert ask(0, token(exp=NOW)) is None
    assert ask(0, b"x") is None
    assert seen == []
