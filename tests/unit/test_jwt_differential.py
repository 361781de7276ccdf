"""Random and spoilt tokens of every algorithm: whatever the gateway accepts, PyJWT and joserfc accept with the same key.

Owns: the direction that matters. The other way round the gateway is stricter than both on purpose, which the corpus shows: one
spelling of base64url, no name twice, bounds on size, depth and times, no crit, zip or b64, the algorithm of the credential.
Where it is looser than a library's defaults, and is asked about with that check switched off:

- `nbf` equal to now is good to the gateway and to both (RFC 7519 section 4.1.5); APISIX 3.18 refuses it.
- `iat`, `aud`, `iss`, `sub` and `jti` are nobody's affair here: the plugin checks what a route names, and these routes name none.
- PyJWT cuts exp and nbf to whole seconds, joserfc compares as it finds; the gateway rounds up. So the times are judged exactly,
  by `lawful_times`, and the libraries are asked without.
- PyJWT and joserfc warn of short shared secrets; the gateway takes any, as APISIX does. Secrets here are long.
"""

from __future__ import annotations

import json
import math
import warnings
from fractions import Fraction
from typing import Any

import joserfc.errors
import joserfc.jws
import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from fastgw import _core
from fastgw.plugins.jwt_keys import verifier
from tests.corpus.tokens import attacks
from tests.corpus.tokens.signature import ORDERS
from tests.support.judge import GOOD, NOW, Judge, credential, judge
from tests.support.signers import SIGNERS, STRANGERS, Signer, b64, unb64

UNCHECKED = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
KEYS = [signer.key.decode() for signer in SIGNERS.values()]
BY_KEY = {signer.key: signer for signer in SIGNERS.values()}


# ---- the gateway and the two oracles ----------------------------------------------------------------


def secret(signer: Signer) -> _core.SecretKey:
    if signer.family == "HS":
        return _core.SecretKey(signer.alg, secret=signer.private)
    return _core.SecretKey(signer.alg, verifier=verifier(signer.alg, signer.public_bytes().decode()))


@pytest.fixture(scope="module")
def gateway() -> Judge:
    """Remembers tokens, as running gateways do: a verdict must not depend on what was asked before."""
    return judge(*(credential(secret(one), one.key, name=one.key) for one in SIGNERS.values()), entries=256)


def accepted(by: Judge, text: bytes) -> str | None:
    """The key of the credential that the gateway takes the token for."""
    verdict = by.send(b"GET /0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % text)
    return verdict.consumer if verdict.reason == GOOD else None


def carried(text: bytes) -> bytes:
    """What is left of a token as the value of a field: blanks at the end are none of it, and control bytes no field has."""
    return bytes(byte for byte in text if byte >= 32 and byte != 127).rstrip(b" ")


def joserfc_key(signer: Signer) -> Key:
    kind: Any = {"HS": OctKey, "RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}[signer.family]
    found: Key = kind.import_key(signer.private if signer.family == "HS" else signer.public_bytes())
    return found


def by_pyjwt(signer: Signer, text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(text, signer.public, [signer.alg], options=UNCHECKED)
    return found


def by_joserfc(signer: Signer, text: bytes) -> dict[str, Any]:
    registry = joserfc.jws.JWSRegistry(algorithms=[signer.alg], strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises against "EdDSA" for one name per curve (RFC 9864)
        found = json.loads(joserfc.jws.deserialize_compact(text, joserfc_key(signer), registry=registry).payload)
    assert isinstance(found, dict)
    return found


def lawful_times(claims: dict[str, Any]) -> bool:
    """exp after now and nbf not after it, in exact arithmetic."""
    for name, holds in (("exp", lambda at: at > NOW), ("nbf", lambda at: at <= NOW)):
        if name in claims:
            value = claims[name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                return False
            if abs(Fraction(value)) > 2**53 or not holds(Fraction(value)):
                return False
    return True


def check(by: Judge, text: bytes) -> bool:
    """Whether it was accepted; then both libraries must, by the key of that very credential."""
    text = carried(text)
    taken_for = accepted(by, text)
    if taken_for is None:
        return False
    signer = BY_KEY[taken_for.encode()]
    claims = by_pyjwt(signer, text)
    assert by_joserfc(signer, text) == claims
    assert claims["key"] == taken_for
    assert lawful_times(claims)
    assert jwt.get_unverified_header(text)["alg"] == signer.alg
    return True


# ---- tokens: honest ones, and what may happen to each of their parts ---------------------------------

signers = st.sampled_from(list(SIGNERS.values()))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
near = st.integers(NOW - 3, NOW + 3) | st.floats(NOW - 2, NOW + 2)
times = near | st.sampled_from([0, -1, 1e15, 2**53, 2**53 + 2, 1e300, "1", None, True, [], "x"])
header_values: dict[str, st.SearchStrategy[Any]] = {
    "typ": st.sampled_from(["JWT", "jwt", "at+jwt", "JOSE", 1, None]),
    "kid": st.text(max_size=8) | st.sampled_from([b"hs256-key".decode(), "../x", 1, None]),
    "cty": st.sampled_from(["JWT", "json", "application/jwt", "", 1]),
    "crit": st.sampled_from([[], ["exp"], ["b64"], "b64", None]),
    "b64": st.booleans(),
    "zip": st.just("DEF"),
    "enc": st.just("A128GCM"),
    "jwk": st.just({"kty": "oct", "k": "AA"}),
    "jku": st.just("https://evil.example"),
    "x5c": st.just(["AA"]),
}
algs = st.sampled_from([*dict.fromkeys(one.alg for one in SIGNERS.values()), "none", "None", "HS1", "ES256K", "", None, 1])
pieces = st.sampled_from(
    [
        *(b'"', b"\\", b"\\u0061", rb"\ud800", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\0", b"\xff", b"\xc3\xa9"),
        *(b"0", b"1e9", b"-", b".", b"null", b"NaN", b'"alg":"none",', b'"key":"y",', b'"crit":[],', b'"x":1,', b'"exp":1,'),
    ]
)
edits = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3), pieces), max_size=2)


def edited(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, gone, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + gone :]
    return text


@st.composite
def headers(draw: st.DrawFn, signer: Signer) -> bytes:
    """Mostly lawful: then at most one of its members is odd, or a byte."""
    alg = draw(algs) if draw(st.integers(0, 7)) == 0 else signer.alg
    names = draw(st.just([]) | st.lists(st.sampled_from(sorted(header_values)), unique=True, max_size=2))
    members = {"alg": alg, **{name: draw(header_values[name]) for name in names}}
    order = draw(st.permutations(sorted(members)))
    text = json.dumps({name: members[name] for name in order}, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    return edited(text, draw(edits) if draw(st.integers(0, 3)) == 0 else [])


@st.composite
def payloads(draw: st.DrawFn, signer: Signer) -> bytes:
    key = draw(json_values | st.sampled_from(KEYS)) if draw(st.integers(0, 7)) == 0 else signer.key.decode()
    claims = draw(
        st.fixed_dictionaries({}, optional={"exp": times, "nbf": times, "iat": times, "sub": json_values, "aud": json_values})
    )
    text = json.dumps({"key": key, **claims}, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    return edited(text, draw(edits) if draw(st.integers(0, 3)) == 0 else [])


def signature_of(draw: st.DrawFn, signer: Signer, text: bytes) -> bytes:
    """Right, or right in another place, or spoilt."""
    way = draw(st.sampled_from(["right"] * 8 + ["stranger", "other", "other text", "changed", "cut", "longer", "zeros", "none"]))
    if way == "stranger":
        return STRANGERS[signer.name].sign(text)
    if way == "other":
        return draw(signers).sign(text)
    good = signer.sign(text + b"x" if way == "other text" else text)
    if way == "changed":
        bit = draw(st.integers(0, len(good) * 8 - 1))
        return good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :]
    if way == "cut":
        return good[: draw(st.integers(0, len(good) - 1))]
    if way == "longer":
        return draw(st.sampled_from([good + b"\0", b"\0" + good, good + good]))
    if way == "zeros":
        return bytes(len(good))
    return b"" if way == "none" else good


def spelt(draw: st.DrawFn, data: bytes) -> bytes:
    """base64url, at times in another spelling."""
    text = b64(data)
    way = draw(st.sampled_from(["canonical"] * 20 + ["padded", "plain", "bits", "blank"]))
    if way == "padded":
        return text + b"=" * (-len(text) % 4)
    if way == "plain":
        return text.replace(b"-", b"+").replace(b"_", b"/")
    if way == "bits" and text:
        return text[:-1] + bytes([draw(st.integers(45, 122))])
    return text[:1] + b" " + text[1:] if way == "blank" else text


@st.composite
def built(draw: st.DrawFn) -> bytes:
    """Part by part: a signature is over the parts as they are spelt, so that only what is odd in them is at stake."""
    signer = draw(signers)
    text = spelt(draw, draw(headers(signer))) + b"." + spelt(draw, draw(payloads(signer)))
    return text + b"." + spelt(draw, signature_of(draw, signer, text))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An honest token, then bytes of it changed, or segments cut, doubled, moved, or taken from another honest one."""
    signer, other = draw(signers), draw(signers)
    good, another = (one.token(payload=one.payload(exp=NOW + draw(st.integers(1, 9)))) for one in (signer, other))
    segments = good.split(b".")
    way = draw(st.sampled_from(["bytes", "segments", "exchange", "none"]))
    if way == "bytes":
        return edited(good, draw(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3), st.binary(max_size=2)), max_size=3)))
    if way == "segments":
        return b".".join(draw(st.lists(st.sampled_from([*segments, b""]), max_size=6)))
    if way == "exchange":
        place = draw(st.integers(0, 2))
        segments[place] = another.split(b".")[place]
    return b".".join(segments)


@settings(max_examples=1000)
@given(built())
def test_what_we_accept_of_built_tokens_both_libraries_accept(gateway: Judge, text: bytes) -> None:
    check(gateway, text)


@settings(max_examples=1000)
@given(damaged())
def test_what_we_accept_of_damaged_tokens_both_libraries_accept(gateway: Judge, text: bytes) -> None:
    check(gateway, text)


@settings(max_examples=200)
@given(signers, st.data())
@example(SIGNERS["HS256"], None)
def test_honest_tokens_are_accepted_by_all_three(gateway: Judge, signer: Signer, data: st.DataObject | None) -> None:
    """Else the direction above could be kept by accepting nothing."""
    claims = {} if data is None else data.draw(st.fixed_dictionaries({}, optional={"sub": json_values, "x": json_values}))
    try:
        payload = json.dumps({"key": signer.key.decode(), "exp": NOW + 1, "nbf": NOW, **claims}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # a lone surrogate: no UTF-8
    assert check(gateway, signer.token(payload=payload))


@pytest.mark.parametrize("name", SIGNERS)
def test_tokens_that_a_library_makes_are_accepted(gateway: Judge, name: str) -> None:
    signer = SIGNERS[name]
    claims = {"key": signer.key.decode(), "exp": NOW + 1, "nbf": NOW}
    assert check(gateway, jwt.encode(claims, signer.private, signer.alg, headers={"kid": "1"}).encode())


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_the_other_spelling_of_an_ecdsa_signature_is_good_to_all_three(gateway: Judge, name: str) -> None:
    """(r, n-s) is what another signer may have sent: neither RFC 7518 nor a library asks for the lower s."""
    signer = SIGNERS[name]
    head, payload, signature = signer.token(payload=signer.payload(exp=NOW + 1)).split(b".")
    raw = unb64(signature)
    half = len(raw) // 2
    other = ORDERS[name] - int.from_bytes(raw[half:], "big")
    assert check(gateway, b"%b.%b.%b" % (head, payload, b64(raw[:half] + other.to_bytes(half, "big"))))


@pytest.mark.parametrize("name", SIGNERS)
def test_the_libraries_refuse_the_signatures_of_the_corpus_too(name: str) -> None:
    """What the corpus calls a bad signature is one to both, by the key that it claims: it holds no honest token by mistake."""
    passed = []
    for attack in attacks(SIGNERS[name], NOW, soon=NOW + 1):
        if attack.reason == "jwt.bad_signature":
            signer = BY_KEY[json.loads(unb64(attack.token.split(b".")[1]))["key"].encode()]
            for oracle in (by_pyjwt, by_joserfc):
                try:
                    oracle(signer, attack.token)
                except (jwt.PyJWTError, joserfc.errors.JoseError, ValueError):
                    continue
                passed.append((attack.name, oracle.__name__))
    assert passed == []
