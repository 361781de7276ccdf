"""The credentials of jwt-auth: what a consumer's tokens are verified by, one key or a ring of them.

Owns their configuration, and what it is made into. Must not know routes, or how a token is verified (native/jwt,
native/jwt_keyring).
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins import jwks
from fastgw.plugins.contract import Fetched, Key, PluginConf
from fastgw.plugins.jwt_keys import public_secret
from fastgw.schema.base import Nested, Secret, Text
from fastgw.schema.pem import load_public_key
from fastgw.schema.rules import required

__all__ = ["Algorithm", "ConsumerConf", "RingKey", "key_of"]

Algorithm = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "EdDSA",
]
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_LONGEST_GRACE = 2**31 - 1  # seconds, 68 years
_LATEST = 2**53  # seconds since 1970: whole in every JSON parser
_KID_BYTES = 256
_RING_KEYS = 64
_RSA_BITS = 2048  # RFC 7518 section 3.3
_RSA_EXPONENT = 65537
_PEM = b"-----BEGIN "  # other text may stand before it
_SSH = (b"ssh-rsa ", b"ssh-ed25519 ", b"ecdsa-sha2-")

Moment = Annotated[int, Meta(ge=0, le=_LATEST)]


class RingKey(Nested, frozen=True, kw_only=True):
    """One key of a ring, with an algorithm of its own. Unknown members pass, as elsewhere in plugins.

    kid: what tokens that it signed say as `kid` in their header; at most 256 bytes of UTF-8, compared byte by byte
    algorithm: the only algorithm accepted; the credential's where it is left out
    secret: the shared secret of HS256, HS384 and HS512
    base64_secret: whether `secret` is the shared secret in base64
    public_key: the public key, PEM, of all other algorithms
    not_before: seconds since 1970 from which on it is in force
    expires: seconds since 1970 from which on it is no more
    """

    kid: Annotated[str, Meta(min_length=1, max_length=_KID_BYTES)]
    algorithm: Algorithm | None = None
    secret: Secret | None = None
    base64_secret: bool = False
    public_key: Text | None = None
    not_before: Moment | None = None
    expires: Moment | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A kid that fits, and a time that is not empty."""
        if "kid" in good and (size := len(_utf8(good["kid"]))) > _KID_BYTES:
            yield Fault(Path(("kid",)), f"expected at most {_KID_BYTES} bytes, found {size}", "rule")
        if "not_before" in good and "expires" in good and good["expires"] <= good["not_before"]:
            yield Fault(Path(("expires",)), "expected a time after not_before", "rule")


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """jwt-auth on a consumer or credential: the key that signs its tokens, or several.

    key: what the key claim says; unique among all credentials
    secret: the shared secret of HS256, HS384 and HS512
    algorithm: the only algorithm accepted
    public_key: the public key, PEM, of all other algorithms
    keys: keys that a token chooses from by its kid, instead of the one or beside it
    jwks_uri: where the issuer's key set (RFC 7517) is fetched from, instead of keys that stand here
    jwks_throttle: seconds between two fetches of it at least, whatever tokens come; of several credentials that name one set
        the longest counts
    jwks_allow_http: whether it may be fetched without TLS from another machine
    exp: seconds; kept for APISIX clients, without effect
    base64_secret: whether `secret` is the shared secret in base64
    lifetime_grace_period: seconds of leeway for exp and nbf
    """

    key: Text
    secret: Secret | None = None
    algorithm: Algorithm = "HS256"
    public_key: Text | None = None
    keys: Annotated[tuple[RingKey, ...], Meta(min_length=1, max_length=_RING_KEYS)] | None = None
    jwks_uri: Text | None = None
    jwks_throttle: Annotated[float, Meta(ge=1, le=86400)] = jwks.THROTTLE_S
    jwks_allow_http: bool = False
    exp: Annotated[int, Meta(ge=1)] = 86400
    base64_secret: bool = False
    lifetime_grace_period: Annotated[int, Meta(ge=0, le=_LONGEST_GRACE)] = 0

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """HS needs a secret that is one; the others a public key of their kind. Without a ring one must be there."""
        if "algorithm" in present and "algorithm" not in good:
            return
        algorithm = good.get("algorithm", "HS256")
        if "jwks_uri" in present:
            yield from _jwks_faults(algorithm, good, present)
            return
        if "keys" not in present or "secret" in present or "public_key" in present:
            yield from _key_faults(algorithm, good, present)
        yield from _ring_faults(algorithm, good.get("keys", ()))


def key_of(conf: ConsumerConf) -> Key:
    """What a credential is found and verified by."""
    if conf.jwks_uri is not None:
        place = jwks.place_of(conf.jwks_uri)
        return Key("jwt", conf.key.encode(), fetched=Fetched(place, lambda kept: _fetched_key(conf, place, kept)))
    ring = None if conf.keys is None else _core.KeyRing([_named(key, conf.algorithm) for key in conf.keys])
    return Key("jwt", conf.key.encode(), _secret_key(conf.algorithm, conf), conf.lifetime_grace_period, ring=ring)


def _named(key: RingKey, algorithm: str) -> tuple[bytes, _core.SecretKey, int | None, int | None]:
    secret = _secret_key(key.algorithm or algorithm, key)
    if secret is None:
        raise ValueError(f"keys: {key.kid!r}: expected a secret or public key of its algorithm, found none")
    return _utf8(key.kid), secret, key.not_before, key.expires


def _fetched_key(conf: ConsumerConf, place: str, kept: Any) -> Key:
    """Of a key set as it is kept; None: there has never been one, and every token is refused."""
    named: list[tuple[bytes, _core.SecretKey, None, None]] = []
    nameless = None
    for kid, key in jwks.usable(() if kept is None else kept["keys"], conf.algorithm):
        secret = public_secret(conf.algorithm, key)
        if kid is None:
            nameless = secret
        else:
            named.append((_utf8(kid), secret, None, None))
    ring = _core.KeyRing(named, jwks.number_of(place))
    return Key("jwt", conf.key.encode(), nameless, conf.lifetime_grace_period, ring=ring)


def _jwks_faults(algorithm: str, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
    """The set says which keys there are; it must not say which algorithm is accepted."""
    for name in ("secret", "public_key", "keys"):
        if name in present:
            yield Fault(Path((name,)), "expected none beside jwks_uri, which says where the keys are", "rule")
    if algorithm.startswith("HS"):
        found = f'"{algorithm}"' if "algorithm" in good else "none"
        yield Fault(Path(("algorithm",)), f"expected one of public keys, as jwks_uri is given; found {found}", "rule")
    if "jwks_uri" in good:
        wrong = jwks.wrong_uri(good["jwks_uri"], allow_http=bool(good.get("jwks_allow_http")))
        if wrong:
            yield Fault(Path(("jwks_uri",)), wrong, "format")


def _secret_key(algorithm: str, conf: ConsumerConf | RingKey) -> _core.SecretKey | None:
    """HS secrets become midstates; the others a verifier by `cryptography`. None: there is no such key."""
    if not algorithm.startswith("HS"):
        return None if conf.public_key is None else public_secret(algorithm, conf.public_key)
    if conf.secret is None:
        return None
    text = conf.secret.encode()
    return _core.SecretKey(algorithm, secret=base64.b64decode(text) if conf.base64_secret else text)


def _utf8(kid: str) -> bytes:
    return kid.encode(errors="surrogatepass")  # half a surrogate is no token's kid, but must not end in an exception


def _ring_faults(algorithm: str, keys: Any) -> Iterator[Fault]:
    """Each key is one of its algorithm, which may be the credential's, and no two have one kid."""
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        at = Path(("keys", index))
        yield from (fault.under(at) for fault in _key_faults(key.get("algorithm", algorithm), key, key))
        first = seen.setdefault(key["kid"], index)
        if first != index:
            yield Fault(at.to("kid"), f"expected a kid of its own, found that of keys[{first}]", "rule")


def _key_faults(algorithm: str, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
    why = f'algorithm "{algorithm}" needs it'
    if algorithm.startswith("HS"):
        reason = 'property "secret" is required when using HS based algorithms'
        yield from required(present, "secret", why, reason)
        if "secret" in good:
            yield from _secret_faults(good["secret"], bool(good.get("base64_secret")))
    else:
        yield from required(present, "public_key", why, "missing valid public key")
        if "public_key" in good:
            yield from _public_key_faults(algorithm, good["public_key"])


def _secret_faults(secret: str, base64_secret: bool) -> Iterator[Fault]:
    key = secret.encode(errors="surrogatepass")
    if base64_secret:
        try:
            key = base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            reason = "base64_secret required but the secret is not in base64 format"
            yield Fault(Path(("secret",)), "expected base64, as base64_secret is true", "format", apisix=reason)
            return
        if not key:
            yield Fault(Path(("secret",)), "expected base64 of at least 1 byte", "format")
    # An HS secret that is public text lets anyone who knows the public key sign (algorithm confusion).
    if _PEM in key or key.lstrip().startswith(_SSH):
        message = "expected a shared secret, found the text of a key or certificate; choose its algorithm instead"
        yield Fault(Path(("secret",)), message, "format")


def _public_key_faults(algorithm: str, text: str) -> Iterator[Fault]:
    wrong = ""
    try:
        key = load_public_key(text)
    except ValueError as error:
        wrong = str(error)
    else:
        if algorithm.startswith(("RS", "PS")):
            if not isinstance(key, rsa.RSAPublicKey):
                wrong = "an RSA key"
            elif key.key_size < _RSA_BITS or key.public_numbers().e < _RSA_EXPONENT:
                wrong = f"an RSA key of at least {_RSA_BITS} bits with an exponent of at least {_RSA_EXPONENT}"
        elif algorithm in _CURVES:
            if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != _CURVES[algorithm]:
                wrong = f"a key on the curve {_CURVES[algorithm]}"
        elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            wrong = "an Ed25519 or Ed448 key"
    if wrong:
        message = f'expected {wrong}, as algorithm is "{algorithm}"'
        yield Fault(Path(("public_key",)), message, "format", apisix="missing valid public key")
