"""Passwords as an operator hashes them, by other code than the gateway judges them with where there is some."""

import base64
import hashlib

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id


def argon2id(password: str, *, m: int = 64, t: int = 1, p: int = 1, salt: bytes = b"saltsalt") -> str:
    """m: KiB. The PHC string."""
    made = Argon2id(salt=salt, length=32, iterations=t, lanes=p, memory_cost=m)
    return made.derive_phc_encoded(password.encode())


def scrypt(password: str, *, ln: int = 4, r: int = 8, p: int = 1, salt: bytes = b"saltsalt") -> str:
    """2^ln: blocks. The PHC string."""
    raw = hashlib.scrypt(password.encode(), salt=salt, n=2**ln, r=r, p=p, dklen=32, maxmem=2**28)
    return f"$scrypt$ln={ln},r={r},p={p}${bare(salt)}${bare(raw)}"


def bare(raw: bytes) -> str:
    """Base64 without padding."""
    return base64.b64encode(raw).decode().rstrip("=")
