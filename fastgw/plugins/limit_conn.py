"""limit-conn: let so many requests run at once.

Owns the configuration. Must not know where the counts lie, or how they survive a dead worker (native/limit_conn, native/holds).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.limited import rejected_body
from fastgw.schema.base import Positive, Text
from fastgw.schema.rules import broken, unsupported

__all__ = ["Conf", "LimitConn"]

_MOST = 2**53 - 1  # the largest whole number that every JSON reader keeps exact
_LONGEST_DELAY = 3600  # seconds


class Conf(PluginConf, frozen=True, kw_only=True):
    """limit-conn: how many requests at once, counted by what.

    conn: how many requests run at once without waiting
    burst: how many more may run, after a delay; what comes beyond is refused
    default_conn_delay: seconds that a request is taken to last: the delay of those above `conn`
    only_use_default_delay: whether the delay stays as given, instead of following what requests are seen to last
    key_type: var: `key` names a variable; var_combination: text with $variables
    key: what requests are counted by
    policy: where counts are kept; local: in the shared memory of this gateway
    key_ttl: seconds; kept for APISIX clients, without effect: slots of a dead worker are given back at once
    rejected_code: the status of a refused request
    rejected_msg: the message of a refused request
    allow_degradation: whether requests pass when the limiter fails
    """

    conn: Annotated[int, Meta(gt=0, le=_MOST)]
    burst: Annotated[int, Meta(ge=0, le=_MOST)]
    default_conn_delay: Positive
    only_use_default_delay: bool = False
    key: Text
    key_type: Literal["var", "var_combination"] = "var"
    policy: Literal["local"] = "local"
    key_ttl: Annotated[int, Meta(ge=1)] = 3600
    rejected_code: Annotated[int, Meta(ge=200, le=599)] = 503
    rejected_msg: Text | None = None
    allow_degradation: bool = False

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A delay that somebody may wait for; several rules at once are not supported."""
        if "default_conn_delay" in good and good["default_conn_delay"] > _LONGEST_DELAY:
            yield broken("default_conn_delay", f"expected at most {_LONGEST_DELAY} seconds")
        yield from unsupported(present, rules="give conn, burst and key")


class LimitConn(Plugin):
    """Counts requests that run, and refuses those over the limit."""

    name = "limit-conn"
    version = 0.1
    priority = 1003
    phases = ("access",)
    conf = Conf

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step; the exchange itself gives the slot back when it ends."""
        step = _core.LimitConnStep(
            f"{env.owner}/{self.name}".encode(),
            _core.Template(conf.key, conf.key_type),
            conn=conf.conn,
            burst=conf.burst,
            delay=conf.default_conn_delay,
            learns=not conf.only_use_default_delay,
            rejected_code=conf.rejected_code,
            rejected_body=rejected_body(conf.rejected_msg),
            pass_on_failure=conf.allow_degradation,
        )
        return [step]
