"""Requests with what is revoked: by jti, sub, credential and time; remembered tokens too; keys and passwords."""

import base64
from typing import Any

import pytest

from fastgw import _core
from fastgw.plugins.jwt_keys import verifier
from tests.support import core
from tests.support.judge import GOOD, JOHN, NOW, OTHER, PRIVATE, Judge, Verdict, credential, hs256, judge, snapshot, token

REVOKED = Verdict("jwt.revoked")


def revoke(one: Judge, id: bytes, kind: str, subject: bytes, before: int | None = None, expires: int | None = None) -> None:
    table = _core.Revocations(one.region)
    table.lock()
    table.put(id, kind, subject, before, expires)
    table.unlock(1)


def restore(one: Judge, id: bytes) -> None:
    table = _core.Revocations(one.region)
    table.lock()
    table.drop(id)
    table.unlock(2)


@pytest.mark.parametrize("entries", [0, 64])
@pytest.mark.parametrize(
    ("kind", "subject"), [("jti", b"t1"), ("sub", b"john"), ("credential", b"john/of-john-key"), ("all", b"")]
)
def test_what_is_revoked_is_refused_and_only_that(entries: int, kind: str, subject: bytes) -> None:
    other = credential(hs256(OTHER), b"jane-key", name=b"jane")
    one = judge(credential(hs256()), other, entries=entries)
    text = token(jti="t1", sub="john")
    others = [token(OTHER, key="jane-key", jti="t2", sub="jane"), token(OTHER, key="jane-key")]
    good = [one.ask(each) for each in others]
    assert {each.reason for each in good} == {GOOD}
    for _ in range(2):
        assert [one.ask(text) for _ in range(3)] == [JOHN] * 3
        revoke(one, b"1", kind, subject)
        assert [one.ask(text) for _ in range(3)] == [REVOKED] * 3
        assert [one.ask(each) for each in others] == ([REVOKED] * 2 if kind == "all" else good)
        restore(one, b"1")
    assert one.ask(text) == JOHN


def test_a_remembered_token_is_verified_no_more_than_without() -> None:
    """A revocation of others costs no token its place."""
    one = judge()
    text = token(jti="t1", sub="john")
    one.ask(text)
    for kind, subject in (("jti", b"t2"), ("sub", b"jane"), ("credential", b"jane"), ("credential", b"john"), ("sub", b"t1")):
        revoke(one, kind.encode() + subject, kind, subject)
        assert one.hit(text)


@pytest.mark.parametrize("entries", [0, 64])
@pytest.mark.parametrize(
    ("kind", "subject", "before", "revoked"),
    [
        ("jti", b"t1", None, True),
        ("sub", b"john", NOW, True),
        ("credential", b"john/of-john-key", NOW, True),
        ("all", b"", NOW, True),
        ("jti", b"t2", None, False),
        ("sub", b"john", NOW - 1, False),
        ("credential", b"john/of-john-key", NOW - 1, False),
        ("all", b"", NOW - 1, False),
    ],
)
def test_revoked_while_its_signature_is_judged(
    entries: int, kind: str, subject: bytes, before: int | None, revoked: bool
) -> None:
    """When it was read, nothing was revoked, and nobody looked for its subjects."""
    good = verifier("EdDSA", PRIVATE["EdDSA"].public_key())

    def meanwhile(message: bytes, signature: bytes) -> bool:
        revoke(one, b"1", kind, subject, before)
        return good(message, signature)

    one = judge(credential(_core.SecretKey("EdDSA", verifier=meanwhile)), entries=entries)
    text = token("EdDSA", jti="t1", sub="john", iat=NOW - 1)
    assert [one.ask(text) for _ in range(3)] == [REVOKED if revoked else JOHN] * 3


ISSUED = [
    ({}, True),
    ({"iat": NOW - 1}, True),
    ({"iat": NOW - 0.5}, True),
    ({"iat": -(2**52) - 0.5}, True),
    ({"iat": NOW}, False),
    ({"iat": float(NOW)}, False),
    ({"iat": NOW + 0.5}, False),
    ({"iat": NOW + 1}, False),
    ({"iat": 2**60}, True),  # no time at all
    ({"iat": str(NOW + 1)}, True),
    ({"iat": None}, True),
    ({"iat": True}, True),
    ({"iat": [NOW + 1]}, True),
]


@pytest.mark.parametrize(("claims", "revoked"), ISSUED)
@pytest.mark.parametrize(("kind", "subject"), [("jti", b"t"), ("sub", b"s"), ("credential", b"john/of-john-key"), ("all", b"")])
def test_issued_before(claims: dict[str, Any], revoked: bool, kind: str, subject: bytes) -> None:
    text = token(jti="t", sub="s", **claims)
    for remembered in (False, True):
        one = judge()
        if remembered:
            assert one.ask(text) == JOHN
        revoke(one, b"1", kind, subject, NOW)
        assert [one.ask(text) for _ in range(2)] == [REVOKED if revoked else JOHN] * 2


def test_exponents_and_minus_are_times_too() -> None:
    header, secret = core._b64(b'{"alg":"HS256"}'), core.SECRET

    def signed(iat: str) -> bytes:
        import hmac

        text = header + b"." + core._b64(b'{"key":"john-key","iat":%b}' % iat.encode())
        return text + b"." + core._b64(hmac.digest(secret, text, "sha256"))

    one = judge()
    revoke(one, b"1", "all", b"", 1700)
    for iat, found in (
        ("1.7e3", JOHN),
        ("17e2", JOHN),
        ("1.6999e3", REVOKED),
        ("-1e3", REVOKED),
        ("1699.99999999999999999", REVOKED),
    ):
        assert one.ask(signed(iat)) == found, iat


def test_expired_revocations_count_no_more() -> None:
    one, text = judge(), token(jti="t")
    revoke(one, b"1", "jti", b"t", None, NOW + 10)
    assert one.at(NOW + 9).ask(text) == REVOKED
    assert one.at(NOW + 10).ask(text) == JOHN


@pytest.mark.parametrize(
    ("claims", "kind", "subject"),
    [
        ({"jti": "é\n"}, "jti", "é\n".encode()),  # PyJWT writes escapes
        ({"jti": "x" * 1024}, "jti", b"x" * 1024),
        ({"sub": "\U0001f600"}, "sub", "\U0001f600".encode()),
        ({"sub": "a\0b"}, "sub", b"a\0b"),
    ],
)
def test_claims_are_compared_by_what_they_mean(claims: dict[str, Any], kind: str, subject: bytes) -> None:
    one = judge()
    revoke(one, b"1", kind, subject)
    assert one.ask(token(**claims)) == REVOKED
    assert one.ask(token(**{name: value + "x" for name, value in claims.items()})) == JOHN


def test_what_is_no_text_is_no_subject() -> None:
    one = judge()
    for id, subject in ((b"1", b"5"), (b"2", b"null"), (b"3", b""), (b"4", b"true")):
        revoke(one, id, "jti", subject)
        revoke(one, id + b"s", "sub", subject)
    for value in (5, None, True, ["5"], {"5": 5}):
        assert one.ask(_signed({"jti": value, "sub": value})) == JOHN
    assert one.ask(token(jti="5")) == REVOKED


def _signed(claims: dict[str, Any]) -> bytes:
    """PyJWT would refuse them."""
    return core.token(**claims)


def test_a_credential_of_the_consumer_itself_is_called_by_the_consumer() -> None:
    own = _core.Credential(_core.Consumer(b"john", core.chain()), b"john-key", b"", secret=hs256())
    one = judge(own)
    revoke(one, b"1", "credential", b"john/")
    assert one.ask(token()).reason == GOOD
    revoke(one, b"2", "credential", b"john")
    assert one.ask(token()) == REVOKED


def test_the_answer_tells_nothing_and_the_fallback_takes_over() -> None:
    region = _core.Region.create(16, slots=1, revocations=16)
    nobody = _core.Credential(_core.Consumer(b"nobody", core.chain()), b"")
    table = _core.Revocations(region)
    table.lock()
    table.put(b"1", "jti", b"t")
    table.unlock(1)
    request = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % core.token(jti="t")
    for step, expected in ((_core.JwtAuthStep(), b"401"), (_core.JwtAuthStep(anonymous=nobody), b"")):
        wire = _core.Wire(core.snapshot(step, credentials=(core.john(),)), revoked=region)
        client = wire.open()
        wire.push(client, request)
        got = wire.pull(client)
        assert got[9:12] == expected
        if expected:
            assert b'{"message":"failed to verify jwt"}' in got
            assert b'WWW-Authenticate: Bearer realm="jwt"' in got
        else:
            sent = wire.pull(1)
            assert b"X-Consumer-Username: nobody" in sent
            assert b"john" not in sent.replace(core.token(jti="t"), b"")


KEY = b"GET / HTTP/1.1\r\nHost: x\r\napikey: the-key\r\n\r\n"
BASIC = b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %b\r\n\r\n" % base64.b64encode(b"user:the-key")


@pytest.mark.parametrize(
    ("kind", "step", "request_", "message"),
    [
        ("key", _core.KeyAuthStep, KEY, b"Invalid API key in request"),
        ("basic", _core.BasicAuthStep, BASIC, b"Invalid user authorization"),
    ],
)
@pytest.mark.parametrize("before", [None, 10])
def test_keys_and_passwords(kind: str, step: Any, request_: bytes, message: bytes, before: int | None) -> None:
    """They were issued at no time that is known, so before any."""
    shown = core.shown(b"john", kind, b"the-key", None if kind == "key" else b"user")
    judge_ = Judge(0, core.snapshot(step(), to=core.upstream(0), credentials=(), others={kind: [shown]}))
    good = judge_.send(request_)
    assert good.consumer == "john"
    revoke(judge_, b"0", "credential", b"john/cred", before)
    revoke(judge_, b"1", "all", b"")
    assert judge_.send(request_) == good
    revoke(judge_, b"2", "credential", b"john/cred-" + kind.encode(), before)
    assert judge_.send(request_) == Verdict(f"{kind}.revoked")
    region = judge_.region
    wire = _core.Wire(core.snapshot(step(), others={kind: [shown]}), revoked=region)
    client = wire.open()
    wire.push(client, request_)
    assert b'{"message":"%b"}' % message in wire.pull(client)
    restore(judge_, b"2")
    assert judge_.send(request_) == good


def test_snapshots_come_and_go() -> None:
    """What is revoked is no part of them."""
    one, text = judge(), token(jti="t")
    revoke(one, b"1", "jti", b"t")
    one.install(snapshot([credential(hs256())]))
    assert one.ask(text) == REVOKED
