"""traffic-split: send shares of the requests, or requests of some kinds, to other upstreams.

Owns the configuration. Must not know how a share is drawn (native/traffic_split), nor how an upstream is made.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Id, Nested
from fastgw.schema.expression import expression_faults, parsed
from fastgw.schema.rules import at_most_one
from fastgw.schema.served import unserved
from fastgw.schema.upstream import Upstream

__all__ = ["Conf", "Match", "Rule", "TrafficSplit", "WeightedUpstream"]

_MOST_WEIGHT: Final = 2**31 - 1


class Match(Nested, frozen=True, kw_only=True):
    """One kind of requests.

    vars: an expression over the request; any request fits when left out
    """

    vars: list[Any] | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The expression must parse."""
        yield from (fault.under(Path(("vars",))) for fault in expression_faults(good.get("vars", [])))


class WeightedUpstream(Nested, frozen=True, kw_only=True):
    """Where a share goes; the route's own upstream where nothing is said of another.

    upstream_id: the id of an upstream
    upstream: an upstream, without health checks
    weight: its part of the sum of weights; 0 takes none
    """

    upstream_id: Id | None = None
    upstream: Upstream | None = None
    weight: Annotated[int, Meta(ge=0)] = 1

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """One upstream, of a kind that is served, which nobody checks."""
        yield from at_most_one(present, "upstream_id", "upstream")
        inline = good.get("upstream")
        if inline is not None:
            yield from (fault.under(Path(("upstream",))) for fault in unserved("upstreams", inline, Path()))
            if "checks" in inline:
                message = "not supported; make it an upstream of its own, and give its id as upstream_id"
                yield Fault(Path(("upstream", "checks")), message, "unsupported")


class Rule(Nested, frozen=True, kw_only=True):
    """What is done with some requests.

    match: kinds of requests, of which one must fit; all do when left out
    weighted_upstreams: where they go, by shares; to the route's own upstream when left out
    """

    match: tuple[Match, ...] = ()
    weighted_upstreams: Annotated[tuple[WeightedUpstream, ...], Meta(min_length=1, max_length=20)] | None = None


class Conf(PluginConf, frozen=True, kw_only=True):
    """traffic-split: which requests go where.

    rules: the first one that fits decides
    """

    rules_: tuple[Rule, ...] = msgspec.field(default=(), name="rules")


class TrafficSplit(Plugin):
    """Chooses the upstream of a request."""

    name = "traffic-split"
    version = 0.1
    # Which upstream takes it, in `access`, for what is let through.
    priority = 966
    phases = ("access",)
    conf = Conf

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """Those of all rules."""
        for index, rule in enumerate(conf.get("rules", ())):
            for at, each in enumerate(rule.get("match", ())):
                if each.get("vars"):
                    yield Path(("rules", index, "match", at, "vars")), each["vars"]

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step."""
        rules = [
            (
                [_core.Expression(parsed(each.vars)) for each in rule.match if each.vars]
                if all(each.vars for each in rule.match)
                else [],
                [
                    (_upstream(each, env), min(each.weight, _MOST_WEIGHT))
                    for each in rule.weighted_upstreams or (WeightedUpstream(),)
                ],
            )
            for rule in conf.rules_
        ]
        return [_core.TrafficSplitStep(rules)] if rules else []


def _upstream(share: WeightedUpstream, env: Env) -> _core.Upstream | None:
    which = share.upstream if share.upstream_id is None else str(share.upstream_id)
    return None if which is None else env.upstream(which)
