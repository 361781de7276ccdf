"""Whether a class of a user keeps the plugin contract, said before it can do harm.

Owns the words for what is missing or wrong. Must not know where the class came from. What a plugin may not be is here too: one
that finds consumers, for their credentials are looked up natively.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Any, Final

from fastgw.plugins.contract import PHASES, Plugin, PluginConf
from fastgw.schema.decode import shown, type_name, unreadable
from fastgw.schema.document import struct_schema

__all__ = ["faults_of_plugin"]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBER: Final = 2**31 - 1
_ENDPOINT: Final = re.compile(r"[A-Z]+ /[!-~]*")
_SUSPENDS: Final = ("rewrite", "access")
_CLOSED: Final = ("consumer_conf", "key_field", "group_field", "member_refusal", "members", "conditions")
_SIGNATURES: Final = dict.fromkeys(PHASES, ("conf", "request")) | {"body_filter": ("conf", "request", "piece", "last")}


def faults_of_plugin(plugin: type[Plugin]) -> Iterator[str]:
    """One line for each fault."""
    missing = [name for name in ("name", "priority", "phases", "conf") if not hasattr(plugin, name)]
    if missing:
        yield from (f"{name}: missing" for name in missing)
        return
    if not isinstance(plugin.name, str) or not _NAME.fullmatch(plugin.name):
        yield f"name: expected letters a to z, digits, '-' and '_', at most 64, found {shown(plugin.name)}"
    if type(plugin.priority) is not int or abs(plugin.priority) > _NUMBER:
        yield f"priority: expected int of 32 bits, found {shown(plugin.priority)}"
    if type(plugin.version) not in (int, float):
        yield f"version: expected number, found {type_name(plugin.version)}"
    if plugin.kind != "other" or any(getattr(plugin, name) is not getattr(Plugin, name) for name in _CLOSED):
        yield f"kind, {', '.join(_CLOSED)}: not open to plugins of one's own"
    yield from _confs_of(plugin)
    yield from _phases_of(plugin)
    yield from _endpoints_of(plugin)


def _confs_of(plugin: type[Plugin]) -> Iterator[str]:
    for name in ("conf", "metadata_conf"):
        conf: Any = getattr(plugin, name)
        if conf is None and name == "metadata_conf":
            continue
        if not isinstance(conf, type) or not issubclass(conf, PluginConf) or conf is PluginConf:
            yield f"{name}: expected a class derived from PluginConf"
            continue
        try:
            strange = list(unreadable(conf))
            struct_schema(conf)
        except Exception as error:
            yield f"{name}: {type(error).__name__}: {_line(error)}"
            continue
        yield from (f"{name}: {member}: expected a type that JSON has" for member in strange)


def _phases_of(plugin: type[Plugin]) -> Iterator[str]:
    phases: Any = plugin.phases
    if not isinstance(phases, tuple) or not (phases or plugin.endpoints):
        yield f'phases: expected a tuple such as ("access",), found {shown(phases)}'
        return
    for phase in phases:
        if phase not in PHASES:
            yield f"phases: expected some of {', '.join(PHASES)}, found {shown(phase)}"
    if len(set(phases)) != len(phases):
        yield "phases: expected each once"
    if plugin.provision is not Plugin.provision:
        return  # it makes its steps itself
    for phase in PHASES:
        method = getattr(plugin, phase, None)
        if (phase in phases) != (method is not None):
            yield f"{phase}: {'missing, and in phases' if method is None else 'a method of a phase that is not in phases'}"
        elif method is not None:
            yield from _method(phase, method)


def _endpoints_of(plugin: type[Plugin]) -> Iterator[str]:
    endpoints: Any = plugin.endpoints
    if not isinstance(endpoints, dict):
        yield f"endpoints: expected a dict, found {type_name(endpoints)}"
        return
    for endpoint, name in endpoints.items():
        if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
            yield f'endpoints: expected a method and a path such as "GET /a", found {shown(endpoint)}'
        if not isinstance(name, str) or not callable(getattr(plugin, name, None)):
            yield f"endpoints: expected the name of a method, found {shown(name)}"


def _method(phase: str, method: Any) -> Iterator[str]:
    wanted = ("self", *_SIGNATURES[phase])
    try:
        inspect.signature(method).bind(*wanted)
    except (TypeError, ValueError):
        yield f"{phase}: expected {phase}({', '.join(wanted)})"
    if inspect.iscoroutinefunction(method) and phase not in _SUSPENDS:
        yield f"{phase}: cannot be async; {' and '.join(_SUSPENDS)} can"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
