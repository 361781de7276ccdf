"""JWK Sets (RFC 7517): from a document of an issuer to public keys that verify signatures.

Owns: which keys of a set are fit for that, what is kept of them, which of them an algorithm can use. Must not know: where a set
comes from, credentials, tokens. A set is trusted for its keys and for nothing else: it never widens what a credential accepts.
"""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from fastgw.plugins.jwt_keys import PublicKey
from fastgw.schema.parse import parse_json

__all__ = ["MOST_KEYS", "THROTTLE_S", "Jwk", "KeySet", "number_of", "place_of", "read", "usable", "wrong_uri"]

MOST_KEYS: Final = 64  # as a key ring holds; issuers have two or three, the largest about twenty
THROTTLE_S: Final = 30  # between two fetches of a set, unless a credential says otherwise
KID_BYTES: Final = 256
RSA_BITS: Final = range(2048, 8192 + 1)  # RFC 7518 section 3.3; above, a stranger's signature costs milliseconds
RSA_EXPONENTS: Final = range(65537, 2**32)
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_EDWARDS: Final = {"Ed25519": 32, "Ed448": 57}  # bytes
_OF_CURVE: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_URI: Final = re.compile(r"[a-z]+://[\x21-\x7E]+")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")
_NAMES: Final = {"EdDSA": ("EdDSA", "Ed25519", "Ed448")}  # RFC 9864 has names of its own for the two

Jwk = dict[str, str]
"""What is kept of a key: `kty`, its public numbers, and `kid` and `alg` where it has them."""


class KeySet(NamedTuple):
    """What a document was found to hold."""

    keys: list[Jwk]
    """In the order of the document; never none."""
    dropped: list[str]
    """What is wrong with the others, each with the key's place."""


class _Unfit(Exception):  # noqa: N818 (no error: strangers' keys may be of any kind)
    """A key that is not kept; says why, or nothing where it is lawful and simply for something else."""


def place_of(uri: str) -> str:
    """What the store calls the set from there: not its address, which may be nobody else's business."""
    return hashlib.sha256(uri.encode(errors="surrogatepass")).hexdigest()[:32]


def number_of(place: str) -> int:
    """The same as a number that fits a short message; never 0."""
    return int(place[:16], 16) or 1


def wrong_uri(uri: str, *, allow_http: bool) -> str:
    """Why nothing can be fetched from there; empty: it can. What stands in the URI is not repeated: it may be a secret."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "expected a URI"
    if not _URI.fullmatch(uri) or parts.scheme not in ("https", "http") or not host or port == 0:
        return "expected a URI such as https://issuer.example/jwks.json"
    if "@" in parts.netloc:
        return "expected no user name or password in the URI: it would stand in logs"
    if "#" in uri:
        return "expected no fragment in the URI"
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        return "expected https, or this machine's own address, or jwks_allow_http: whoever can change the answer can sign tokens"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read(document: bytes) -> KeySet:
    """ValueError: it is no key set, or none with a key that could verify anything. Its text is not repeated."""
    value, faults = parse_json(document)
    if faults:
        raise ValueError(f"expected a JWK Set in JSON: {faults[0]}")
    found = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError('expected a JWK Set: an object with a list "keys"')
    keys: list[Jwk] = []
    dropped: list[str] = []
    for index, each in enumerate(found):
        kept, why = _judged(each)
        if kept is not None and len(keys) == MOST_KEYS:
            why = f"expected at most {MOST_KEYS} keys"
        elif kept is not None:
            keys.append(kept)
        if why:
            dropped.append(f"keys[{index}]: {why}")
    if not keys:
        raise ValueError("; ".join(["expected a key that verifies signatures, found none", *dropped[:3]]))
    return KeySet(keys, dropped)


def usable(keys: Sequence[Mapping[str, str]], algorithm: str) -> Iterator[tuple[str | None, PublicKey]]:
    """The keys with which tokens of this algorithm are verified, by kid. Of two with one kid the first counts."""
    seen: set[str | None] = set()
    for jwk in keys:
        if jwk.get("alg", algorithm) not in _NAMES.get(algorithm, (algorithm,)) or not _fits(jwk, algorithm):
            continue
        kid = jwk.get("kid")
        if kid not in seen:
            seen.add(kid)
            with suppress(_Unfit):  # what another release found fit
                yield kid, _public_key(jwk)


def _fits(jwk: Mapping[str, str], algorithm: str) -> bool:
    if algorithm.startswith(("RS", "PS")):
        return jwk["kty"] == "RSA"
    if algorithm in _OF_CURVE:
        return jwk["kty"] == "EC" and jwk["crv"] == _OF_CURVE[algorithm]
    return algorithm == "EdDSA" and jwk["kty"] == "OKP"


# -- one key -------------------------------------------------------------------------------------------


def _judged(jwk: Any) -> tuple[Jwk | None, str]:
    try:
        return _kept(jwk), ""
    except _Unfit as why:
        return None, str(why)


def _kept(jwk: Any) -> Jwk:
    if not isinstance(jwk, dict):
        raise _Unfit("expected an object")
    kty = jwk.get("kty")
    if kty == "oct":
        raise _Unfit("a symmetric key: whoever can read it could sign, so it is not used")
    if kty not in ("RSA", "EC", "OKP"):
        raise _Unfit("expected kty RSA, EC or OKP")
    if any(name in jwk for name in _PRIVATE):
        raise _Unfit("a private key: whoever can read it can sign, so it is not used")
    if jwk.get("use", "sig") != "sig" or "verify" not in _operations(jwk):
        raise _Unfit
    numbers = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}[kty]
    kept: Jwk = {"kty": kty}
    for name in numbers:
        kept[name] = _text(jwk, name)
    for name in ("kid", "alg"):
        if name in jwk:
            kept[name] = _text(jwk, name)
    if len(kept.get("kid", "").encode(errors="surrogatepass")) > KID_BYTES:
        raise _Unfit(f"kid: expected at most {KID_BYTES} bytes")
    if kept.get("alg", "").startswith("HS"):
        raise _Unfit("alg: a symmetric algorithm")
    _public_key(kept)
    return kept


def _operations(jwk: Mapping[str, Any]) -> Any:
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise _Unfit("key_ops: expected a list")
    return operations


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise _Unfit(f"{name}: expected a text")
    return value


def _public_key(jwk: Mapping[str, str]) -> PublicKey:
    try:
        if jwk["kty"] == "RSA":
            return _rsa(_number(jwk, "n"), _number(jwk, "e"))
        if jwk["kty"] == "EC":
            return _elliptic(jwk)
        return _edwards(jwk)
    except (ValueError, UnsupportedAlgorithm):
        raise _Unfit("expected the numbers of a public key") from None


def _rsa(n: int, e: int) -> rsa.RSAPublicKey:
    if n.bit_length() not in RSA_BITS:
        raise _Unfit(f"n: expected {RSA_BITS[0]} to {RSA_BITS[-1]} bits, found {n.bit_length()}")
    if e not in RSA_EXPONENTS:
        raise _Unfit(f"e: expected {RSA_EXPONENTS[0]} to 2^32")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _elliptic(jwk: Mapping[str, str]) -> ec.EllipticCurvePublicKey:
    curve = _CURVES.get(jwk["crv"])
    if curve is None:
        raise _Unfit  # secp256k1 and others: lawful, and of no algorithm here
    size = (curve().key_size + 7) // 8
    x, y = (_bytes(jwk[name]) for name in ("x", "y"))
    if len(x) != size or len(y) != size:  # RFC 7518 section 6.2.1.2
        raise _Unfit(f"x, y: expected {size} bytes each")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve()).public_key()


def _edwards(jwk: Mapping[str, str]) -> ed25519.Ed25519PublicKey | ed448.Ed448PublicKey:
    size = _EDWARDS.get(jwk["crv"])
    if size is None:
        raise _Unfit  # X25519 and X448 are for key agreement
    x = _bytes(jwk["x"])
    if len(x) != size:
        raise _Unfit(f"x: expected {size} bytes")
    return (ed25519.Ed25519PublicKey if jwk["crv"] == "Ed25519" else ed448.Ed448PublicKey).from_public_bytes(x)


def _number(jwk: Mapping[str, str], name: str) -> int:
    return int.from_bytes(_bytes(jwk[name]), "big")


def _bytes(text: str) -> bytes:
    text = text.rstrip("=")
    if not _BASE64URL.fullmatch(text):
        raise ValueError
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
