"""jwt-auth: admit a request that carries a token signed by a consumer's key.

Owns the configuration of routes. Must not know routes, consumers, what a credential is (jwt_credential.py), or how a token
is verified (native/jwt).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.concealed import conceal
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.plugins.jwt_credential import Algorithm, ConsumerConf, key_of
from fastgw.schema.base import HeaderName, Realm, Text, unique, whole

__all__ = ["Algorithm", "Conf", "ConsumerConf", "JwtAuth"]

_HEADERS = 16  # of claims
_DEPTH = 31  # names on the way to a claim; no token has more objects inside each other
_MOST_AGE = 2**31 - 1  # seconds, 68 years
_NAMES = re.compile(r"((?:[^.\\]|\\.)+)(?:\.|$)", re.DOTALL)
_PUNCTUATION = re.compile(r"[^0-9a-z]")

Admitted = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=256), unique]
ClaimPath = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        pattern=whole(rf"^(?:[^.\\]|\\[.\\])+(?:\.(?:[^.\\]|\\[.\\])+){{0,{_DEPTH - 1}}}$"),
        title="names of claims joined by '.'; a dot or backslash in a name stands behind a backslash",
    ),
]


class Conf(PluginConf, frozen=True, kw_only=True):
    """jwt-auth on a route or service: where the token lies and which claims it must have.

    header: the header that carries the token, alone or after `Bearer ` or `bearer `
    query: the query argument that carries it where the header is not there
    cookie: the cookie that carries it where neither is there
    hide_credentials: whether header, argument and cookie are removed before the request goes upstream, whatever the outcome
    key_claim_name: the claim that names the credential's `key`
    store_in_ctx: whether later Python plugins may read the claims, as `request.jwt_claims`
    claims_to_verify: claims that must be there, and no other time is then checked; when left out both are checked where they
        are there
    issuers: what `iss` may be; a token without it, or in which it is no string, is refused; any when left out
    audiences: `aud` must be one of them, or an array of strings that has one of them; any when left out
    max_token_age: seconds that may have passed since `iat`, which must be there and not lie in the future; the credential's
        `lifetime_grace_period` is added
    claims_to_headers: claims, by the way to them (`realm.roles`), and the header that carries each upstream
    realm: the realm of `WWW-Authenticate`
    anonymous_consumer: username of the consumer that any other request is taken for, instead of refusing it
    """

    header: HeaderName = "authorization"
    query: Text = "jwt"
    cookie: HeaderName = "jwt"
    hide_credentials: bool = False
    key_claim_name: Text = "key"
    store_in_ctx: bool = False
    claims_to_verify: Annotated[tuple[Literal["exp", "nbf"], ...], unique] = ()
    issuers: Admitted | None = None
    audiences: Admitted | None = None
    max_token_age: Annotated[int, Meta(ge=1, le=_MOST_AGE)] | None = None
    claims_to_headers: Annotated[dict[ClaimPath, HeaderName], Meta(max_length=_HEADERS)] | None = None
    realm: Realm = "jwt"
    anonymous_consumer: Text | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """No claim may speak in the gateway's own name, and no two by one header."""
        seen: dict[str, str] = {}
        for claim, header in good.get("claims_to_headers", {}).items():
            at = Path(("claims_to_headers", claim))
            try:
                _core.JwtClaims(headers=[([claim], header)])
            except ValueError:
                yield Fault(at, f'expected a header that the gateway does not set itself, found "{header}"', "rule")
            first = seen.setdefault(_PUNCTUATION.sub("-", header.lower()), claim)
            if first != claim:
                yield Fault(at, f'expected a header of its own, found that of "{first}"', "rule")


class JwtAuth(Plugin):
    """Finds the consumer whose key signed the request's token."""

    name = "jwt-auth"
    version = 0.1
    # Who is it. All in `rewrite`, so that everything later may depend on the consumer.
    priority = 2510
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    consumer_conf = ConsumerConf
    key_field = "key"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        name = conf.anonymous_consumer
        conceal(conf.header)
        step = _core.JwtAuthStep(
            header=conf.header,
            query=conf.query,
            cookie=conf.cookie,
            key_claim=conf.key_claim_name,
            claims=conf.claims_to_verify,
            hide_credentials=conf.hide_credentials,
            realm=conf.realm,
            anonymous=env.anonymous(name) if name is not None else None,
            fallback=name is not None,
            rules=_rules(conf),
            store=conf.store_in_ctx,
        )
        return [step]

    def own_headers(self, conf: Conf) -> Collection[str]:
        """Those that carry claims."""
        return tuple((conf.claims_to_headers or {}).values())

    def credential(self, conf: ConsumerConf) -> Key:
        """The key that a token names, and what its tokens are verified by."""
        return key_of(conf)


def _rules(conf: Conf) -> _core.JwtClaims | None:
    """What is done with claims, None where nothing is."""
    headers = [(_names(path), header) for path, header in (conf.claims_to_headers or {}).items()]
    if not (conf.issuers or conf.audiences or conf.max_token_age or headers):
        return None
    return _core.JwtClaims(issuers=conf.issuers, audiences=conf.audiences, max_age=conf.max_token_age or 0, headers=headers)


def _names(path: str) -> list[str]:
    r"""`a.b\.c` is the way through `a` to `b.c`."""
    return [re.sub(r"\\(.)", r"\1", name) for name in _NAMES.findall(path)]
