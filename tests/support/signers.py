"""A key of every kind that a credential may have, and what tokens are made with: one signer for each algorithm.

Owns: keys made anew for each run, signing, and the credential of each signer as the config file has it. Must not know what a
gateway says of any token.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

HASHES: Mapping[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
HS = ("HS256", "HS384", "HS512")
NAMES = (
    *HS,
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed448"),  # the algorithm of Ed448 is EdDSA too
)


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


class Signer(NamedTuple):
    """Whoever holds a private key or shared secret; `private` is a key object, or the secret's bytes."""

    name: str
    private: Any

    @property
    def alg(self) -> str:
        """As a token's header has it."""
        return "EdDSA" if self.name == "Ed448" else self.name

    @property
    def family(self) -> str:
        return self.alg[:2]

    @property
    def digest(self) -> hashes.HashAlgorithm:
        return HASHES[self.alg[2:]]

    @property
    def key(self) -> bytes:
        """The value of the claim that names the credential."""
        return self.name.lower().encode() + b"-key"

    @property
    def public(self) -> Any:
        """The public key's object; of a shared secret the secret."""
        return self.private if isinstance(self.private, bytes) else self.private.public_key()

    def public_bytes(self, encoding: Encoding = Encoding.PEM, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
        return bytes(self.public.public_bytes(encoding, form))

    def sign(self, message: bytes) -> bytes:
        if self.family == "HS":
            return hmac.digest(self.private, message, self.digest.name)
        if self.family == "ES":
            r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(self.digest)))
            return r.to_bytes(self.coordinate, "big") + s.to_bytes(self.coordinate, "big")
        if self.family == "RS":
            return bytes(self.private.sign(message, padding.PKCS1v15(), self.digest))
        if self.family == "PS":
            return self.sign_pss(message, self.digest.digest_size)
        return bytes(self.private.sign(message))

    def sign_pss(self, message: bytes, salt: int) -> bytes:
        """RSASSA-PSS with a salt of that many bytes."""
        return bytes(self.private.sign(message, padding.PSS(padding.MGF1(self.digest), salt), self.digest))

    @property
    def coordinate(self) -> int:
        """Bytes of each half of an ES signature."""
        return int(self.private.curve.key_size + 7) // 8

    @property
    def header(self) -> bytes:
        return b'{"alg":"%s","typ":"JWT"}' % self.alg.encode()

    def payload(self, **claims: Any) -> bytes:
        return json.dumps({"key": self.key.decode(), **claims}, separators=(",", ":")).encode()

    def seal(self, signing_input: bytes) -> bytes:
        """The input, a dot, and its right signature."""
        return signing_input + b"." + b64(self.sign(signing_input))

    def token(self, header: bytes | None = None, payload: bytes | None = None) -> bytes:
        """A token whose signature is right, whatever its parts say."""
        head = self.header if header is None else header
        return self.seal(b64(head) + b"." + b64(self.payload() if payload is None else payload))

    def credential(self) -> dict[str, Any]:
        """As the config file has it."""
        conf: dict[str, Any] = {"key": self.key.decode(), "algorithm": self.alg}
        if self.family == "HS":
            conf["secret"] = self.private.decode()
        else:
            conf["public_key"] = self.public_bytes().decode()
        return {"id": f"of-{self.name}", "plugins": {"jwt-auth": conf}}

    def consumer(self) -> dict[str, Any]:
        return {"username": self.name.lower(), "credentials": [self.credential()]}


def _made(name: str, rsa_key: rsa.RSAPrivateKey, mark: bytes) -> Any:
    if name in HS:
        # As long as HMAC takes a key as it is: of a longer one the digest is the same key (RFC 2104 section 2).
        return (b"%b-secret-of-%b-" % (mark, name.encode())).ljust(64, b"x")
    if name in CURVES:
        return ec.generate_private_key(CURVES[name]())
    if name == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ed448.Ed448PrivateKey.generate() if name == "Ed448" else rsa_key


def _all(mark: bytes) -> dict[str, Signer]:
    rsa_key = rsa.generate_private_key(65537, 2048)
    return {name: Signer(name, _made(name, rsa_key, mark)) for name in NAMES}


SIGNERS = _all(b"own")
STRANGERS = _all(b"stranger")  # keys of the same kinds that no credential has


def private_pem(signer: Signer) -> bytes:
    """The private key, for libraries."""
    return bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def now() -> int:
    return int(time.time())
