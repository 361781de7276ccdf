"""Key sets: which keys of a document are kept, and which an algorithm can use."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from fastgw.plugins import jwks
from tests.support.issuer import Key, key

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
OF = {"RS256": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]}
ALL = [*OF["RS256"], "ES256", "ES384", "ES512", "EdDSA"]


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def kept(*keys: Any) -> list[jwks.Jwk]:
    return jwks.read(document(*keys)).keys


def short_rsa() -> dict[str, Any]:
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    return {**key("a", "RS256").jwk, "n": jwks_number(numbers.n)}


def jwks_number(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_serves_the_algorithms_of_its_kind_and_no_other(algorithm: str) -> None:
    own = key("a", algorithm)
    keys = kept(own.jwk)
    fitting = [each for each in ALL if list(jwks.usable(keys, each))]
    assert fitting == OF.get(algorithm, [algorithm])
    ((kid, public),) = jwks.usable(keys, algorithm)
    assert (kid, public) == ("a", own.private.public_key())
    assert not any(list(jwks.usable(keys, each)) for each in ("HS256", "none", "", "ES256K"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_what_is_public_and_of_use_is_kept(algorithm: str) -> None:
    own = {**key("a", algorithm).jwk, "x5c": ["AAAA"], "use": "sig", "key_ops": ["verify"], "alg": algorithm, "more": 1}
    (only,) = kept(own)
    assert set(only) <= {"kty", "kid", "alg", "crv", "n", "e", "x", "y"}
    assert (only["kid"], only["alg"]) == ("a", algorithm)


def test_a_key_says_what_it_is_for() -> None:
    jwk = key("a", "RS256").jwk
    for said in ({"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}):
        found = jwks.read(document({**jwk, **said}, key("b").jwk))
        assert [each["kid"] for each in found.keys] == ["b"]
        assert found.dropped == []  # lawful, and none of our business
    keys = kept({**jwk, "alg": "PS256"})
    assert not list(jwks.usable(keys, "RS256"))
    assert list(jwks.usable(keys, "PS256"))


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519"])
def test_both_names_of_edwards_curves(name: str) -> None:
    assert list(jwks.usable(kept({**key("a", "EdDSA").jwk, "alg": name}), "EdDSA"))


DROPPED: dict[str, tuple[dict[str, Any], str]] = {
    "symmetric": ({"kty": "oct", "k": "AAAA"}, "symmetric"),
    "private RSA": ({**key("a", "RS256").jwk, "d": "AAAA"}, "private"),
    "private EC": ({**key("a").jwk, "d": "AAAA"}, "private"),
    "short": (short_rsa(), "2048"),
    "long": ({**key("a", "RS256").jwk, "n": jwks_number(2**8192 + 1)}, "8192"),
    "exponent 1": ({**key("a", "RS256").jwk, "e": "AQ"}, "e:"),
    "exponent 3": ({**key("a", "RS256").jwk, "e": "Aw"}, "e:"),
    "huge exponent": ({**key("a", "RS256").jwk, "e": jwks_number(2**64 + 1)}, "e:"),
    "off the curve": ({**key("a").jwk, "y": key("a").jwk["x"]}, "numbers"),
    "another length": ({**key("a").jwk, "x": "AAAA"}, "32 bytes"),
    "another curve's": ({**key("a").jwk, "crv": "P-384"}, "48 bytes"),
    "no point": ({**key("a", "EdDSA").jwk, "x": "AAAA"}, "32 bytes"),
    "not base64url": ({**key("a", "RS256").jwk, "n": "+/+/"}, "numbers"),
    "no numbers": ({"kty": "RSA", "kid": "a"}, "n:"),
    "a number for a text": ({**key("a").jwk, "x": 5}, "x:"),
    "an unknown kind": ({"kty": "AKP"}, "kty"),
    "no kind": ({}, "kty"),
    "kid of a wrong type": ({**key("a").jwk, "kid": 5}, "kid:"),
    "long kid": ({**key("a").jwk, "kid": "k" * 257}, "256 bytes"),
    "HS": ({**key("a").jwk, "alg": "HS256"}, "symmetric"),
    "key_ops of a wrong type": ({**key("a").jwk, "key_ops": "verify"}, "key_ops"),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_is_dropped_is_said(name: str) -> None:
    jwk, word = DROPPED[name]
    found = jwks.read(document(jwk, key("b", "ES384").jwk))
    assert [each["kid"] for each in found.keys] == ["b"]
    (why,) = found.dropped
    assert why.startswith("keys[0]: ")
    assert word in why
    with pytest.raises(ValueError, match="found none"):
        jwks.read(document(jwk))


@pytest.mark.parametrize("jwk", [{**key("a").jwk, "crv": "secp256k1"}, {"kty": "OKP", "crv": "X25519", "x": "AAAA"}])
def test_lawful_keys_for_something_else_are_passed_over(jwk: dict[str, Any]) -> None:
    assert jwks.read(document(jwk, key("b").jwk)).dropped == []


def test_of_two_with_one_name_the_first_counts() -> None:
    first, second = Key("a"), Key("a")
    assert list(jwks.usable(kept(first.jwk, second.jwk), "ES256")) == [("a", first.private.public_key())]
    other = key("a", "RS256")  # of another kind: each serves its own algorithm
    keys = kept(other.jwk, first.jwk)
    assert list(jwks.usable(keys, "ES256")) == [("a", first.private.public_key())]
    assert list(jwks.usable(keys, "RS256")) == [("a", other.private.public_key())]


def test_no_more_keys_than_a_ring_holds() -> None:
    jwk = key("a").jwk
    found = jwks.read(document(*({**jwk, "kid": str(number)} for number in range(jwks.MOST_KEYS + 2))))
    assert len(found.keys) == jwks.MOST_KEYS
    assert found.dropped == [f"keys[{number}]: expected at most 64 keys" for number in (64, 65)]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b"null", b'{"keys": null}', b'{"keys": {}}', b'{"keys": [null]}', b'{"keys": [], "keys": []}', b"\xff"],
)
def test_what_is_no_set(text: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        jwks.read(text)


plain_values = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
json_values = st.recursive(plain_values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
members = st.sampled_from(["kty", "kid", "use", "key_ops", "alg", "crv", "x", "y", "n", "e", "d"])
values = st.sampled_from(["RSA", "EC", "OKP", "oct", "sig", "P-256", "Ed25519", "AQAB", "AAAA"]) | json_values


@given(
    st.lists(st.dictionaries(members, values) | json_values, max_size=4),
    st.sampled_from([key("g", each).jwk for each in ALGORITHMS]),
    st.data(),
)
def test_whatever_stands_beside_it_a_good_key_is_found(others: list[Any], good: dict[str, Any], data: st.DataObject) -> None:
    member = data.draw(st.sampled_from(sorted(good)))
    spoilt = {**good, member: data.draw(values)}
    found = jwks.read(document(*others, spoilt, good))
    assert {name: good[name] for name in good if name in found.keys[-1]} == found.keys[-1]
    for algorithm in ALL:
        list(jwks.usable(found.keys, algorithm))


def test_places_and_numbers() -> None:
    place = jwks.place_of("https://issuer.example/?key=secret")
    assert "secret" not in place
    assert 0 < jwks.number_of(place) < 2**64
    assert jwks.number_of("0" * 32) == 1
    assert place != jwks.place_of("https://issuer.example/")
