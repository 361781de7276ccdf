"""ip-restriction: admit or refuse requests by the client's address.

Owns the configuration. Must not know how addresses are compared (native/ip_restriction), or what the client's
address is: the one that `remote_addr` names.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import IpRange
from fastgw.schema.rules import exactly_one

__all__ = ["Conf", "IpRestriction"]

Networks = Annotated[tuple[IpRange, ...], Meta(min_length=1)]


class Conf(PluginConf, frozen=True, kw_only=True):
    """ip-restriction: which addresses, and what is said to the others.

    whitelist: addresses and ranges that are admitted, and no others
    blacklist: addresses and ranges that are refused, and no others. Exactly one of the two lists
    message: what is said to who is refused
    response_code: the status of a refused request
    """

    whitelist: Networks | None = None
    blacklist: Networks | None = None
    message: Annotated[str, Meta(min_length=1, max_length=1024)] = "Your IP address is not allowed"
    response_code: Annotated[int, Meta(ge=403, le=404)] = 403

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One list, not two that could disagree."""
        yield from exactly_one(present, "whitelist", "blacklist")


class IpRestriction(Plugin):
    """Refuses requests from addresses that may not send any."""

    name = "ip-restriction"
    version = 0.1
    # Where does it come from, in `access`.
    priority = 3000
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        step = _core.IpRestrictionStep(
            conf.whitelist or conf.blacklist or (),
            admits=conf.whitelist is not None,
            body=msgspec.json.encode({"message": conf.message}) + b"\n",
            status=conf.response_code,
        )
        return [step]
