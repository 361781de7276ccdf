"""JWTVerifier: the gateway's verdicts, each with its reason and its kind of error, beside PyJWT and joserfc."""

from __future__ import annotations

import json
import random
import threading
import warnings
from collections.abc import Mapping
from typing import Any

import joserfc.errors
import joserfc.jws
import jwt
import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from fastgw import core
from fastgw.core import JWTVerifier, Key, Revocations, Table, TokenError
from fastgw.plugins.jwt_keys import verifier as judge_of
from tests.corpus.tokens import attacks
from tests.support.judge import GOOD, NOW, credential, judge
from tests.support.signers import SIGNERS, STRANGERS, Signer, b64

UNCHECKED = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
HS = SIGNERS["HS256"]
KINDS: Mapping[type[TokenError], set[str]] = {
    core.MalformedTokenError: {"too_large", "malformed", "bad_header", "unsupported", "bad_payload"},
    core.UnknownKeyError: {"no_key_claim", "bad_key_claim", "unknown_key", "kid_missing", "unknown_kid"},
    core.SignatureError: {"bad_alg", "bad_signature"},
    core.ExpiredTokenError: {"expired", "too_old"},
    core.RevokedTokenError: {"revoked"},
    core.ClaimError: {"missing_claim", "bad_claim", "not_yet", "issuer", "audience", "iat_missing", "iat_in_future"},
}


def key(signer: Signer) -> Key:
    return Key(signer.alg, signer.private if signer.family == "HS" else signer.public_bytes())


ALL = JWTVerifier({signer.key.decode(): key(signer) for signer in SIGNERS.values()}, key_claim="key")


def said(by: JWTVerifier, token: str | bytes, now: int = NOW) -> str:
    """The reason, which fits the kind of the error; "" of a good token."""
    found: TokenError | None = None
    try:
        by.verify(token, now)
    except TokenError as error:
        found = error
    if found is None:
        return ""
    assert found.reason == str(found)
    assert found.reason.removeprefix("jwt.") in KINDS[type(found)]
    return found.reason


def token(header: dict[str, Any] | None = None, **claims: Any) -> str:
    text = b64(json.dumps({"alg": "HS256", **(header or {})}).encode()) + b"." + b64(json.dumps(claims).encode())
    return (text + b"." + b64(HS.sign(text))).decode()


@pytest.mark.parametrize("name", SIGNERS)
def test_the_attack_corpus_is_refused_for_the_reasons_named(name: str) -> None:
    found = attacks(SIGNERS[name], NOW, soon=NOW + 1)
    assert {each.name: said(ALL, each.token) for each in found} == {each.name: each.reason for each in found}


@pytest.mark.parametrize("name", SIGNERS)
def test_spoilt_tokens_are_judged_as_the_gateway_does_and_what_passes_passes_elsewhere(name: str) -> None:
    signer = SIGNERS[name]
    secret = key(signer).native
    gateway = judge(credential(secret, signer.key, name=signer.key))
    good = signer.token(payload=signer.payload(exp=NOW + 60))
    own = {"HS": OctKey, "RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}[signer.family]
    jose = own.import_key(signer.private if signer.family == "HS" else signer.public_bytes())
    registry = joserfc.jws.JWSRegistry(algorithms=[signer.alg], strict_check_header=False)
    warnings.simplefilter("ignore", joserfc.errors.SecurityWarning)  # of "EdDSA" as a name (RFC 9864)
    dice, passed = random.Random(7), 0
    for turn in range(120):
        spoilt = bytearray(good)
        for _ in range(turn % 3):
            spoilt[dice.randrange(len(spoilt))] = dice.choice(b"AZaz09-_.=")
        text = bytes(spoilt)
        reason = said(ALL, text)
        there = gateway.send(b"GET /0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % text).reason
        assert (reason or GOOD) == there
        if not reason:
            passed += 1
            claims = ALL.verify(text, NOW)
            assert claims == jwt.decode(text, signer.public, [signer.alg], options=UNCHECKED)
            assert claims == json.loads(joserfc.jws.deserialize_compact(text, jose, registry=registry).payload)
    assert passed >= 40


@pytest.mark.parametrize("name", SIGNERS)
def test_a_strangers_token_is_refused_and_a_key_of_ones_own_judges_alone(name: str) -> None:
    alone = JWTVerifier(key(SIGNERS[name]))
    assert said(alone, SIGNERS[name].token(payload=b'{"sub":"x"}')) == ""
    assert said(alone, STRANGERS[name].token(payload=b'{"sub":"x"}')) == "jwt.bad_signature"


def test_kid_names_the_key() -> None:
    by = JWTVerifier({"old": key(HS), "new": Key("HS256", b"another secret of thirty-two byt")})
    assert by.verify(token({"kid": "old"}, a=1), NOW) == {"a": 1}
    assert said(by, token({"kid": "new"}, a=1)) == "jwt.bad_signature"
    assert said(by, token({"kid": "older"}, a=1)) == "jwt.unknown_kid"
    assert said(by, token({"kid": "ol"}, a=1)) == "jwt.unknown_kid"
    assert said(by, token(a=1)) == "jwt.kid_missing"


def test_names_are_found_among_many() -> None:
    names = [f"{number:x}" * (1 + number % 5) for number in range(1, 3000)]
    by = JWTVerifier({name: key(HS) for name in names}, key_claim="iss")
    for name in (*names[::97], names[0], names[-1]):
        assert by.verify(token(iss=name), NOW) == {"iss": name}
        assert said(by, token(iss=name + "!")) == "jwt.unknown_key"


def test_claims_are_demanded() -> None:
    by = JWTVerifier(key(HS), required=["exp", "sub"], issuers=["me"], audiences=["a", "b"], max_age=100, leeway=5)
    good = {"exp": NOW + 1, "sub": "x", "iss": "me", "aud": ["z", "b"], "iat": NOW - 105}
    assert by.verify(token(**good), NOW) == good
    for changed, reason in [
        ({"exp": NOW - 5}, "expired"),
        ({"nbf": NOW + 6}, "not_yet"),
        ({"exp": "soon"}, "bad_claim"),
        ({"iss": "you"}, "issuer"),
        ({"aud": "z"}, "audience"),
        ({"iat": NOW - 106}, "too_old"),
        ({"iat": NOW + 6}, "iat_in_future"),
    ]:
        assert said(by, token(**{**good, **changed})) == f"jwt.{reason}"
    for missing, reason in [("exp", "missing_claim"), ("sub", "missing_claim"), ("iss", "issuer"), ("iat", "iat_missing")]:
        assert said(by, token(**{name: value for name, value in good.items() if name != missing})) == f"jwt.{reason}"


def test_the_clock_is_asked_where_no_time_is_given() -> None:
    by = JWTVerifier(key(HS))
    assert by.verify(token(exp=2**40)) == {"exp": 2**40}
    with pytest.raises(core.ExpiredTokenError, match=r"^jwt\.expired$"):
        by.verify(token(exp=1))


def test_claims_are_what_json_says() -> None:
    by = JWTVerifier(key(HS))
    odd = b'{"a":-1e9,"b":1e400,"c":[1.5,-0,null,true],"d":123456789012345678901234567890,"e":"\xc3\xa4\\u0000"}'
    text = b64(b'{"alg":"HS256"}') + b"." + b64(odd)
    assert by.verify(text + b"." + b64(HS.sign(text))) == json.loads(odd)
    long = b64(b'{"alg":"HS256"}') + b"." + b64(b'{"a":%b}' % (b"1" * 5000))
    assert said(by, long + b"." + b64(HS.sign(long))) == "jwt.bad_payload"


def test_what_is_revoked_is_refused() -> None:
    revocations = Revocations(Table.create(slots=16))
    by = JWTVerifier(key(HS), revocations=revocations)
    one, other = token(jti="1", sub="s", iat=NOW - 10), token(jti="2", iat=NOW)
    assert (said(by, one), said(by, other)) == ("", "")
    revocations.revoke(jti="1")
    assert (said(by, one), said(by, other)) == ("jwt.revoked", "")
    revocations.revoke(everything=True, issued_before=NOW + 1)
    assert (said(by, other), said(by, token(jti="3", iat=NOW + 1))) == ("jwt.revoked", "")
    assert said(JWTVerifier(key(HS)), one) == ""


@pytest.mark.parametrize("size", [100, 6000], ids=["with the interpreter", "without"])
def test_threads_share_a_verifier(size: int) -> None:
    by = JWTVerifier({each.key.decode(): key(each) for each in (HS, SIGNERS["ES256"])}, key_claim="key")
    wrong = list[object]()

    def work(number: int) -> None:
        each = (HS, SIGNERS["ES256"])[number % 2]
        mine = {"key": each.key.decode(), "n": number, "pad": "x" * size}
        text = each.token(payload=json.dumps(mine).encode())
        for turn in range(40):
            spoilt = text[:-9] + (b"AAAAAAAA" if turn % 2 else text[-9:-1]) + text[-1:]
            try:
                if by.verify(spoilt, NOW) != mine or turn % 2:
                    wrong.append((number, turn))
            except TokenError as error:
                if error.reason != "jwt.bad_signature" or turn % 2 == 0:
                    wrong.append((number, turn, error.reason))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (lambda: Key("none", "x"), "algorithm: expected one of HS256"),
        (lambda: Key("HS256", ""), "material: expected a shared secret"),
        (lambda: Key("HS256", SIGNERS["RS256"].public_bytes()), "found a PEM text"),
        (lambda: Key("RS256", "no key"), "expected a public key or a certificate as PEM"),
        (lambda: Key("ES384", SIGNERS["ES256"].public_bytes()), "found one on secp256r1"),
        (lambda: Key("RS256", SIGNERS["ES256"].public_bytes()), "expected a public key for RS256"),
        (lambda: JWTVerifier({}), "keys: expected names"),
        (lambda: JWTVerifier(key(HS), key_claim="iss"), "claim: expected none with a single key"),
        (lambda: JWTVerifier(key(HS), leeway=-1), "leeway: expected at least 0"),
        (lambda: JWTVerifier(key(HS), issuers=[]), "issuers: expected at least one"),
        (lambda: JWTVerifier(key(HS), max_age=0), "max_age: expected at least 1"),
        (lambda: JWTVerifier(key(HS), max_bytes=10**6), "max_bytes: expected 1 to 32768"),
    ],
)
def test_what_is_wrong_is_named(made: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        made()


def test_types_that_are_wrong_are_named() -> None:
    with pytest.raises(TypeError, match="required: expected several strings"):
        JWTVerifier(key(HS), required="exp")
    with pytest.raises(TypeError, match="token: expected str or bytes, found int"):
        JWTVerifier(key(HS)).verify(3)  # type: ignore[arg-type]
    assert said(JWTVerifier(key(HS)), "\ud800.a.b") == "jwt.malformed"
    assert repr(Key("HS256", "secret")) == "Key('HS256')"
    assert judge_of is not None
