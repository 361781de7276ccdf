"""jwt-auth: admit a request that carries a token signed by a consumer's key.

Owns the two configurations, of routes and of credentials. Must not know routes, consumers, or how a token is
verified (native/jwt).
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.plugins.jwt_keys import public_secret
from fastgw.schema.base import HeaderName, Realm, Secret, Text, unique
from fastgw.schema.pem import load_public_key
from fastgw.schema.rules import required

__all__ = ["Algorithm", "Conf", "ConsumerConf", "JwtAuth"]

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
_RSA_BITS = 2048  # RFC 7518 section 3.3
_RSA_EXPONENT = 65537
_PUBLIC_TEXTS = (b"-----BEGIN ", b"ssh-rsa ", b"ssh-ed25519 ", b"ecdsa-sha2-")


class Conf(PluginConf, frozen=True, kw_only=True):
    """jwt-auth on a route or service: where the token lies and which claims it must have.

    header: the header that carries it, alone or after "Bearer "
    query: the query argument that carries it
    cookie: the cookie that carries it
    hide_credentials: whether it is removed before the request goes upstream
    key_claim_name: the claim that names the key
    store_in_ctx: whether later plugins may read the claims
    claims_to_verify: claims that must be there; both are checked wherever they are
    realm: the realm of the WWW-Authenticate header
    anonymous_consumer: who a request without a good token is taken for, instead of refusing it
    """

    header: HeaderName = "authorization"
    query: Text = "jwt"
    cookie: HeaderName = "jwt"
    hide_credentials: bool = False
    key_claim_name: Text = "key"
    store_in_ctx: bool = False
    claims_to_verify: Annotated[tuple[Literal["exp", "nbf"], ...], unique] = ()
    realm: Realm = "jwt"
    anonymous_consumer: Text | None = None


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """jwt-auth on a consumer or credential: the key that signs its tokens.

    key: the value of the claim that names the key; unique among all credentials
    secret: the shared secret of HS256, HS384 and HS512
    algorithm: the only algorithm accepted
    public_key: the public key, PEM, of all other algorithms
    exp: seconds; kept for APISIX clients, without effect
    base64_secret: whether `secret` is the shared secret in base64
    lifetime_grace_period: seconds of leeway for exp and nbf
    """

    key: Text
    secret: Secret | None = None
    algorithm: Algorithm = "HS256"
    public_key: Text | None = None
    exp: Annotated[int, Meta(ge=1)] = 86400
    base64_secret: bool = False
    lifetime_grace_period: Annotated[int, Meta(ge=0, le=_LONGEST_GRACE)] = 0

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """HS needs a secret that is one; the others a public key of their kind."""
        algorithm = good.get("algorithm", "HS256")
        if "algorithm" in present and "algorithm" not in good:
            return
        if algorithm.startswith("HS"):
            reason = 'property "secret" is required when using HS based algorithms'
            yield from required(present, "secret", f'algorithm "{algorithm}" needs it', reason)
            if "secret" in good:
                yield from _secret_faults(good["secret"], bool(good.get("base64_secret")))
        else:
            why = f'algorithm "{algorithm}" needs it'
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
    if key.lstrip().startswith(_PUBLIC_TEXTS):
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


class JwtAuth(Plugin):
    """Finds the consumer whose key signed the request's token."""

    name = "jwt-auth"
    version = 0.1
    priority = 2510
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    consumer_conf = ConsumerConf
    key_field = "key"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        name = conf.anonymous_consumer
        step = _core.JwtAuthStep(
            header=conf.header,
            query=conf.query,
            cookie=conf.cookie,
            key_claim=conf.key_claim_name,
            claims=conf.claims_to_verify,
            hide_credentials=conf.hide_credentials,
            realm=conf.realm,
            anonymous=env.anonymous(name) if name is not None else None,
        )
        return [step]

    def credential(self, conf: ConsumerConf) -> Key:
        """HS secrets become midstates; the others a verifier by `cryptography`."""
        if conf.algorithm.startswith("HS"):
            text = (conf.secret or "").encode()
            raw = base64.b64decode(text) if conf.base64_secret else text
            secret = _core.SecretKey(conf.algorithm, secret=raw)
        else:
            secret = public_secret(conf.algorithm, conf.public_key or "")
        return Key("jwt", conf.key.encode(), secret, conf.lifetime_grace_period)
