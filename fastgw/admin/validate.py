"""Whether a value is what its kind and its plugins ask for: the judgement the config file is under too.

Owns: how a verdict becomes an answer or a line in the log. Must not know: other objects, the store, HTTP.
"""

import logging
from typing import Any, Final

import msgspec

from fastgw.admin.envelope import Failure
from fastgw.admin.messages import reason, refusal
from fastgw.errors import Fault, Path
from fastgw.plugins import order
from fastgw.plugins.check import check_object
from fastgw.schema.kinds import KINDS

__all__ = ["check", "refusals"]

CONSUMER_SIDE: Final = frozenset({"consumers", "credentials"})

log = logging.getLogger("fastgw.admin")


def check(kind: str, value: dict[str, Any]) -> None:
    """Refuses what cannot be used, telling the first fault, as APISIX does; logs what is likely a slip."""
    for message in refusals(kind, value)[:1]:
        raise Failure(400, message)


def refusals(kind: str, value: dict[str, Any]) -> list[str]:
    """Every fault in APISIX's words; where there is none, what is likely a slip is logged."""
    verdict = check_object(KINDS[kind], value)
    for doubt in () if verdict.faults else verdict.warnings:
        log.warning("%s %s: %s", KINDS[kind].singular, value.get(KINDS[kind].id_field), doubt)
    return [_message(kind, value, fault) for fault in verdict.faults]


def _message(kind: str, value: dict[str, Any], fault: Fault) -> str:
    if len(fault.path) < 2 or fault.path[0] != "plugins":
        return refusal(kind, fault)
    name, rest = fault.path[1], Path(fault.path[2:])
    if not rest and fault.code == "rule":
        return fault.apisix or refusal(kind, fault)  # the plugin does not belong in such an object
    if fault.code == "plugin":
        text = fault.apisix
    elif not rest and fault.code == "type":
        conf = msgspec.json.encode(value["plugins"][name]).decode()
        text = f'invalid plugin conf "{conf}" for plugin [{name}]'
    elif rest[:2] == ("_meta", "filter"):
        text = f"failed to validate the 'vars' expression: {fault.message}"
    else:
        why = _of_member(str(name), value["plugins"][name], fault, rest) or fault.apisix or reason(fault._replace(path=rest))
        text = f"failed to check the configuration of plugin {name} err: {why}"
    return f"invalid plugins configuration: {text}" if kind in CONSUMER_SIDE else text


def _of_member(name: str, conf: dict[str, Any], fault: Fault, path: Path) -> str:
    """What is said of a fault in the configuration of a plugin that is a member of another's."""
    plugin = order.get(name)
    for at, member, _ in plugin.members(conf) if plugin is not None else ():
        if path[: len(at)] == at:
            if path == at and fault.apisix:
                return ""  # of the member itself: it cannot be one
            why = fault.apisix or reason(fault._replace(path=Path(path[len(at) :])))
            return plugin.member_refusal.format(name=member, why=why) if plugin is not None else why
    return ""
