"""Signatures of the public-key algorithms (RFC 7518 sections 3.3 to 3.5, RFC 8037), by `cryptography`.

Owns: from a public key to a function that judges a signature, and what that takes. Must not know tokens or credentials. HS
algorithms are native (native/jwt).
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from fastgw import _core
from fastgw.schema.pem import load_public_key

__all__ = ["PublicKey", "Verifier", "public_secret", "verifier"]

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

Verifier = Callable[[bytes, bytes], bool]
"""verify(signing_input, signature) -> whether the signature is good."""

# What takes less than 100 us, as docs/performance.md has it, stays on the worker's loop.
_QUICK_RSA_BITS: Final = 4096
_QUICK_CURVES: Final = ("secp256r1",)
_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def public_secret(algorithm: str, public_key: str | PublicKey) -> _core.SecretKey:
    """What a worker verifies signatures of one key, PEM or loaded, with; ValueError when the key does not fit the algorithm."""
    key = _loaded(public_key)
    return _core.SecretKey(algorithm, verifier=_verifier(algorithm, key), quick=_is_quick(key))


def _loaded(key: str | PublicKey) -> object:
    return load_public_key(key) if isinstance(key, str) else key


def _is_quick(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size <= _QUICK_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _QUICK_CURVES


def verifier(algorithm: str, public_key: str | PublicKey) -> Verifier:
    """The judge for one public key, PEM or loaded. Raises ValueError when it does not fit the algorithm."""
    return _verifier(algorithm, _loaded(public_key))


def _verifier(algorithm: str, key: object) -> Verifier:
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
