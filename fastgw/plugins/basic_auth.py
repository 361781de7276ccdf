"""basic-auth: admit a request that carries a consumer's user name and password (RFC 7617).

Owns the two configurations, of routes and of credentials. Must not know routes, consumers, or how a password is
compared (native/basic_auth).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.plugins.passwords import is_hash, verifier
from fastgw.schema.base import Realm, Secret, Text

__all__ = ["BasicAuth", "Conf", "ConsumerConf"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """basic-auth on a route or service.

    hide_credentials: whether `Authorization` is removed before the request goes upstream, whatever the outcome
    realm: the realm of `WWW-Authenticate`
    anonymous_consumer: username of the consumer that any other request is taken for, instead of refusing it
    """

    hide_credentials: bool = False
    realm: Realm = "basic"
    anonymous_consumer: Text | None = None


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """basic-auth on a consumer or credential.

    username: the user name, without `:`; unique among all credentials
    password: the password, in clear or as its hash by argon2id or scrypt; may be `$env://NAME`. Other hashes (`$2b$…`,
        `{SSHA}…`) are refused: they would themselves be the password
    """

    username: Text
    password: Secret

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A name that no request can carry; a hash that cannot be judged, and must not itself be the password."""
        if ":" in good.get("username", ""):
            yield Fault(Path(("username",)), "expected no ':', which ends the user name in a request", "format")
        if is_hash(good.get("password", "")):
            try:
                verifier(good["password"])
            except ValueError as error:
                yield Fault(Path(("password",)), f"expected the password in clear or as {error}, found another hash", "format")


class BasicAuth(Plugin):
    """Finds the consumer whose user name and password the request carries."""

    name = "basic-auth"
    version = 0.1
    # Who is it. All in `rewrite`, so that everything later may depend on the consumer.
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
        name = conf.username.encode()
        if is_hash(conf.password):
            return Key("basic", name, password=_core.PasswordHash(verifier(conf.password)))
        return Key("basic", name, proof=_core.SharedSecret(conf.password.encode()))
