"""Whether one object is sound: its Struct, what it takes from the environment, its plugins' confs.

Owns the one judgement that the configuration file and the Admin API share. Must not know other objects:
links and duplicates are the business of whoever holds them all.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from fastgw import _core
from fastgw.errors import ROOT, Fault, Path
from fastgw.plugins import order
from fastgw.plugins.contract import Plugin, PluginConf
from fastgw.schema.decode import faults_of, nearest, shown
from fastgw.schema.env import resolve_object
from fastgw.schema.expression import variables
from fastgw.schema.kinds import Kind
from fastgw.schema.served import unserved

__all__ = ["Verdict", "check_object", "check_plugin", "disabled", "pattern_of"]

_CONSUMER_SIDE = frozenset({"consumers", "credentials"})


class Verdict(NamedTuple):
    """What was found about an object."""

    faults: list[Fault]
    """It cannot be used."""
    warnings: list[Fault]
    """It can be used, but likely not as meant."""
    resolved: Any
    """The object with references to the environment replaced. Only to be looked at: never stored or shown."""


def check_object(kind: Kind, value: Any, path: Path = ROOT, environ: Mapping[str, str] | None = None) -> Verdict:
    """Every fault of a raw object, in the order of its members."""
    if not isinstance(value, dict):
        return Verdict(faults_of(value, kind.type, path)[1], [], value)
    resolved, unresolved = resolve_object(kind.name, value, environ, path)
    faults = [fault for fault in faults_of(resolved, kind.type_of(value), path)[1] if not _under(fault, unresolved)]
    warnings: list[Fault] = []
    if kind.name == "credentials":
        # It cannot serve without its secret: it is left out (fail closed), and the rest goes on.
        warnings += [fault._replace(message=f"{fault.message}; the credential is not in use") for fault in unresolved]
    else:
        faults += unresolved
    if kind.name == "plugin_metadata":
        _metadata(resolved, path, faults, warnings)
    confs = resolved.get("plugins")
    for name, conf in confs.items() if isinstance(confs, dict) else ():
        at = path.to("plugins", name)
        found, doubts = check_plugin(kind.name, name, conf, at)
        faults += [fault for fault in found if not _under(fault, unresolved)]
        warnings += doubts
    if not faults:
        faults += unserved(kind.name, resolved, path)
        faults += _unaskable(kind.name, resolved, path)
        faults += _unmet(kind.name, resolved, path)
    return Verdict(faults, warnings, resolved)


def check_plugin(kind: str, name: str, conf: Any, path: Path = ROOT) -> tuple[list[Fault], list[Fault]]:
    """Faults and doubts about one plugin's configuration in an object of this kind."""
    plugin = order.get(name)
    if plugin is None:
        known = order.names()
        return [Fault(path, nearest("plugin", name, known), "plugin", known, name, f"unknown plugin [{name}]")], []
    if kind == "credentials" and (plugin.kind != "auth" or plugin.consumer_conf is None):
        reason = "only supports auth type plugins in consumer credential"
        return [Fault(path, "expected an auth plugin in a credential", "rule", apisix=reason)], []
    if not isinstance(conf, dict):
        return [], []  # already a fault of the object's Struct
    if disabled(conf):
        return [fault.under(path.to("_meta")) for fault in faults_of(conf["_meta"], _meta_type(plugin.conf))[1]], []
    type_ = _conf_type(plugin, kind)
    doubts = list(_ignored(conf, type_, path))
    faults = _judged(plugin, conf, type_, path)
    for at, own, inner in plugin.members(conf) if not faults else ():
        doubts += check_plugin("routes", own, inner, path.to(*at))[1]
    return faults, doubts


def pattern_of(uri: str) -> bytes:
    """A route's path in the form that requests are brought to, but for wildcards; ValueError: no request could ask for it."""
    star = uri.endswith("*")
    path = uri.removesuffix("*").encode()
    return (_core.normalise_path(path, True) if path else b"") + (b"*" if star else b"")


def _unaskable(kind: str, value: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """A route that no request can meet would be accepted and never serve."""
    if kind != "routes":
        return
    places = [(path.to("uri"), value["uri"])] if "uri" in value else []
    places += [(path.to("uris", index), uri) for index, uri in enumerate(value.get("uris", ()))]
    for at, uri in places:
        if not _may_be_asked_for(uri):
            yield Fault(at, f"expected a path that a request can ask for, found {shown(uri)}", "format")


def _unmet(kind: str, value: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """A condition on what no request has, or on a credential, which none looks at, would be accepted and never be judged."""
    if kind == "routes":
        yield from _unknown_variables(value.get("vars", []), path.to("vars"), early=True)
    confs = value.get("plugins")
    for name, conf in confs.items() if isinstance(confs, dict) else ():
        if not isinstance(conf, dict):
            continue  # a reference that nobody could resolve
        rules, at = conf.get("_meta", {}).get("filter"), path.to("plugins", name, "_meta", "filter")
        plugin = order.get(name)
        if disabled(conf) or plugin is None:
            continue
        for place, own in plugin.conditions(conf):
            yield from _unknown_variables(own, path.to("plugins", name, *place))
        if not rules:
            continue
        if kind in _CONSUMER_SIDE and plugin.consumer_conf is not None:
            message = f"a credential has no condition; put it on the route's {name}"
            yield Fault(at, message, "unsupported")
            continue
        yield from _unknown_variables(rules, at)


def _unknown_variables(rules: list[Any], path: Path, *, early: bool = False) -> Iterator[Fault]:
    """The variables of a sound expression that no request has here. early: it is judged when a route is looked for."""
    for variable, at in variables(rules, path):
        if not _core.variable_known(variable, early):
            known = _core.variable_names(early)
            yield Fault(at, nearest("variable", variable, known), "unsupported", known, variable)


def _may_be_asked_for(uri: str) -> bool:
    try:
        pattern_of(uri)
    except ValueError:
        return False
    return True


def _judged(plugin: Plugin, conf: Any, type_: type[PluginConf], path: Path) -> list[Fault]:
    """The faults of a configuration. One that a user's own rules fail at is not fit for use."""
    try:
        return faults_of(conf, type_, path)[1]
    except Exception as error:
        if order.shipped(plugin):
            raise
        return [Fault(path, f"the plugin cannot judge it: {type(error).__name__}: {' '.join(str(error).split())}")]


def _conf_type(plugin: Plugin, kind: str) -> type[PluginConf]:
    if kind in _CONSUMER_SIDE and plugin.consumer_conf is not None:
        return plugin.consumer_conf
    return plugin.conf


def _meta_type(type_: type[PluginConf]) -> Any:
    return next(member.type for member in msgspec.structs.fields(type_) if member.name == "meta")


def disabled(conf: Mapping[str, Any]) -> bool:
    """Whether a plugin's raw configuration switches it off, wherever it stands; then nothing else of it is looked at."""
    meta = conf.get("_meta")
    return isinstance(meta, dict) and meta.get("disable") is True


def _metadata(value: dict[str, Any], path: Path, faults: list[Fault], warnings: list[Fault]) -> None:
    name = value.get("id")
    if not isinstance(name, str):
        return
    plugin = order.get(name)
    if plugin is None:
        known = order.names()
        message = nearest("plugin", name, known)
        faults.append(Fault(path.to("id"), message, "plugin", known, name, "invalid plugin name"))
    elif plugin.metadata_conf is None:
        faults.append(Fault(path.to("id"), f"plugin {shown(name)} has no metadata", "unsupported"))
    else:
        faults += _judged(plugin, value, plugin.metadata_conf, path)
        own = {member: item for member, item in value.items() if member != "id"}
        warnings += _ignored(own, plugin.metadata_conf, path)


def _ignored(conf: dict[str, Any], type_: type[PluginConf], path: Path) -> Iterator[Fault]:
    """Members that no one reads: APISIX lets them pass, but most are slips of the pen."""
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    for name in conf:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; nearest known is {shown(close[0])}" if close else ""
            yield Fault(path.to(name), f"not known to the plugin, and ignored{hint}", "unknown", tuple(known), name)


def _under(fault: Fault, others: list[Fault]) -> bool:
    """Whether the place of a fault already has another, as an unresolved reference has no value to judge."""
    return any(fault.path == other.path for other in others)
