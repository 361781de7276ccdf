"""limit-conn: let so many requests run at once.

Owns the configuration. Must not know where the counts lie, or how they survive a dead worker (native/limit_conn, native/holds).
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin
from fastgw.plugins.limited import MOST, key_template, number_faults, rejected_body
from fastgw.plugins.redis_fields import RedisConf
from fastgw.schema.base import Nested, Positive, Text
from fastgw.schema.rules import broken, required

__all__ = ["Conf", "LimitConn"]

_LONGEST_DELAY = 3600  # seconds
_LONGEST_TTL = 2**31 - 1  # seconds: in nanoseconds it fits 64 bits
_MOST_RULES = 6  # native/holds.pxd: a request holds 8 slots at most, and others may stand on global rules

Conn = Annotated[int, Meta(gt=0, le=MOST)] | Text
Burst = Annotated[int, Meta(ge=0, le=MOST)] | Text


class Rule(Nested, frozen=True, kw_only=True):
    """One of several limits of a request.

    conn: how many requests run at once without waiting; a whole number, or text with $variables that gives one
    burst: how many more may run, after a delay; as `conn`
    key: what requests are counted by, text with $variables; a request without any of them is not counted
    """

    conn: Conn
    burst: Burst
    key: Text

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Texts that can give a number."""
        yield from number_faults(good, conn=(1, MOST), burst=(0, MOST))


class Conf(RedisConf, frozen=True, kw_only=True):
    """limit-conn: how many requests at once, counted by what.

    conn: how many requests run at once without waiting; a whole number, or text with $variables that gives one. Required where
        there are no `rules`, as are `burst` and `key`
    burst: how many more may run, after a delay; as `conn`. What comes beyond is refused
    default_conn_delay: seconds that a request is taken to last: the delay of those above `conn`
    only_use_default_delay: whether the delay stays as given, instead of following what requests are seen to last
    key_type: var: `key` names a variable; var_combination: text with $variables
    key: what requests are counted by; the client's address where it has no value
    rules: several limits at once, instead of conn, burst and key; the first that is exceeded refuses
    policy: where counts are kept; local: in the shared memory of this gateway; others: in a Redis, for many gateways
    key_ttl: seconds after which slots are free that a gateway held which is not heard of any more, in a Redis
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request: `{"error_msg": …}`
    allow_degradation: whether requests pass when the limiter fails
    """

    conn: Conn | None = None
    burst: Burst | None = None
    default_conn_delay: Positive
    only_use_default_delay: bool = False
    key: Text | None = None
    key_type: Literal["var", "var_combination"] = "var"
    rules_: Annotated[tuple[Rule, ...], Meta(min_length=1, max_length=_MOST_RULES)] | None = field(default=None, name="rules")
    policy: Literal["local", "redis", "redis-cluster"] = "local"
    key_ttl: Annotated[int, Meta(ge=1, le=_LONGEST_TTL)] = 3600
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 503
    rejected_msg: Text | None = None
    allow_degradation: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Either one limit or several; a delay that somebody may wait for."""
        yield from super().rules(good, present)
        yield from number_faults(good, conn=(1, MOST), burst=(0, MOST))
        if "default_conn_delay" in good and good["default_conn_delay"] > _LONGEST_DELAY:
            yield broken("default_conn_delay", f"expected at most {_LONGEST_DELAY} seconds")
        for name in ("conn", "burst", "key"):
            if "rules" not in present:
                yield from required(present, name, "rules would be the other way", f'property "{name}" is required')
            elif name in present:
                yield broken(name, "expected none beside rules")


class LimitConn(Plugin):
    """Counts requests that run, and refuses those over the limit."""

    name = "limit-conn"
    version = 0.1
    # How much may they. After every check that may refuse, as a refused request must not count.
    priority = 1003
    phases = ("access",)
    counts = True
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step per limit; the exchange itself gives its slots back when it ends."""
        redis = conf.redis_settings()
        step = partial(self._step, conf, None if redis is None else env.store(redis))
        identity = f"{env.owner}/{self.name}"
        if conf.rules_ is None:
            one: Any = conf  # its members are there: Conf.rules has seen to it
            return [step(identity, key_template(one.key, one.key_type), one.conn, one.burst)]
        return [
            step(f"{identity}/{rule.key}", key_template(rule.key, "var_combination"), rule.conn, rule.burst, True)
            for rule in conf.rules_
        ]

    @staticmethod
    def _step(
        conf: Conf,
        store: _core.RemoteStore | None,
        identity: str,
        key: _core.Template,
        conn: int | str,
        burst: int | str,
        is_rule: bool = False,
    ) -> _core.Step:
        return _core.LimitConnStep(
            identity.encode(),
            key,
            conn=_core.Template(str(conn), "var_combination"),
            burst=_core.Template(str(burst), "var_combination"),
            delay=conf.default_conn_delay,
            learns=not conf.only_use_default_delay,
            is_rule=is_rule,
            rejected_code=conf.rejected_code,
            rejected_body=rejected_body(conf.rejected_msg),
            pass_on_failure=conf.allow_degradation,
            shadow=conf.meta.shadow,
            store=store,
            ttl=conf.key_ttl,
        )
