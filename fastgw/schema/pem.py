"""Certificates and keys as PEM text: whether they can be read and belong together.

Owns the readings. Must not know which object holds the text. Errors never repeat the text: it may be a key.
"""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

__all__ = ["belong_together", "load_certificate", "load_private_key", "load_public_key", "unfit"]

LEAST_RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


def load_certificate(text: str) -> x509.Certificate:
    """The first certificate of a PEM text, that of the server itself; ValueError when there is none."""
    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except _UNREADABLE:
        raise ValueError("a PEM certificate") from None


def load_private_key(text: str) -> PrivateKeyTypes:
    """A private key without a passphrase; ValueError when there is none."""
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except _UNREADABLE:
        raise ValueError("a PEM private key without a passphrase") from None


def load_public_key(text: str) -> PublicKeyTypes:
    """A public key, also that of a certificate; ValueError when there is none."""
    try:
        if "-----BEGIN CERTIFICATE-----" in text:
            return load_certificate(text).public_key()
        return serialization.load_pem_public_key(text.encode())
    except _UNREADABLE:
        raise ValueError("a PEM public key") from None


def belong_together(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    """Whether the key is that of the certificate."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def unfit(key: PrivateKeyTypes) -> str | None:
    """What TLS would rather have, of a key that it cannot use; OpenSSL refuses shorter ones as Debian builds it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return None if key.key_size >= LEAST_RSA_BITS else f"an RSA key of at least {LEAST_RSA_BITS} bits"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return None if key.curve.name in CURVES else f"an elliptic curve key on {', '.join(CURVES)}"
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else "an RSA or elliptic curve key"
