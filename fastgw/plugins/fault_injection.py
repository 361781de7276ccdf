"""fault-injection: hold back some requests for a time, answer some at once, to see how clients bear it.

Owns the configuration. Must not know how chance is drawn or requests wait (native/fault_injection, native/delay).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.plugins.header_ops import HeaderValue, added, header_faults
from fastgw.schema.base import Nested
from fastgw.schema.expression import Group, expression_faults, parsed
from fastgw.schema.rules import any_of, broken

__all__ = ["Abort", "Conf", "Delay", "FaultInjection"]

_LAST_STATUS: Final = 599
_MOST_SECONDS: Final = 86400  # native/fault_injection.pxi

Percentage = Annotated[int, Meta(ge=0, le=100)]
Conditions = Annotated[tuple[list[Any], ...], Meta(max_length=20)]


def _condition_faults(conditions: Iterable[Any]) -> Iterator[Fault]:
    for index, condition in enumerate(conditions):
        yield from (fault.under(Path(("vars", index))) for fault in expression_faults(condition))


class Abort(Nested, frozen=True, kw_only=True):
    """What is answered at once.

    http_status: the status
    body: the body; $variables are filled in
    headers: headers of the answer; $variables in values are filled in
    percentage: of how many requests in a hundred
    vars: conditions, one of which holds; without them any request may be struck
    """

    http_status: Annotated[int, Meta(ge=200)]
    body: str | None = None
    headers: Annotated[dict[str, HeaderValue], Meta(min_length=1)] | None = None
    percentage: Percentage = 100
    vars: Conditions | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """A status that HTTP has; sound headers and conditions."""
        if good.get("http_status", _LAST_STATUS) > _LAST_STATUS:
            yield broken("http_status", f"expected at most {_LAST_STATUS}: HTTP has no other (RFC 9110 section 15)")
        yield from header_faults(good.get("headers", {}), Path(("headers",)))
        yield from _condition_faults(good.get("vars", ()))


class Delay(Nested, frozen=True, kw_only=True):
    """For how long requests are held back.

    duration: seconds
    percentage: of how many requests in a hundred
    vars: conditions, one of which holds; without them any request may be struck
    """

    duration: Annotated[float, Meta(ge=0, le=_MOST_SECONDS)]
    percentage: Percentage = 100
    vars: Conditions | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """Sound conditions."""
        yield from _condition_faults(good.get("vars", ()))


class Conf(PluginConf, frozen=True, kw_only=True):
    """fault-injection: a delay, an answer, or first the one and then the other.

    abort: what is answered at once
    delay: for how long requests are held back
    """

    abort: Abort | None = None
    delay: Delay | None = None

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """At least one of them."""
        yield from any_of(present, "abort", "delay")


def _condition(conditions: Iterable[list[Any]] | None) -> _core.Expression | None:
    """That one of them holds; of none any request does."""
    groups = tuple(parsed(each) for each in conditions or ())
    return _core.Expression(Group(groups, any=True)) if groups else None


class FaultInjection(Plugin):
    """Does to requests what networks and servers do to them on bad days."""

    name = "fault-injection"
    version = 0.1
    # What is done to try clients out.
    priority = 11000
    phases = ("rewrite",)
    conf = Conf

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """Whom it strikes."""
        for name in ("abort", "delay"):
            for index, condition in enumerate(conf.get(name, {}).get("vars", ())):
                yield Path((name, "vars", index)), condition

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """Native steps, the delay first."""
        steps: list[_core.Step] = []
        if conf.delay is not None:
            steps.append(_core.FaultDelayStep(conf.delay.duration, conf.delay.percentage, _condition(conf.delay.vars)))
        if conf.abort is not None:
            abort = conf.abort
            body = None if abort.body is None else _core.Template(abort.body, "var_combination")
            headers = added(abort.headers)
            steps.append(_core.FaultAbortStep(abort.http_status, headers, body, abort.percentage, _condition(abort.vars)))
        return steps
