"""limit-count: admit at most so many requests in so much time.

Owns the configuration. Must not know where the counts lie or how they are taken (native/limits).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.limited import MOST, key_template, rejected_body
from fastgw.plugins.redis_fields import RedisCountConf
from fastgw.schema.base import HeaderName, Text
from fastgw.schema.rules import broken, unsupported

__all__ = ["Conf", "LimitCount", "Metadata"]

_MAX_WINDOW = 2**31 - 1  # seconds, 68 years: in nanoseconds it fits 64 bits


class Conf(RedisCountConf, frozen=True, kw_only=True):
    """limit-count: how many requests, in how many seconds, counted by what.

    count: how many requests are admitted in one window
    time_window: the length of a window in seconds
    window_type: fixed: starts with its first request; sliding: moves on; token-bucket: refills evenly
    burst: how many requests a full bucket admits at once, for token-bucket; `count` when left out
    key_type: var: `key` names a variable; var_combination: text with $variables; constant: the key
    key: what requests are counted by
    group: objects that share the value share one count
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request
    policy: where counts are kept; local: in the shared memory of this gateway; others: in a Redis, for many gateways
    allow_degradation: whether requests pass when the limiter fails
    show_limit_quota_header: whether answers carry X-RateLimit-Limit, -Remaining and -Reset
    """

    count: Annotated[int, Meta(gt=0, le=MOST)]
    time_window: Annotated[int, Meta(gt=0, le=_MAX_WINDOW)]
    window_type: Literal["fixed", "sliding", "token-bucket"] = "fixed"
    burst: Annotated[int, Meta(ge=1, le=MOST)] | None = None
    key_type: Literal["var", "var_combination", "constant"] = "var"
    key: Text = "remote_addr"
    group: Text | None = None
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 503
    rejected_msg: Text | None = None
    policy: Literal["local", "redis", "redis-cluster", "redis-sentinel"] = "local"
    allow_degradation: bool = False
    show_limit_quota_header: bool = True

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A burst belongs to a bucket; several rules at once are not supported."""
        if "burst" in good and good.get("window_type") != "token-bucket":
            yield broken("burst", 'expected only with window_type "token-bucket"')
        yield from super().rules(good, present)
        yield from unsupported(present, rules="give count and time_window")


class Metadata(PluginConf, frozen=True, kw_only=True):
    """The names of limit-count's headers.

    limit_header: carries the limit
    remaining_header: carries what is left of it
    reset_header: carries the seconds until it is whole again
    """

    limit_header: HeaderName = "X-RateLimit-Limit"
    remaining_header: HeaderName = "X-RateLimit-Remaining"
    reset_header: HeaderName = "X-RateLimit-Reset"


class LimitCount(Plugin):
    """Counts requests and refuses those over the limit."""

    name = "limit-count"
    version = 0.5
    priority = 1002
    phases = ("access",)
    counts = True
    conf = Conf
    metadata_conf = Metadata
    group_field = "group"

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step. What is counted belongs to the owner (or the group), never to a version of either."""
        names: Metadata = env.metadata(self)
        redis = conf.redis_settings()
        step = _core.LimitCountStep(
            (f"group/{conf.group}" if conf.group else env.owner).encode() + b"/limit-count",
            key_template(conf.key, conf.key_type),
            count=conf.count,
            window=conf.time_window,
            algorithm=conf.window_type,
            burst=conf.burst,
            rejected_code=conf.rejected_code,
            rejected_body=rejected_body(conf.rejected_msg),
            pass_on_failure=conf.allow_degradation,
            quota_headers=conf.show_limit_quota_header,
            header_names=(names.limit_header, names.remaining_header, names.reset_header),
            store=None if redis is None else env.store(redis),
            sync=max(conf.sync_interval, 0),
        )
        return [step]
