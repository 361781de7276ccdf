"""What one object may not be to others: a link into nothing, the same key again, another idea of a group.

Owns: those checks and their words in APISIX. Each runs inside the transaction of the write it judges. Must
not know: HTTP, verbs. The config file is held to the same rules by schema/links.py.
"""

from collections.abc import Iterable
from typing import Any, Final

from fastgw.admin.envelope import Failure
from fastgw.errors import Path
from fastgw.plugins import order
from fastgw.schema.kinds import KINDS, Reference
from fastgw.schema.links import links
from fastgw.store import Row, View

__all__ = ["FIELDS", "forbid_dangling", "forbid_shared_keys", "forbid_unlike_groups"]

Object = dict[str, Any]
Field = tuple[str, ...]

_KEYS: Final = order.key_fields()
_GROUPS: Final = order.group_fields()
_WITH_PLUGINS: Final = tuple(
    kind.name for kind in KINDS.values() if "plugins" in kind.type.__struct_fields__ and kind.name != "credentials"
)
FIELDS: Final[tuple[Field, ...]] = tuple(("plugins", plugin, member) for plugin, member in (*_KEYS.items(), *_GROUPS.items()))
"""What these checks look for, to be made fast by an index."""


def forbid_dangling(view: View, references: Iterable[Reference], value: Object) -> None:
    """What the object refers to must be there."""
    for reference in references:
        for place, target in links(value, reference):
            text = f"failed to fetch {reference.noun} info by {reference.noun} id [{target}]"
            if reference.plugin is not None:
                text = f"failed to check the configuration of plugin {reference.plugin} err: {Path(place[2:])}: {text}"
            found = view.get(reference.kind, target)
            if found is None:
                raise Failure(400, f"{text}, response code: 404")
            if reference.kind == "ssls" and found.value.get("type", "server") != "client":
                raise Failure(400, f"{text}, wrong ssl type")


def forbid_shared_keys(view: View, kind: str, id: str, value: Object) -> None:
    """No other consumer or credential may have a key of this one: whom would a request mean?"""
    for plugin, member, key in _members(value, _KEYS):
        field = ("plugins", plugin, member)
        for row in (*view.find("consumers", field, key), *view.find("credentials", field, key)):
            if (row.kind, row.id) != (kind, id):
                raise Failure(400, f"duplicate {member} of plugin {plugin} found with {_holder(row)}")


def forbid_unlike_groups(view: View, kind: str, id: str, value: Object) -> None:
    """Configurations that share state must agree on what it means."""
    for plugin, member, group in _members(value, _GROUPS):
        own = _without_meta(value["plugins"][plugin])
        for other in _WITH_PLUGINS:
            for row in view.find(other, ("plugins", plugin, member), group):
                if (row.kind, row.id) != (kind, id) and _without_meta(row.value["plugins"][plugin]) != own:
                    text = "group conf mismatched"
                    raise Failure(400, f"failed to check the configuration of plugin {plugin} err: {text}")


def _members(value: Object, wanted: dict[str, str]) -> list[tuple[str, str, str]]:
    """(plugin, member, text) of each wanted member that the object's plugins have."""
    return [
        (plugin, wanted[plugin], conf[wanted[plugin]])
        for plugin, conf in (value.get("plugins") or {}).items()
        if plugin in wanted and isinstance(conf.get(wanted[plugin]), str)
    ]


def _without_meta(conf: Object) -> Object:
    return {name: member for name, member in conf.items() if name != "_meta"}


def _holder(row: Row) -> str:
    if row.kind == "consumers":
        return f"consumer: {row.id}"
    owner, _, own = row.id.partition("/")
    return f"credential: {own} of consumer: {owner}"
