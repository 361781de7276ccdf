"""The keyring: the keys that values are sealed with, in a file of its own beside the database.

Owns: the key file, AES-256-GCM, keyed digests. Must not know: SQL, what is sealed.

The file holds the newest key first and is only ever replaced as a whole. A process that meets a key it does not
know reads the file again, so keys can be added while others run. Whoever changes the file holds the database's write
lock, lest two changes undo each other (rotation.py). Of each key two are derived (HKDF, RFC 5869): one that seals and
one for digests. Nonces are random, which is safe for 2^32 values by one key (NIST SP 800-38D section 8.3).
"""

import base64
import binascii
import hmac
import os
import secrets
import stat
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fastgw import files
from fastgw.errors import StoreError

__all__ = ["Key", "Keyring", "WrongKey"]

SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 12
DIGEST_BYTES: Final = 16
PRIVATE: Final = 0o600


class WrongKey(Exception):  # noqa: N818
    """What was to be opened was sealed with another key, for another place, or is damaged."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    secret: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: Annotated[list[_Entry], msgspec.Meta(min_length=1)]


class Key:
    """One key by its id. `place` is where a sealed value belongs; in any other it cannot be opened."""

    def __init__(self, id: str, secret: bytes) -> None:
        self.id = id
        self.secret = secret
        self._cipher = AESGCM(_derived(secret, b"fastgw seal"))
        self._mac = _derived(secret, b"fastgw digest")

    def seal(self, plain: bytes, place: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
        except (InvalidTag, ValueError, TypeError) as exc:  # a damaged row may hold no bytes at all
            raise WrongKey(self.id) from exc

    def digest(self, text: bytes) -> bytes:
        """Tells nothing of the text but whether another one is equal, and that only to who has the key."""
        return hmac.digest(self._mac, text, "sha256")[:DIGEST_BYTES]


class Keyring:
    """The keys of one file, as this process last read it; StoreError if they cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys = _read(path)

    @classmethod
    def made(cls, path: Path) -> "Keyring":
        """The keyring at path, with a first key if there is none."""
        if not path.exists():
            files.create(path, _encoded([_new_key(())]))
        return cls(path)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def newest(self) -> Key:
        return next(iter(self))

    def get(self, id: str) -> Key:
        if id not in self._keys:
            self._keys = _read(self.path) | self._keys  # what was read under a key that went meanwhile is still to be opened
        if id not in self._keys:
            raise StoreError(f"{self.path}: expected the key {id}, found {', '.join(self._keys)}")
        return self._keys[id]

    def add(self) -> Key:
        """A new key, on the disk before it is returned."""
        present = _read(self.path)
        key = _new_key(present)
        self._replace([key, *present.values()])
        return key

    def keep(self, ids: set[str]) -> list[str]:
        """Drops all other keys, and says which those were."""
        present = _read(self.path)
        self._replace([key for key in present.values() if key.id in ids])
        return [id for id in present if id not in ids]

    def _replace(self, keys: list[Key]) -> None:
        files.replace(self.path, _encoded(keys))
        self._keys = {key.id: key for key in keys}


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), SECRET_BYTES, salt=None, info=purpose).derive(secret)


def _new_key(taken: Container[str]) -> Key:
    while (id := secrets.token_hex(4)) in taken:
        continue
    return Key(id, secrets.token_bytes(SECRET_BYTES))


def _encoded(keys: list[Key]) -> bytes:
    entries = [_Entry(key.id, base64.b64encode(key.secret).decode()) for key in keys]
    return msgspec.json.format(msgspec.json.encode(_File(entries))) + b"\n"


def _read(path: Path) -> dict[str, Key]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as exc:
        raise StoreError(f"{path}: cannot be read: {exc.strerror}") from exc
    if mode & ~PRIVATE:
        raise StoreError(f"{path}: expected mode {PRIVATE:04o}, found {mode:04o}")
    try:
        entries = msgspec.json.decode(content, type=_File).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StoreError(f"{path}: expected a keyring of fastgw: {exc}") from exc
    keys = {entry.id: Key(entry.id, _secret(path, entry)) for entry in entries}
    if len(keys) != len(entries):
        raise StoreError(f"{path}: expected each key once")
    return keys


def _secret(path: Path, entry: _Entry) -> bytes:
    try:
        secret = base64.b64decode(entry.secret, validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise StoreError(f"{path}: key {entry.id}: expected {SECRET_BYTES} bytes in base64")
    return secret
