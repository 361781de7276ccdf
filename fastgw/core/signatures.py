"""Keys, and signatures of the public-key algorithms (RFC 7518 sections 3.3 to 3.5, RFC 8037), by `cryptography`.

Owns: from a public key to a function that judges a signature, and what that takes. Must not know tokens or credentials. HS
algorithms are native (native/jwt).
"""

from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from fastgw import _core

__all__ = ["ALGORITHMS", "Key", "PublicKey", "Verifier", "public_secret", "verifier"]

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

Verifier = Callable[[bytes, bytes], bool]
"""verify(signing_input, signature) -> whether the signature is good."""

# What takes less than 100 us, as docs/performance.md has it, stays on the worker's loop.
_QUICK_RSA_BITS: Final = 4096
_QUICK_CURVES: Final = ("secp256r1",)
_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}  # RFC 7518 section 3.4
_LEAST_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
ALGORITHMS: Final = (*(f"{family}{bits}" for family in ("HS", "RS", "ES", "PS") for bits in _HASHES), "EdDSA")


class Key:
    """A key that tokens are verified by, and the one algorithm that it is used with: a token has no say in that (RFC 8725 section
    3.1).

    algorithm: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA
    material: of HS the shared secret, as bytes or as text (its UTF-8); of the others the public key or a certificate, as PEM, or
    as     `cryptography` has it
    ValueError: the algorithm is none of these, or the material is no key of it. The error does not show the material.
    """

    __slots__ = ("_secret", "algorithm")

    def __init__(self, algorithm: str, material: str | bytes | PublicKey) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}")
        self.algorithm = algorithm
        if algorithm.startswith("HS"):
            if not isinstance(material, str | bytes):
                raise TypeError(f"material: expected str or bytes for {algorithm}, found {type(material).__name__}")
            raw = material.encode() if isinstance(material, str) else material
            if raw.lstrip().startswith(b"-----BEGIN "):  # else a public key, which everybody knows, would be the secret
                raise ValueError(f"material: expected a shared secret for {algorithm}, found a PEM text")
            if not raw:
                raise ValueError(f"material: expected a shared secret for {algorithm}, found none")
            self._secret = _core.SecretKey(algorithm, raw)
            return
        key = _read(material) if isinstance(material, str | bytes) else material
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name != _CURVES.get(algorithm):
            raise ValueError(f"material: expected a public key for {algorithm}, found one on {key.curve.name}")
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
            raise ValueError(f"material: expected an RSA key of at least {_LEAST_RSA_BITS} bits, found one of {key.key_size}")
        self._secret = public_secret(algorithm, key)

    def __repr__(self) -> str:
        return f"Key({self.algorithm!r})"

    @property
    def native(self) -> _core.SecretKey:
        """What the core verifies with."""
        return self._secret


def _read(material: str | bytes) -> object:
    raw = material.encode() if isinstance(material, str) else material
    try:
        if b"-----BEGIN CERTIFICATE-----" in raw:
            return x509.load_pem_x509_certificate(raw).public_key()
        return serialization.load_pem_public_key(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("material: expected a public key or a certificate as PEM") from None


def public_secret(algorithm: str, key: object) -> _core.SecretKey:
    """What signatures of one loaded key are verified with; ValueError when the key does not fit the algorithm."""
    return _core.SecretKey(algorithm, verifier=verifier(algorithm, key), quick=_is_quick(key))


def _is_quick(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= _QUICK_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _QUICK_CURVES


def verifier(algorithm: str, key: object) -> Verifier:
    """The judge for one loaded public key. ValueError when it does not fit the algorithm."""
    if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return _judge(lambda message, signature: key.verify(signature, message))
    digest = _HASHES.get(algorithm[2:])
    if digest is None:
        raise ValueError(f"algorithm: no verifier for {algorithm}")
    if algorithm[:2] == "ES" and isinstance(key, ec.EllipticCurvePublicKey):
        return _judge(_ecdsa(key, ec.ECDSA(digest)))
    if algorithm[:2] == "RS" and isinstance(key, rsa.RSAPublicKey):
        return _judge(lambda message, signature: key.verify(signature, message, padding.PKCS1v15(), digest))
    if algorithm[:2] == "PS" and isinstance(key, rsa.RSAPublicKey):
        # RFC 7518 section 3.5: the salt is as long as the hash.
        pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        return _judge(lambda message, signature: key.verify(signature, message, pss, digest))
    raise ValueError(f"public_key: no key for {algorithm}")


def _judge(check: Callable[[bytes, bytes], None]) -> Verifier:
    def judge(message: bytes, signature: bytes) -> bool:
        try:
            check(message, signature)
        except (InvalidSignature, ValueError):
            return False
        return True

    return judge


def _ecdsa(key: ec.EllipticCurvePublicKey, algorithm: ec.ECDSA) -> Callable[[bytes, bytes], None]:
    size = (key.curve.key_size + 7) // 8

    def check(message: bytes, signature: bytes) -> None:
        if len(signature) != 2 * size:  # exactly r and s of the curve's length, never DER
            raise InvalidSignature
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        if r == 0 or s == 0:
            raise InvalidSignature
        key.verify(encode_dss_signature(r, s), message, algorithm)

    return check
