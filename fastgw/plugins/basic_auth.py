"""basic-auth: admit a request that carries a consumer's user name and password (RFC 7617).

Owns the two configurations, of routes and of credentials. Must not know routes, consumers, or how a password is
compared (native/basic_auth).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.schema.base import Realm, Secret, Text

__all__ = ["BasicAuth", "Conf", "ConsumerConf"]

# What crypt(3), PHC strings and LDAP make of passwords.
_HASHED = re.compile(
    r"\$(?:argon2(?:id|i|d)|scrypt|pbkdf2[\w-]*|2[abxy]?|gy|y|7|6|5|1|apr1)\$.+|\{(?:CRYPT|S?SHA\d*|S?MD5)\}.+", re.I
)


class Conf(PluginConf, frozen=True, kw_only=True):
    """basic-auth on a route or service.

    hide_credentials: whether the Authorization header is removed before the request goes upstream
    realm: the realm of the WWW-Authenticate header
    anonymous_consumer: who a request without good credentials is taken for, instead of refusing it
    """

    hide_credentials: bool = False
    realm: Realm = "basic"
    anonymous_consumer: Text | None = None


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """basic-auth on a consumer or credential.

    username: the user name; unique among all credentials
    password: the password, in clear
    """

    username: Text
    password: Secret

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A name that no request can carry; a hash, which would else itself be the password."""
        if ":" in good.get("username", ""):
            yield Fault(Path(("username",)), "expected no ':', which ends the user name in a request", "format")
        if _HASHED.fullmatch(good.get("password", "")):
            message = "expected the password in clear, found a hash of one, which is not available in this release"
            yield Fault(Path(("password",)), message, "unsupported")


class BasicAuth(Plugin):
    """Finds the consumer whose user name and password the request carries."""

    name = "basic-auth"
    version = 0.1
    priority = 2520
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    consumer_conf = ConsumerConf
    key_field = "username"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        name = conf.anonymous_consumer
        step = _core.BasicAuthStep(
            hide_credentials=conf.hide_credentials,
            realm=conf.realm,
            anonymous=env.anonymous(name) if name is not None else None,
            fallback=name is not None,
        )
        return [step]

    def credential(self, conf: ConsumerConf) -> Key:
        """Found by the user name, which is no secret; the password is what it must show."""
        return Key("basic", conf.username.encode(), proof=_core.SharedSecret(conf.password.encode()))
