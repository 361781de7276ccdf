"""hmac-auth: admit a request that is signed with a consumer's secret.

Owns the two configurations, of routes and of credentials. Must not know routes, consumers, or what of a request is
signed (native/hmac_auth).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.schema.base import Realm, Text, secret, unique
from fastgw.schema.rules import broken

__all__ = ["Algorithm", "Conf", "ConsumerConf", "HmacAuth"]

Algorithm = Literal["hmac-sha1", "hmac-sha256", "hmac-sha512"]
_LONGEST_SKEW = 2**31 - 1  # seconds, 68 years
_LARGEST_BODY = 2**31 - 1  # bytes: what one request may hold in memory


class Conf(PluginConf, frozen=True, kw_only=True):
    """hmac-auth on a route or service: what a signature must be like.

    allowed_algorithms: the algorithms that are accepted
    clock_skew: seconds by which the request's Date may differ from the gateway's clock
    signed_headers: headers that must be among the signed ones
    validate_request_body: whether the body must be the one that the Digest header describes
    max_req_body_size: bytes that such a body may have, as it is held until it was verified
    prevent_replay: whether a signature is good for one request only
    hide_credentials: whether `Authorization` is removed before the request goes upstream, whatever the outcome
    realm: the realm of `WWW-Authenticate`
    anonymous_consumer: username of the consumer that any other request is taken for, instead of refusing it
    """

    allowed_algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1), unique] = ("hmac-sha1", "hmac-sha256", "hmac-sha512")
    clock_skew: Annotated[int, Meta(ge=1, le=_LONGEST_SKEW)] = 300
    signed_headers: tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...] = ("date",)
    validate_request_body: bool = False
    max_req_body_size: Annotated[int, Meta(ge=1, le=_LARGEST_BODY)] = 67108864
    prevent_replay: bool = False
    hide_credentials: bool = False
    realm: Realm = "hmac"
    anonymous_consumer: Text | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A signature that holds for any date could be sent again when it is forgotten."""
        names = [name.lower() for name in good.get("signed_headers", ("date",))]
        if good.get("prevent_replay") and "date" not in names:
            yield broken("signed_headers", "expected date among them, as prevent_replay is true")


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """hmac-auth on a consumer or credential: the secret that signs its requests.

    key_id: what a request names the secret by; unique among all credentials
    secret_key: the secret; may be `$env://NAME`
    """

    key_id: Annotated[str, Meta(min_length=1, max_length=256)]
    secret_key: Annotated[str, Meta(min_length=1, max_length=256), secret]


class HmacAuth(Plugin):
    """Finds the consumer whose secret signed the request."""

    name = "hmac-auth"
    version = 0.1
    # Who is it. All in `rewrite`, so that everything later may depend on the consumer.
    priority = 2530
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    consumer_conf = ConsumerConf
    key_field = "key_id"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        name = conf.anonymous_consumer
        step = _core.HmacAuthStep(
            algorithms=conf.allowed_algorithms,
            clock_skew=conf.clock_skew,
            signed_headers=conf.signed_headers,
            digest=conf.validate_request_body,
            max_body=conf.max_req_body_size,
            once=conf.prevent_replay,
            hide_credentials=conf.hide_credentials,
            realm=conf.realm,
            anonymous=env.anonymous(name) if name is not None else None,
            fallback=name is not None,
        )
        return [step]

    def credential(self, conf: ConsumerConf) -> Key:
        """Found by the id, which is no secret."""
        return Key("hmac", conf.key_id.encode(), signing=_core.SigningSecret(conf.secret_key.encode()))
