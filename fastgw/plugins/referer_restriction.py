"""referer-restriction: let only pages of some hosts lead to a route, or of all but some.

Owns the configuration. Must not know how a Referer is found and judged (native/referer_restriction).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Host
from fastgw.schema.rules import exactly_one

__all__ = ["Conf", "RefererRestriction"]

Hosts = Annotated[tuple[Host, ...], Meta(min_length=1)]


class Conf(PluginConf, frozen=True, kw_only=True):
    """referer-restriction: one of two lists, and the answer to who is refused.

    whitelist: hosts whose pages may lead here, and no others; `*.a.com` is every host below a.com
    blacklist: hosts whose pages may not, and no others
    bypass_missing: whether requests without a Referer, or with one that is no URL, pass
    message: what is said to who is refused
    """

    whitelist: Hosts | None = None
    blacklist: Hosts | None = None
    bypass_missing: bool = False
    message: Annotated[str, Meta(min_length=1, max_length=1024)] = "Your referer host is not allowed"

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One list, not two that could disagree."""
        yield from exactly_one(present, "whitelist", "blacklist")


class RefererRestriction(Plugin):
    """Refuses requests that the wrong pages lead to."""

    name = "referer-restriction"
    version = 0.1
    # Where does it come from, in `access`.
    priority = 2990
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        step = _core.RefererRestrictionStep(
            conf.whitelist or conf.blacklist or (),
            admits=conf.whitelist is not None,
            bypass_missing=conf.bypass_missing,
            body=msgspec.json.encode({"message": conf.message}) + b"\n",
        )
        return [step]
