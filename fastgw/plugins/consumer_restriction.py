"""consumer-restriction: admit or refuse requests by who sends them, or by the route or service that they ask for.

Owns the configuration. Must not know how a name is looked up (native/consumer_restriction), or how a consumer is found.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Method, Nested
from fastgw.schema.rules import any_of

__all__ = ["AllowedMethods", "Conf", "ConsumerRestriction"]

Names = Annotated[tuple[str, ...], Meta(min_length=1)]


class AllowedMethods(Nested, frozen=True, kw_only=True):
    """Which methods someone may use.

    user: the value of `type`; who is not named in any entry may use all methods
    methods: the methods that are admitted
    """

    user: str
    methods: Annotated[tuple[Method, ...], Meta(min_length=1)]


class Conf(PluginConf, frozen=True, kw_only=True):
    """consumer-restriction: who may pass, and what is said to the others.

    type: what of a request the lists name
    whitelist: who is admitted, and nobody else
    blacklist: who is refused; goes before the whitelist
    allowed_by_methods: who may use which methods. Who is not named may use all, who is on the whitelist too
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request
    """

    type: Literal["consumer_name", "consumer_group_id", "service_id", "route_id"] = "consumer_name"
    whitelist: Names | None = None
    blacklist: Names | None = None
    allowed_by_methods: tuple[AllowedMethods, ...] | None = None
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 403
    rejected_msg: str | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A restriction has something to restrict by."""
        yield from any_of(present, "blacklist", "whitelist", "allowed_by_methods")


class ConsumerRestriction(Plugin):
    """Refuses requests of those who may not send them."""

    name = "consumer-restriction"
    version = 0.1
    # May they, in `access`.
    priority = 2400
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        message = conf.rejected_msg if conf.rejected_msg is not None else f"The {conf.type} is forbidden."
        step = _core.ConsumerRestrictionStep(
            conf.type,
            whitelist=conf.whitelist,
            blacklist=conf.blacklist or (),
            methods=[(each.user, each.methods) for each in conf.allowed_by_methods or ()],
            status=conf.rejected_code,
            body=msgspec.json.encode({"message": message}) + b"\n",
        )
        return [step]
