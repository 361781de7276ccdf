"""workflow: what is done with a request depends on what it is.

Owns the configuration: which actions there are, and what is wrong with one. Must not know how cases are judged or actions run
(native/workflow), or what any action does.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from fastgw import _core
from fastgw.errors import Fault, Path
from fastgw.plugins import limit_conn, limit_count
from fastgw.plugins.contract import Env, Plugin, PluginConf
from fastgw.schema.base import Nested
from fastgw.schema.decode import faults_of
from fastgw.schema.expression import expression_faults, parsed

__all__ = ["ACTIONS", "Conf", "Return", "Rule", "Workflow", "rule_owner"]

_PLUGINS: Final[dict[str, Plugin]] = {plugin.name: plugin for plugin in (limit_conn.LimitConn(), limit_count.LimitCount())}
_PAIR: Final = 2
_LEAST_CODE: Final = 200


class Return(Nested, frozen=True, kw_only=True):
    """The action `return`: the request is refused.

    code: the status
    """

    code: Annotated[int, Meta(ge=100, le=599)]

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """APISIX admits what is no final answer, and leaves its client waiting."""
        if "code" in good and good["code"] < _LEAST_CODE:
            message = f"not supported; a status below {_LEAST_CODE} is no final answer (RFC 9110 section 15.2)"
            yield Fault(Path(("code",)), message, "unsupported")


ACTIONS: Final[dict[str, type[msgspec.Struct]]] = {"return": Return, **{name: each.conf for name, each in _PLUGINS.items()}}
"""What can be done, each with its configuration."""


class Rule(Nested, frozen=True, kw_only=True):
    """What is done in one case.

    case: an expression over the request; without one the rule holds always
    actions: what is done, each as `[name, configuration]`; only the first one is, as in APISIX, but all are checked
    """

    case: Annotated[list[Any], Meta(min_length=1)] | None = None
    actions: Annotated[tuple[Annotated[list[Any], Meta(min_length=1)], ...], Meta(min_length=1)]

    @classmethod
    def rules(cls, good: Mapping[str, Any], present: Collection[str]) -> Iterator[Fault]:
        """The case must parse; an action is one that there is, soundly configured."""
        for fault in expression_faults(good["case"]) if "case" in good else ():
            yield fault.under(Path(("case",)))._replace(apisix=fault.apisix.replace("'vars'", "'case'"))
        for index, action in enumerate(good.get("actions", ())):
            yield from (fault.under(Path(("actions", index))) for fault in _action_faults(action))


def _action_faults(action: list[Any]) -> Iterator[Fault]:
    name, conf = action[0], action[1] if len(action) == _PAIR else None
    if not isinstance(name, str) or name not in ACTIONS:
        known = tuple(ACTIONS)
        reason = f"unsupported action: {name}" if isinstance(name, str) else ""
        yield Fault(Path((0,)), f"expected one of {', '.join(known)}", "enum", known, apisix=reason)
    elif not isinstance(conf, dict):
        yield Fault(Path(), "expected [name, configuration]")
    else:
        found = faults_of(conf, ACTIONS[name])[1]
        if "_meta" in conf:
            found.append(Fault(Path(("_meta",)), "not supported in an action; give it to workflow itself", "unsupported"))
        if "group" in conf and name in _PLUGINS:
            apisix = "group is not supported in workflow"
            found.append(
                Fault(Path(("group",)), "not supported in an action: each counts by itself", "unsupported", apisix=apisix)
            )
        yield from (fault.under(Path((1,))) for fault in found)


class Conf(PluginConf, frozen=True, kw_only=True):
    """workflow: what is done, by what a request is.

    rules: cases and what is done in each; the first that holds decides
    """

    rules_: tuple[Rule, ...] = msgspec.field(name="rules")


class _RuleEnv:
    """What the plugin of a rule's action may ask: the same as the workflow, but what it counts is the rule's own."""

    def __init__(self, env: Env, index: int) -> None:
        self.owner = rule_owner(env.owner, index)
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


def rule_owner(owner: str, index: int) -> str:
    """Whose the counts of a rule's action are: two rules never share one, whatever they count by (known-pains 2.8)."""
    return f"{owner}/workflow/{index}"


class Workflow(Plugin):
    """Does with a request what the first rule says that holds."""

    name = "workflow"
    version = 0.1
    # What is to be done with it. Before the plugins whose work it may do.
    priority = 1006
    phases = ("access",)
    conf = Conf
    counts = True
    member_refusal = "failed to validate the '{name}' action: {why}"

    def members(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
        """Each action's configuration, also of those that are not the first."""
        rules = conf.get("rules")
        for index, rule in enumerate(rules) if isinstance(rules, list) else ():
            actions = rule.get("actions") if isinstance(rule, dict) else None
            for place, action in enumerate(actions) if isinstance(actions, list) else ():
                if isinstance(action, list):
                    name = action[0] if action and isinstance(action[0], str) else ""
                    for at in range(1, len(action)):
                        yield Path(("rules", index, "actions", place, at)), name, action[at]

    def conditions(self, conf: Mapping[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
        """The cases."""
        for index, rule in enumerate(conf["rules"]):
            if "case" in rule:
                yield Path(("rules", index, "case")), rule["case"]

    def provision(self, conf: Conf, env: Env) -> list[_core.Step]:
        """One native step made of those of the actions."""
        from fastgw.plugins import order  # which knows this module

        rules: list[tuple[_core.Expression | None, int | None, list[_core.Step]]] = []
        for index, rule in enumerate(conf.rules_):
            name = rule.actions[0][0]
            case = _core.Expression(parsed(rule.case)) if rule.case else None
            rules.append((case, order.number(name) if name in _PLUGINS else None, _action_steps(rule, index, env)))
        return [_core.WorkflowStep(rules)]

    def counting(self, conf: Conf, env: Env) -> list[_core.LimitedStep]:
        """Those of the actions that can run."""
        made = (step for index, rule in enumerate(conf.rules_) for step in _action_steps(rule, index, env))
        return [step for step in made if isinstance(step, _core.LimitedStep)]


def _action_steps(rule: Rule, index: int, env: Env) -> list[_core.Step]:
    name, raw = rule.actions[0]
    own = msgspec.convert(raw, ACTIONS[name])
    if isinstance(own, Return):
        return [_core.WorkflowReturnStep(own.code)]
    return _PLUGINS[name].provision(own, cast(Env, _RuleEnv(env, index)))
