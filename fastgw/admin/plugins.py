"""What there is to know about plugins: which there are, in which order they run, how their configuration looks.

Owns: the answers below `plugins`, APISIX's ways to ask included. Must not know: what a plugin does, how files are read anew.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fastgw.admin import envelope
from fastgw.admin.envelope import Failure, Reply, error
from fastgw.admin.resource import Call
from fastgw.plugin_reload import Asking
from fastgw.plugins import order
from fastgw.plugins.contract import Plugin
from fastgw.schema.document import struct_schema
from fastgw.store import Store

__all__ = ["Plugins", "all_plugins", "plugin_schema", "reload"]

SUBSYSTEMS: Final = ("http", "stream")  # of stream there are none
_MARK: Final = "this is a mark for our injected plugin schema"  # APISIX's, beside a schema that has `_meta`


class Plugins:
    """Below /apisix/admin/plugins."""

    def answer(self, store: Store, call: Call) -> Reply:
        if call.id == "reload" and not call.sub:
            return error(405, f"please use PUT method to reload the plugins, {call.method} method is not allowed.")
        if call.method != "GET" or call.sub:
            return error(404, "not found")
        if call.id == "list":
            return _list(call.query.get("subsystem"))
        if call.query.get("all") == "true":
            return envelope.document(all_plugins() if _subsystem(call.query) == "http" else {})
        return plugin_schema(call.id or "", call.query)


def plugin_schema(name: str, query: Mapping[str, str]) -> Reply:
    """How a plugin's configuration looks, on a route or, if so asked, on a consumer."""
    subsystem = _subsystem(query)
    plugin = order.get(name) if subsystem == "http" else None
    if plugin is None:
        raise Failure(404, f"plugin not found in subsystem {subsystem}")
    of_consumer = query.get("schema_type") == "consumer"
    conf = plugin.consumer_conf if of_consumer else plugin.conf
    if conf is None:
        raise Failure(400, "not found schema")
    return envelope.document(_conf_schema(conf))


def all_plugins() -> dict[str, Any]:
    """Everything about every plugin, by name."""
    return {name: _about(plugin) for name in order.names() if (plugin := order.get(name))}


def _about(plugin: Plugin) -> dict[str, Any]:
    schemas = {
        "schema": plugin.conf,
        "consumer_schema": plugin.consumer_conf,
        "metadata_schema": plugin.metadata_conf,
    }
    about: dict[str, Any] = {"version": plugin.version, "priority": plugin.priority}
    about |= {name: _conf_schema(conf) for name, conf in schemas.items() if conf is not None}
    return {**about, "type": "auth"} if plugin.kind == "auth" else about


def _conf_schema(conf: type[msgspec.Struct]) -> dict[str, Any]:
    return {**struct_schema(conf), "$comment": _MARK}


def _list(subsystem: str | None) -> Reply:
    if subsystem not in (None, *SUBSYSTEMS):
        return envelope.plain(400, "invalid subsystem passed", versioned=False)
    names = () if subsystem == "stream" else order.names()  # which stand by priority
    return Reply(200, msgspec.json.encode(names) + b"\n")


async def reload(asking: Asking) -> tuple[Reply, list[dict[str, Any]]]:
    """The files of plugins are read anew, in every process; what that changed, for the audit log."""
    outcome = await asking.ask()
    changed = [{"object": f"plugins/{name}", "path": source} for source, name in outcome.changed.items()]
    if outcome.faults:
        return error(400, f"failed to reload plugins, nothing was changed: {'; '.join(outcome.faults)}"), changed
    if outcome.busy is not None:
        return error(503, f"failed to reload plugins: {outcome.busy}"), changed
    return envelope.plain(200, "done", versioned=False), changed


def _subsystem(query: Mapping[str, str]) -> str:
    subsystem = query.get("subsystem", "http")
    if subsystem not in SUBSYSTEMS:
        raise Failure(400, f"unsupported subsystem: {subsystem}")
    return subsystem
