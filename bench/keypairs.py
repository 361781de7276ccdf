"""Key pairs of consumers whose tokens are signed by a private key, and signatures by them (RFC 7518 section 3, RFC 8037).

Must not know consumers or tokens: a pair is named by its algorithm and a text, made when it is first asked for, and lasts as
long as the process.
"""

from __future__ import annotations

import base64
import functools
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHMS = ("RS256", "ES256", "EdDSA")
COORDINATE = 32  # bytes of each half of an ES256 signature, and of each coordinate of its key


@functools.cache
def private(algorithm: str, name: str) -> Any:
    """The pair of that name. RSA keys have 2048 bits, the least RFC 7518 section 3.3 allows; EdDSA is Ed25519."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}")


def sign(algorithm: str, name: str, text: bytes) -> bytes:
    """A signature as a token has it."""
    key = private(algorithm, name)
    if algorithm == "RS256":
        return bytes(key.sign(text, padding.PKCS1v15(), SHA256()))
    if algorithm == "ES256":
        return b"".join(half.to_bytes(COORDINATE, "big") for half in decode_dss_signature(key.sign(text, ec.ECDSA(SHA256()))))
    return bytes(key.sign(text))


def public_pem(algorithm: str, name: str) -> str:
    """The public key as files and configurations have it."""
    pem: bytes = private(algorithm, name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def public_jwk(algorithm: str, name: str) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 7518 section 6, RFC 8037 section 2)."""
    key = private(algorithm, name).public_key()
    if algorithm == "RS256":
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n, key.key_size // 8), "e": _number(numbers.e, 3)}
    if algorithm == "ES256":
        numbers = key.public_numbers()
        return {"kty": "EC", "crv": "P-256", "x": _number(numbers.x, COORDINATE), "y": _number(numbers.y, COORDINATE)}
    return {"kty": "OKP", "crv": "Ed25519", "x": _text(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def _number(value: int, size: int) -> str:
    return _text(value.to_bytes(size, "big"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
