"""uri-blocker: refuse requests whose URI looks like an attack.

Owns the configuration. Must not know how a URI is judged (native/uri_blocker).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.phrases import phrase
from fastgw.schema.base import Text, unique
from fastgw.schema.regex import Regex, flaw, search_of
from fastgw.schema.rules import broken

__all__ = ["Conf", "UriBlocker"]


class Conf(PluginConf, frozen=True, kw_only=True):
    """uri-blocker: what is refused, and how.

    block_rules: a request in whose path and query one of them is found is refused
    case_insensitive: whether upper and lower case are the same
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request; the status's phrase when left out
    """

    block_rules: Annotated[tuple[Regex, ...], Meta(max_length=1024), unique]
    case_insensitive: bool = False
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 403
    rejected_msg: Text | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Its expressions fit into memory together."""
        if good.get("block_rules") and flaw(*good["block_rules"], fold=good.get("case_insensitive") is True):
            yield broken("block_rules", "expected shorter or fewer expressions: together they take too much memory")


class UriBlocker(Plugin):
    """Refuses requests by their URI."""

    name = "uri-blocker"
    version = 0.1
    # Does it look like an attack, in `rewrite`.
    priority = 2900
    phases = ("rewrite",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step; none where nothing is blocked."""
        if not conf.block_rules:
            return []
        message = conf.rejected_msg if conf.rejected_msg is not None else phrase(conf.rejected_code)
        step = _core.UriBlockerStep(
            search_of(*conf.block_rules, fold=conf.case_insensitive),
            status=conf.rejected_code,
            body=msgspec.json.encode({"error_msg": message}) + b"\n",
        )
        return [step]
