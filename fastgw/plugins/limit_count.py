"""limit-count: admit at most so many requests in so much time.

Owns the configuration. Must not know where the counts lie or how they are taken (native/limits).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.limited import MOST, key_template, number, number_faults, rejected_body
from fastgw.plugins.redis_fields import RedisCountConf
from fastgw.schema.base import HeaderName, Nested, Text
from fastgw.schema.rules import broken, required

__all__ = ["Conf", "LimitCount", "Metadata", "Rule"]

_MAX_WINDOW = 2**31 - 1  # seconds, 68 years: in nanoseconds it fits 64 bits
_MOST_RULES = 16  # of each the client is told in header lines of its own

Count = Annotated[int, Meta(gt=0, le=MOST)] | Text
Window = Annotated[int, Meta(gt=0, le=_MAX_WINDOW)] | Text


class Rule(Nested, frozen=True, kw_only=True):
    """One of several limits of a request.

    count: how many requests are admitted in one window; a whole number, or text with $variables that gives one
    time_window: the length of a window in seconds; as `count`
    key: what requests are counted by, text with $variables; a request without any of them is not counted
    header_prefix: its headers are X-<header_prefix>-RateLimit-Limit and so on; the rule's number when left out
    """

    count: Count
    time_window: Window
    key: Text
    header_prefix: HeaderName | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Texts that can give a number."""
        yield from number_faults(good, count=(1, MOST), time_window=(1, _MAX_WINDOW))


class Conf(RedisCountConf, frozen=True, kw_only=True):
    """limit-count: how many requests, in how many seconds, counted by what.

    count: how many requests are admitted in one window; a whole number, or text with $variables that gives one. Required where
        there are no `rules`
    time_window: the length of a window in seconds; as `count`
    window_type: fixed: starts with its first request; sliding: moves on; token-bucket: refills evenly
    burst: how many requests a full bucket admits at once, for token-bucket; `count` when left out
    key_type: var: `key` names a variable; var_combination: text with $variables; constant: the key
    key: what requests are counted by; the client's address where it has no value
    rules: several limits at once, instead of count, time_window and key; the first that is exceeded refuses
    group: objects that share the value share one count; their configurations must be equal but for `_meta`. Not with `rules`
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request: `{"error_msg": …}`
    policy: where counts are kept; local: in the shared memory of this gateway; others: in a Redis, for many gateways
    allow_degradation: whether requests pass when the limiter fails
    show_limit_quota_header: whether answers carry X-RateLimit-Limit, -Remaining and -Reset
    """

    count: Count | None = None
    time_window: Window | None = None
    window_type: Literal["fixed", "sliding", "token-bucket"] = "fixed"
    burst: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    key_type: Literal["var", "var_combination", "constant"] = "var"
    key: Text = "remote_addr"
    rules_: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=_MOST_RULES)] | None = field(default=None, name="rules")
    group: Text | None = None
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 503
    rejected_msg: Text | None = None
    policy: Literal["local", "redis", "redis-cluster", "redis-sentinel"] = "local"
    allow_degradation: bool = False
    show_limit_quota_header: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Either one limit or several, each by a key of its own; a burst belongs to one bucket."""
        yield from super().rules(good, present)
        yield from number_faults(good, count=(1, MOST), time_window=(1, _MAX_WINDOW))
        if "burst" in good and good.get("window_type") != "token-bucket":
            yield broken("burst", 'expected only with window_type "token-bucket"')
        if "rules" not in present:
            for name in ("count", "time_window"):
                yield from required(present, name, "rules would be the other way", f'property "{name}" is required')
            return
        if "count" in present or "time_window" in present:
            text = "count/time_window and rules cannot be specified at the same time"
            yield Fault(Path(("rules",)), "expected none beside count and time_window", "rule", apisix=text)
        if "group" in present:
            text = "group and rules cannot be specified at the same time"
            yield Fault(Path(("group",)), "expected none beside rules", "rule", apisix=text)
        if "burst" in present:
            yield broken("burst", "expected none beside rules")
        seen = set[str]()
        for index, rule in enumerate(good.get("rules", ())):
            if rule["key"] in seen:
                message = f"expected another key for each rule, found {rule['key']} again"
                yield Fault(Path(("rules", index, "key")), message, "duplicate", apisix=f"duplicate key '{rule['key']}' in rules")
            seen.add(rule["key"])


class Metadata(PluginConf, frozen=True, kw_only=True):
    """How limit-count tells clients of their quotas.

    limit_header: carries the limit
    remaining_header: carries what is left of it
    reset_header: carries the seconds until it is whole again
    draft_headers: whether answers also carry RateLimit and RateLimit-Policy, as the IETF drafts them
    """

    limit_header: HeaderName = "X-RateLimit-Limit"
    remaining_header: HeaderName = "X-RateLimit-Remaining"
    reset_header: HeaderName = "X-RateLimit-Reset"
    draft_headers: bool = False


class LimitCount(Plugin):
    """Counts requests and refuses those over the limit."""

    name = "limit-count"
    version = 0.5
    # How much may they. After every check that may refuse, as a refused request must not count.
    priority = 1002
    phases = ("access",)
    counts = True
    conf = Conf
    metadata_conf = Metadata
    group_field = "group"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step per limit. What is counted belongs to the owner (or the group), never to a version of either."""
        told: Metadata = env.metadata(self)
        identity = f"group/{conf.group}" if conf.group else env.owner
        # The kind of the owner is the limit's name: of each kind at most one has a say in a request.
        kind = env.owner.partition("/")[0].removesuffix("s").replace("_", "-")
        redis = conf.redis_settings()
        shared: dict[str, Any] = {
            "algorithm": conf.window_type,
            "burst": conf.burst,
            "rejected_code": conf.rejected_code,
            "rejected_body": rejected_body(conf.rejected_msg),
            "pass_on_failure": conf.allow_degradation,
            "shadow": conf.meta.shadow,
            "quota_headers": conf.show_limit_quota_header,
            "store": None if redis is None else env.store(redis),
            "sync": max(conf.sync_interval, 0),
        }
        if conf.rules_ is None:
            one: Any = conf  # its numbers are there: Conf.rules has seen to it
            step = _core.LimitCountStep(
                f"{identity}/{self.name}".encode(),
                key_template(conf.key, conf.key_type),
                count=number(one.count),
                window=number(one.time_window),
                header_names=(told.limit_header, told.remaining_header, told.reset_header),
                policy=kind if told.draft_headers else None,
                **shared,
            )
            return [step]
        return [
            _core.LimitCountStep(
                f"{identity}/{self.name}/{rule.key}".encode(),
                key_template(rule.key, "var_combination"),
                count=number(rule.count),
                window=number(rule.time_window),
                rule=(at, len(conf.rules_)),
                header_names=_rule_headers(rule.header_prefix or str(at)),
                policy=(rule.header_prefix or f"{kind}-{at}") if told.draft_headers else None,
                **shared,
            )
            for at, rule in enumerate(conf.rules_, 1)
        ]


def _rule_headers(prefix: str) -> tuple[str, str, str]:
    return f"X-{prefix}-RateLimit-Limit", f"X-{prefix}-RateLimit-Remaining", f"X-{prefix}-RateLimit-Reset"
