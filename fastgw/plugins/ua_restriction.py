"""ua-restriction: let only some programs send requests, or all but some, by what they call themselves.

Owns the configuration. Must not know how a User-Agent is found and judged (native/ua_restriction).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.regex import Regex, flaw, search_of
from fastgw.schema.rules import broken, exactly_one

__all__ = ["Conf", "UaRestriction"]

Patterns = Annotated[tuple[Regex, ...], Meta(min_length=1, max_length=1024)]


class Conf(PluginConf, frozen=True, kw_only=True):
    """ua-restriction: one of two lists, and the answer to who is refused.

    allowlist: a User-Agent in which none of them is found is refused
    denylist: a User-Agent in which one of them is found is refused
    bypass_missing: whether requests without a User-Agent pass
    message: what is said to who is refused
    """

    allowlist: Patterns | None = None
    denylist: Patterns | None = None
    bypass_missing: bool = False
    message: Annotated[str, Meta(min_length=1, max_length=1024)] = "Not allowed"

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One list, whose expressions fit into memory together."""
        yield from exactly_one(present, "allowlist", "denylist")
        for name in ("allowlist", "denylist"):
            if name in good and flaw(*good[name]):
                yield broken(name, "expected shorter or fewer expressions: together they take too much memory")


class UaRestriction(Plugin):
    """Refuses requests of programs that may not send any."""

    name = "ua-restriction"
    version = 0.1
    # Where does it come from, in `access`.
    priority = 2999
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        step = _core.UaRestrictionStep(
            search_of(*(conf.allowlist or conf.denylist or ())),
            admits=conf.allowlist is not None,
            bypass_missing=conf.bypass_missing,
            body=msgspec.json.encode({"message": conf.message}) + b"\n",
        )
        return [step]
