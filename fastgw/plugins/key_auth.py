"""key-auth: admit a request that carries a consumer's API key.

Owns the two configurations, of routes and of credentials. Must not know routes, consumers, or how a key is looked
up (native/key_auth).
"""

from fastgw import _core
from fastgw.plugins.concealed import conceal
from fastgw.plugins.contract import Env, Key, Plugin, PluginConf
from fastgw.schema.base import HeaderName, Realm, Secret, Text

__all__ = ["Conf", "ConsumerConf", "KeyAuth"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """key-auth on a route or service: where the key lies.

    header: the header that carries it; `-` and `_` are the same
    query: the query argument that carries it where the header is not there; percent-decoded
    hide_credentials: whether header and argument are removed before the request goes upstream, whatever the outcome
    realm: the realm of `WWW-Authenticate`
    anonymous_consumer: username of the consumer that any other request is taken for, instead of refusing it
    """

    header: HeaderName = "apikey"
    query: Text = "apikey"
    hide_credentials: bool = False
    realm: Realm = "key"
    anonymous_consumer: Text | None = None


class ConsumerConf(PluginConf, frozen=True, kw_only=True):
    """key-auth on a consumer or credential: its API key.

    key: the key; unique among all credentials. May be `$env://NAME`
    """

    key: Secret


class KeyAuth(Plugin):
    """Finds the consumer whose API key the request carries."""

    name = "key-auth"
    version = 0.1
    # Who is it. All in `rewrite`, so that everything later may depend on the consumer.
    priority = 2500
    kind = "auth"
    phases = ("rewrite",)
    conf = Conf
    consumer_conf = ConsumerConf
    key_field = "key"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        name = conf.anonymous_consumer
        conceal(conf.header)
        step = _core.KeyAuthStep(
            header=conf.header,
            query=conf.query,
            hide_credentials=conf.hide_credentials,
            realm=conf.realm,
            anonymous=env.anonymous(name) if name is not None else None,
            fallback=name is not None,
        )
        return [step]

    def credential(self, conf: ConsumerConf) -> Key:
        """The index never holds the key itself, which is the secret."""
        proof = _core.SharedSecret(conf.key.encode())
        return Key("key", proof.index, proof=proof)
