"""Public keys of jwt-auth's credentials, as PEM or loaded.

Owns: reading them as configurations have them. Signatures are core.signatures' to judge.
"""

from fastgw import _core
from fastgw.core import signatures
from fastgw.core.signatures import PublicKey, Verifier
from fastgw.schema.pem import load_public_key

__all__ = ["PublicKey", "Verifier", "public_secret", "verifier"]


def public_secret(algorithm: str, public_key: str | PublicKey) -> _core.SecretKey:
    """What a worker verifies signatures of one key, PEM or loaded, with; ValueError when the key does not fit the algorithm."""
    return signatures.public_secret(algorithm, _loaded(public_key))


def verifier(algorithm: str, public_key: str | PublicKey) -> Verifier:
    """The judge for one public key, PEM or loaded. Raises ValueError when it does not fit the algorithm."""
    return signatures.verifier(algorithm, _loaded(public_key))


def _loaded(key: str | PublicKey) -> object:
    return load_public_key(key) if isinstance(key, str) else key
