"""JWT verification: what is accepted, the order of the checks, times at the second; two libraries as oracles.

Owns: the jwt room's lawful side and its boundaries; test_jwt_attacks has the hostile side. Whatever we
accept, PyJWT and joserfc accept too, with the same claims. Must not know requests or plugins.
"""

import base64
import hmac
import json
import math
from fractions import Fraction
from typing import Any

import joserfc.jws
import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from fastgw import _core

SECRET = b"a-secret-that-is-long-enough-for-every-one-of-the-HS-algorithms-"
NOW = 1_700_000_000
EXP, NBF = 1, 2
DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
UNCHECKED = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token(payload: bytes | dict[str, Any], header: bytes | None = None, alg: str = "HS256") -> bytes:
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    header = b'{"alg":"%s"}' % alg.encode() if header is None else header
    signing_input = b64(header) + b"." + b64(payload)
    return signing_input + b"." + b64(hmac.digest(SECRET, signing_input, DIGESTS[alg]))


def verify(text: bytes, alg: str = "HS256", now: int = NOW, **options: Any) -> tuple[str, bytes | None]:
    return _core._test_jwt_verify(text, alg, SECRET, now, **options)


def verdict(payload: bytes, **options: Any) -> str:
    return verify(token(payload), **options)[0]


@pytest.mark.parametrize("alg", DIGESTS)
def test_tokens_of_pyjwt_are_accepted(alg: str) -> None:
    text = jwt.encode({"key": "john-key", "exp": NOW + 60, "nbf": NOW}, SECRET, alg).encode()
    assert verify(text, alg) == ("jwt.ok", b"john-key")
    for other in {*DIGESTS, "RS256", "EdDSA", "none", ""} - {alg}:
        assert verify(text, other)[0] == "jwt.bad_alg"


def test_the_example_of_rfc_7515_a_1() -> None:
    # Its key claim is absent, so the issuer stands in; its exp is 1300819380.
    text = (
        b"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    key = base64.urlsafe_b64decode(b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==")
    assert _core._test_jwt_verify(text, "HS256", key, 1300819379, key_claim=b"iss") == ("jwt.ok", b"joe")
    assert _core._test_jwt_verify(text, "HS256", key, 1300819380, key_claim=b"iss")[0] == "jwt.expired"


@pytest.mark.parametrize(
    ("key_claim", "payload", "key"),
    [
        (b"key", rb'{"key":"j\u00f6hn\/\ud83d\ude00\n"}', "jöhn/😀\n".encode()),
        (b"key", rb'{"\u006bey":"john\u0000key"}', b"john\0key"),
        ("schlüssel".encode(), rb'{"schl\u00fcssel":"x"}', b"x"),
        (b"a\\b", rb'{"a\\b":"x"}', b"x"),
        (b"exp", b'{"exp":"x"}', None),
        (b"", b'{"":"x"}', b"x"),
        (b"key", b' {"x":{"key":1},"key" : "x"}\r\n', b"x"),
    ],
)
def test_key_claims_are_read_by_meaning(key_claim: bytes, payload: bytes, key: bytes | None) -> None:
    reason, found = verify(token(payload), key_claim=key_claim, listed_only=True)
    assert reason == "jwt.ok"
    assert found == (key if key is not None else b"x")


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"HS256","typ":"JWT","kid":"1"}',
        b'{"typ":"at+jwt","alg":"HS256"}',
        rb'{"\u0061lg":"H\u0053256"}',
        b' {"alg" : "HS256"} ',
        b'{"alg":"HS256","cty":"twilio-fpa;v=1"}',
        b'{"alg":"HS256","jwk":{"kty":"oct"}}',
        b'{"alg":"HS256","kid":"' + b"k" * 400 + b'"}',
        rb'{"alg":"HS256","kid":"\u00e9\ud83d\ude00"}',
    ],
)
def test_lawful_headers(header: bytes) -> None:
    for headers in (False, True, True):
        assert verify(token({"key": "x"}, header), headers=headers) == ("jwt.ok", b"x")


def test_a_token_of_the_largest_size_and_one_byte_more() -> None:
    head = b64(b'{"alg":"HS256"}')
    room = 8192 - len(head) - 2 - 43
    largest = token(b'{"key":"x","y":"%s"}' % (b"y" * (room * 3 // 4 - 18)))
    assert 8190 <= len(largest) <= 8192
    assert verify(largest)[0] == "jwt.ok"
    assert verify(token(b'{"key":"x","y":"%s"}' % (b"y" * (room * 3 // 4 - 15))))[0] == "jwt.too_large"


@pytest.mark.parametrize("max_len", [0, 32768, 2**40])
def test_escapes_of_the_largest_size_fit_the_scratch(max_len: int) -> None:
    count = 0
    reason = "jwt.ok"
    for count in range(980, 1020) if max_len == 0 else range(4070, 4110):
        payload = b'{"key":"' + rb"\u20ac" * count + b'"}'
        text = token(payload, rb'{"alg":"HS256","kid":"\u00e9"}')
        reason, key = verify(text, max_len=max_len)
        assert (reason == "jwt.ok") == (len(text) <= (32768 if max_len else 8192))
        assert key == ("€".encode() * count if reason == "jwt.ok" else None)
    assert reason == "jwt.too_large"


@pytest.mark.parametrize("leeway", [0, 1, 30, 2**62])
def test_times_at_the_second(leeway: int) -> None:
    def at(claim: str, seconds: int) -> str:
        return verdict(b'{"key":"x","%s":%d}' % (claim.encode(), seconds), leeway=leeway)

    if leeway < 2**53:
        assert at("exp", NOW - leeway) == "jwt.expired"
        assert at("exp", NOW - leeway + 1) == "jwt.ok"
        assert at("nbf", NOW + leeway) == "jwt.ok"
        assert at("nbf", NOW + leeway + 1) == "jwt.not_yet"
    else:
        assert at("exp", -(2**53)) == at("nbf", 2**53) == "jwt.ok"


def test_times_at_the_ends_of_the_clock() -> None:
    both = token(b'{"key":"x","exp":9007199254740992,"nbf":-9007199254740992}')
    for now in (0, -1, NOW):
        assert verify(both, now=now)[0] == "jwt.ok"
    for leeway in (0, 2**63 - 1, -(2**63)):
        assert verify(both, now=2**63 - 1, leeway=leeway)[0] in ("jwt.ok", "jwt.expired")
        assert verify(both, now=-(2**63), leeway=leeway)[0] in ("jwt.ok", "jwt.not_yet")


@pytest.mark.parametrize(
    ("claims", "required", "listed_only", "reason"),
    [
        (b"", 0, False, "ok"),
        (b"", EXP, False, "missing_claim"),
        (b"", NBF, False, "missing_claim"),
        (b',"exp":1700000001', EXP, False, "ok"),
        (b',"exp":1700000001', EXP | NBF, False, "missing_claim"),
        (b',"nbf":1700000000', EXP, False, "missing_claim"),
        (b',"exp":1,"nbf":1800000000', 0, True, "ok"),
        (b',"exp":"x","nbf":null', 0, True, "ok"),
        (b',"exp":1', EXP, True, "expired"),
        (b',"exp":1', NBF, True, "missing_claim"),
        (b',"exp":1,"nbf":1', NBF, True, "ok"),
        (b',"exp":"x","nbf":1', NBF, True, "ok"),
        (b',"exp":"x","nbf":1', NBF, False, "bad_claim"),
        (b',"nbf":1800000000', NBF, True, "not_yet"),
    ],
)
def test_required_and_listed_claims(claims: bytes, required: int, listed_only: bool, reason: str) -> None:
    payload = b'{"key":"x"' + claims + b"}"
    assert verdict(payload, required=required, listed_only=listed_only) == "jwt." + reason


def test_checks_come_in_the_documented_order() -> None:
    """Each token fails two neighbouring checks; the earlier one is what the log says."""
    expired = b'{"key":"x","exp":1}'
    assert verify(token(b'{"exp":1}', b'{"alg":"none"}'))[0] == "jwt.no_key_claim"
    assert verify(token(expired, b'{"alg":"none"}')[:-4] + b"AAAA")[0] == "jwt.bad_alg"
    assert verify(token(expired)[:-4] + b"AAAA")[0] == "jwt.bad_signature"
    assert verify(token(b'{"key":"x","exp":"x","nbf":9999999999}'))[0] == "jwt.bad_claim"
    assert verify(token(expired), required=NBF)[0] == "jwt.missing_claim"


def test_what_the_client_is_told() -> None:
    told = {
        "no_token": "Missing JWT token in request",
        "no_key_claim": "missing user key in JWT token",
        "bad_key_claim": "Invalid user key in JWT token",
        "unknown_key": "Invalid user key in JWT token",
    }
    quiet = "repeated too_large malformed bad_header unsupported bad_payload bad_alg bad_signature missing_claim"
    for reason in [*quiet.split(), "bad_claim", "expired", "not_yet"]:
        told[reason] = "failed to verify jwt"
    for reason, message in told.items():
        assert _core._test_jwt_message("jwt." + reason) == message


def test_the_header_cache_forgets_and_tells_apart() -> None:
    """More headers than it remembers, each asked again: an entry must never answer for another."""
    headers = [b'{"alg":"%s","kid":"%d"}' % (alg, i) for i in range(9) for alg in (b"HS256", b"HS384", b"none")]
    for _ in range(3):
        for header in headers:
            expected = "jwt.ok" if b"HS256" in header else "jwt.bad_alg"
            assert verify(token({"key": "x"}, header), headers=True)[0] == expected


def oracles(text: bytes) -> dict[str, Any]:
    """The claims, when both libraries accept the token; an assertion error otherwise."""
    claims = jwt.decode(text, SECRET, ["HS256"], options=UNCHECKED)
    registry = joserfc.jws.JWSRegistry(algorithms=["HS256"], strict_check_header=False)
    other = joserfc.jws.deserialize_compact(text, OctKey.import_key(SECRET), registry=registry)
    assert json.loads(other.payload) == claims
    assert isinstance(claims, dict)
    return claims


def check_times(claims: dict[str, Any], leeway: int) -> str:
    """The rule in exact arithmetic, apart from the code under test."""
    for claim in ("exp", "nbf"):
        value = claims.get(claim, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return "jwt.bad_claim"
        if abs(Fraction(value)) > 2**53:
            return "jwt.bad_claim"
    if "exp" in claims and not Fraction(claims["exp"]) > NOW - leeway:
        return "jwt.expired"
    return "jwt.not_yet" if "nbf" in claims and not Fraction(claims["nbf"]) <= NOW + leeway else "jwt.ok"


near = st.integers(NOW - 40, NOW + 40)
times = near | near.map(lambda t: t + 0.5) | st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=3)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.sampled_from(["key", "exp", "nbf", "sub", "x", "Key", "kéy"])


@given(
    st.fixed_dictionaries({"key": keys}, optional={"exp": times, "nbf": times, "sub": st.text(max_size=5)}),
    st.integers(0, 60),
)
def test_any_claims_are_judged_by_the_rule(claims: dict[str, Any], leeway: int) -> None:
    if any(isinstance(value, float) and not math.isfinite(value) for value in claims.values()):
        return  # not JSON
    try:
        text = token(json.dumps(claims, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        return  # a lone surrogate: not UTF-8
    assert oracles(text) == claims
    assert verify(text, leeway=leeway) == (check_times(claims, leeway), claims["key"].encode())


pieces = st.sampled_from(
    [
        b'"',
        b"\\",
        b"\\u0061",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"0",
        b"1e9",
        b"-",
        b".",
        b" ",
        b"\n",
        b"\0",
        b"\xff",
        b"null",
        b'"alg":"HS256",',
        b'"alg":"none",',
        b'"key":"y",',
        b'"crit":[],',
        b'"x":1,',
        b"\xc3\xa9",
        rb"\ud800",
    ]
)
edits = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), pieces), max_size=2)


def edited(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + gone :]
    return text


@settings(max_examples=1500)
@given(edits, edits, st.booleans())
def test_what_we_accept_both_libraries_accept(
    header_edits: list[tuple[int, int, bytes]], payload_edits: list[tuple[int, int, bytes]], headers: bool
) -> None:
    """Correctly signed tokens over damaged parts: acceptance is the exception and must be theirs too."""
    header = edited(b'{"typ":"JWT", "alg":"HS256"}', header_edits)
    payload = edited(b'{"key":"john-key", "exp": 1700003600, "l":[1,{"a":null}]}', payload_edits)
    text = token(payload, header)
    reason, key = verify(text, headers=headers)
    assert reason == verify(text)[0]
    if reason == "jwt.ok":
        claims = oracles(text)
        assert key is not None
        assert claims["key"].encode() == key
        assert check_times(claims, 0) == "jwt.ok"


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), st.binary(max_size=2)), min_size=1, max_size=3))
def test_damage_to_the_token_itself_is_never_accepted(changes: list[tuple[int, int, bytes]]) -> None:
    good = token({"key": "john-key", "exp": NOW + 3600})
    text = edited(good, changes)
    assert (verify(text)[0] == "jwt.ok") == (text == good)
