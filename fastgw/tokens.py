"""Making JSON Web Tokens for `fastgw token` (RFC 7515 compact form, RFC 7519 claims).

Owns: signing, and how durations, claims and header fields are written on a command line.
Must not know: the gateway, which verifies with code of its own and never issues a token.
"""

import base64
import hmac
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fastgw.errors import FastgwError

Key = bytes | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}  # RFC 7518 section 3.4
ALGORITHMS: Final = (*(f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in HASHES), "EdDSA")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class TokenError(FastgwError):
    """A token cannot be made of what was given."""


def moment(text: str, now: float | None = None) -> int:
    """UNIX seconds of `text`: a distance from now (30s, 5m, 1h, 2d, -1h), or plain digits, UNIX seconds."""
    match = re.fullmatch(r"(-?)(\d+)([smhd]?)", text, re.ASCII)
    if match is None or (match[1] and not match[3]):
        raise TokenError(f"expected a duration like 30s, 5m, 1h, 2d, or UNIX seconds, found {text!r}")
    if not match[3]:
        return int(match[2])
    distance = int(match[2]) * SECONDS[match[3]]
    return int(time.time() if now is None else now) + (-distance if match[1] else distance)


def claim(text: str) -> tuple[str, Any]:
    """`name=value` of a claim: the value is JSON if it parses as such, a string otherwise."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise TokenError(f"expected name=value, found {text!r}")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def header_field(text: str) -> tuple[str, Any]:
    """`name=value` of a header field: as a claim, but `kid=7` is the string of RFC 7515 section 4.1.4."""
    name, value = claim(text)
    return name, value if isinstance(value, dict | list) else text.partition("=")[2]


def private_key(pem: bytes) -> Key:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise TokenError(f"expected an unencrypted private key in PEM form: {error}") from None
    if not isinstance(key, Key) or isinstance(key, bytes):
        raise TokenError(f"expected an RSA, EC, Ed25519 or Ed448 key, found {type(key).__name__}")
    return key


def default_algorithm(key: Key) -> str:
    """The usual algorithm for a key, which for all but RSA and secrets is also the only one."""
    if isinstance(key, bytes):
        return "HS256"
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        for algorithm, curve in CURVES.items():
            if key.curve.name == curve:
                return algorithm
        raise TokenError(f"expected a key on {', '.join(CURVES.values())}, found {key.curve.name}")
    return "EdDSA"


def make(claims: Mapping[str, Any], key: Key, algorithm: str, header: Mapping[str, Any] | None = None) -> str:
    """A signed token. `header` adds to, or replaces, the fields `alg` and `typ`."""
    fields = {"alg": algorithm, "typ": "JWT", **(header or {})}
    signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (fields, claims))
    return (signed + b"." + _base64url(_signature(signed, key, algorithm))).decode()


def _signature(signed: bytes, key: Key, algorithm: str) -> bytes:
    family, hash_ = algorithm[:2], HASHES.get(algorithm[2:])
    if algorithm not in ALGORITHMS:
        raise TokenError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}")
    match key:
        case bytes() if family == "HS" and hash_:
            return hmac.digest(key, signed, hash_.name)
        case rsa.RSAPrivateKey() if family == "RS" and hash_:
            return key.sign(signed, padding.PKCS1v15(), hash_)
        case rsa.RSAPrivateKey() if family == "PS" and hash_:
            return key.sign(signed, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
        case ec.EllipticCurvePrivateKey() if hash_ and CURVES.get(algorithm) == key.curve.name:
            r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hash_)))
            size = (key.curve.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey() if algorithm == "EdDSA":
            return key.sign(signed)
        case _:
            kind = "a secret" if isinstance(key, bytes) else "this private key"
            raise TokenError(f"algorithm: {algorithm} cannot be made with {kind}")


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
