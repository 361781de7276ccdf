"""limit-req: let requests pass evenly, so many in a second; a few may wait for their turn.

Owns the configuration. Must not know where the counts lie or how a request waits (native/limit_req, native/delay).
"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.limited import key_template, rejected_body
from fastgw.plugins.redis_fields import RedisConf
from fastgw.schema.base import Positive, Text
from fastgw.schema.rules import broken

__all__ = ["Conf", "LimitReq"]

_SLOWEST = 1e-6  # per second: one in 11 days. In nanoseconds its time fits 64 bits, with room for a burst
_FASTEST = 1e9
_PARTS = 1000  # of a request: what a burst that is no whole number is rounded to
_DENOMINATOR = 10**6


class Conf(RedisConf, frozen=True, kw_only=True):
    """limit-req: how many requests per second, and how many may wait.

    rate: requests per second that pass without waiting
    burst: how many requests may be ahead of that rate; they wait for their turn, and what comes beyond is refused
    key_type: var: `key` names a variable; var_combination: text with $variables
    key: what requests are counted by; the client's address where it has no value
    policy: where counts are kept; local: in the shared memory of this gateway; others: in a Redis, for many gateways
    nodelay: whether requests within the burst pass at once
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request: `{"error_msg": …}`
    allow_degradation: whether requests pass when the limiter fails
    """

    rate: Positive
    burst: Annotated[float, Meta(ge=0)]
    key: Text
    key_type: Literal["var", "var_combination"] = "var"
    policy: Literal["local", "redis", "redis-cluster"] = "local"
    nodelay: bool = False
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 503
    rejected_msg: Text | None = None
    allow_degradation: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Rates and bursts that can be counted."""
        yield from super().rules(good, present)
        if "rate" in good and not _SLOWEST <= good["rate"] <= _FASTEST:
            yield broken("rate", f"expected {_SLOWEST:f} to {_FASTEST:.0f} requests per second")
        if "burst" in good and good["burst"] > _FASTEST:
            yield broken("burst", f"expected at most {_FASTEST:.0f}")


class LimitReq(Plugin):
    """Smooths requests to a rate and refuses those too far ahead of it."""

    name = "limit-req"
    version = 0.1
    # How much may they. After every check that may refuse, as a refused request must not count.
    priority = 1001
    phases = ("access",)
    counts = True
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step. The rate goes to it as whole requests in whole seconds, since it counts without rounding."""
        rate = Fraction(str(conf.rate))
        rate = 1 / (1 / rate).limit_denominator(_DENOMINATOR) if rate < 1 else rate.limit_denominator(_DENOMINATOR)
        redis = conf.redis_settings()
        burst = Fraction(str(conf.burst)).limit_denominator(_PARTS)
        step = _core.LimitReqStep(
            f"{env.owner}/{self.name}".encode(),
            key_template(conf.key, conf.key_type),
            count=rate.numerator,
            window=rate.denominator,
            burst=burst.numerator + burst.denominator,  # with the request itself
            parts=burst.denominator,
            nodelay=conf.nodelay,
            rejected_code=conf.rejected_code,
            rejected_body=rejected_body(conf.rejected_msg),
            pass_on_failure=conf.allow_degradation,
            shadow=conf.meta.shadow,
            store=None if redis is None else env.store(redis),
        )
        return [step]
