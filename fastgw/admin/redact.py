"""What someone without the right to secrets sees of an object: only what the schema knows and calls open.

Owns: that rule, default deny: members that no schema knows are left out too, as a misspelt secret would be
one. Must not know: who asks. The schema marks a secret by `writeOnly`.
"""

from functools import cache
from typing import Any

from msgspec import inspect as mi

from fastgw.errors import Path
from fastgw.plugins import order
from fastgw.schema.kinds import KINDS

__all__ = ["plugin_conf", "without_secrets"]

CONSUMER_SIDE = frozenset({"consumers", "credentials"})


def without_secrets(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """The object without its secrets and those of its plugins."""
    if kind == "plugin_metadata":
        plugin = order.get(str(value.get("id")))
        known = _open(_info(plugin.metadata_conf), value) if plugin and plugin.metadata_conf else {}
        return {"id": value.get("id"), **known}
    shown: dict[str, Any] = _open(_info(KINDS[kind].type_of(value)), value)
    if isinstance(shown.get("plugins"), dict):
        shown["plugins"] = {name: plugin_conf(kind, name, conf) for name, conf in shown["plugins"].items()}
    return shown


def plugin_conf(kind: str, name: str, conf: Any) -> Any:
    """The configuration of a plugin in an object of this kind, without its secrets."""
    plugin = order.get(name)
    if plugin is None:
        return {}
    on_consumer = kind in CONSUMER_SIDE and plugin.consumer_conf is not None
    shown = _open(_info(plugin.consumer_conf if on_consumer else plugin.conf), conf)
    for at, member, own in plugin.members(conf) if isinstance(conf, dict) and not on_consumer else ():
        shown = _put(shown, at, plugin_conf(kind, member, own))
    return shown


def _put(whole: Any, at: Path, value: Any) -> Any:
    """The whole with the value at that place, if there is still one."""
    if not at:
        return value
    if isinstance(whole, dict) and at[0] in whole:
        return {**whole, at[0]: _put(whole[str(at[0])], Path(at[1:]), value)}
    if isinstance(whole, list) and isinstance(at[0], int) and at[0] < len(whole):
        return [_put(each, Path(at[1:]), value) if index == at[0] else each for index, each in enumerate(whole)]
    return whole


@cache
def _info(type_: Any) -> mi.Type:
    return mi.type_info(type_)


@cache
def _open_fields(struct: type) -> dict[str, mi.Type]:
    info = mi.type_info(struct)
    assert isinstance(info, mi.StructType)  # noqa: S101
    return {field.encode_name: field.type for field in info.fields if not _secret(field.type)}


def _secret(info: mi.Type) -> bool:
    if isinstance(info, mi.UnionType):
        return any(_secret(member) for member in info.types)
    if isinstance(info, mi.Metadata):
        return bool((info.extra_json_schema or {}).get("writeOnly")) or _secret(info.type)
    return isinstance(info, mi.ListType | mi.VarTupleType) and _secret(info.item_type)


def _open(info: mi.Type, value: Any) -> Any:
    """value without what is secret in it, down to the depth the type describes."""
    if isinstance(info, mi.Metadata):
        return _open(info.type, value)
    if isinstance(info, mi.UnionType):
        for member in info.types:
            value = _open(member, value)
        return value
    if isinstance(info, mi.StructType) and isinstance(value, dict):
        fields = _open_fields(info.cls)
        return {name: _open(fields[name], item) for name, item in value.items() if name in fields}
    if isinstance(info, mi.ListType | mi.VarTupleType) and isinstance(value, list):
        return [_open(info.item_type, item) for item in value]
    return value
