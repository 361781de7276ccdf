"""Hashed passwords as credentials may hold them: argon2id and scrypt, as PHC strings.

Owns: the syntax, what may be asked of a processor for one password, and how one is judged. Must not know users or requests.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

__all__ = ["is_hash", "verifier"]

Verifier = Callable[[bytes], bool]
"""verify(password) -> whether it is the one."""

# What crypt(3), PHC strings and LDAP make of passwords.
_HASH: Final = re.compile(
    r"\$(?:argon2(?:id|i|d)|scrypt|pbkdf2[\w-]*|2[abxy]?|gy|y|7|6|5|1|apr1)\$.+|\{(?:CRYPT|S?SHA\d*|S?MD5)\}.+", re.I
)
_ENDS: Final = r"\$(?P<salt>[A-Za-z0-9+/]{1,128})\$(?P<hash>[A-Za-z0-9+/]{1,128})"
_ARGON2ID: Final = re.compile(rf"\$argon2id\$v=19\$m=(?P<m>\d{{1,9}}),t=(?P<t>\d{{1,9}}),p=(?P<p>\d{{1,9}}){_ENDS}")
_SCRYPT: Final = re.compile(rf"\$scrypt\$ln=(?P<ln>\d{{1,2}}),r=(?P<r>\d{{1,4}}),p=(?P<p>\d{{1,4}}){_ENDS}")

# A client may ask for such a computation as often as it likes to guess.
_MEMORY: Final = 128 * 1024  # KiB that one may take
_WORK: Final = 512 * 1024  # KiB that it may go through
_LANES: Final = 16
_SALT: Final = range(8, 65)  # bytes
_BYTES: Final = range(16, 65)


def is_hash(text: str) -> bool:
    """Whether a text can only be meant as the hash of a password, of whatever kind."""
    return _HASH.fullmatch(text) is not None


def verifier(text: str) -> Verifier:
    """The judge of passwords for a hash. ValueError says what would be right; it does not show the hash."""
    for pattern, make in ((_ARGON2ID, _argon2id), (_SCRYPT, _scrypt)):
        found = pattern.fullmatch(text)
        if found is not None:
            salt, expected = _bytes(found["salt"]), _bytes(found["hash"])
            if len(salt) not in _SALT or len(expected) not in _BYTES:
                raise ValueError(f"{_said(_SALT)} bytes of salt and {_said(_BYTES)} of hash")
            costs = {name: int(value) for name, value in found.groupdict().items() if name not in ("salt", "hash")}
            return make(salt, expected, **costs)
    raise ValueError("'$argon2id$v=19$m=…,t=…,p=…$salt$hash' or '$scrypt$ln=…,r=…,p=…$salt$hash'")


def _said(span: range) -> str:
    return f"{span.start} to {span.stop - 1}"


def _bytes(text: str) -> bytes:
    """Base64 without padding, in its one spelling."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raw = b""
    if base64.b64encode(raw).decode().rstrip("=") != text:
        raise ValueError("salt and hash in base64 without padding")
    return raw


def _argon2id(salt: bytes, expected: bytes, *, m: int, t: int, p: int) -> Verifier:
    """m: KiB, t: passes over them, p: lanes (RFC 9106 section 3.1)."""
    if not (1 <= p <= _LANES and 8 * p <= m <= _MEMORY and t >= 1 and m * t <= _WORK):
        raise ValueError(f"argon2id with p from 1 to {_LANES}, m from 8 * p to {_MEMORY}, and m * t up to {_WORK}")
    make = partial(Argon2id, salt=salt, length=len(expected), iterations=t, lanes=p, memory_cost=m)
    try:
        make()
    except UnsupportedAlgorithm:
        raise ValueError("scrypt, as this machine's OpenSSL knows no argon2id") from None

    def verify(password: bytes) -> bool:
        try:
            make().verify(password, expected)
        except InvalidKey:
            return False
        return True

    return verify


def _scrypt(salt: bytes, expected: bytes, *, ln: int, r: int, p: int) -> Verifier:
    """2^ln blocks of r * 128 bytes, gone through p times (RFC 7914 section 2)."""
    memory = 128 * r * 2**ln // 1024
    if not (ln >= 1 and r >= 1 and 1 <= p <= _LANES and memory <= _MEMORY and memory * p <= _WORK):
        most = f"128 * r * 2^ln up to {_MEMORY} KiB, and that * p up to {_WORK}"
        raise ValueError(f"scrypt with ln and r from 1, p from 1 to {_LANES}, {most}")
    room = 2 * _MEMORY * 1024

    def verify(password: bytes) -> bool:
        if password.endswith(b"\0"):  # HMAC fills a key up with zeros (RFC 2104 section 2): "x" and "x\0" would be one password
            return False
        found = hashlib.scrypt(password, salt=salt, n=2**ln, r=r, p=p, maxmem=room, dklen=len(expected))
        return hmac.compare_digest(found, expected)

    return verify
