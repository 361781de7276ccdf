"""The schemas of the OpenAPI document: every Struct in two forms, of what is sent and of what is answered.

Owns: how the forms differ, the names that schemas go by. Must not know: operations; any one kind but plugin metadata, whose ids
are the names of plugins.
"""

from typing import Any, Final

import msgspec

from fastgw.admin import other_operations
from fastgw.admin.operations import Json, ref
from fastgw.admin.question import Question
from fastgw.objectset import TIMES
from fastgw.plugins import order
from fastgw.schema.base import Id
from fastgw.schema.document import PluginTypes, schema_components, struct_schema
from fastgw.schema.kinds import KINDS, Kind

__all__ = ["Schemas"]

_LOCAL: Final = "#/$defs/"
_OUTPUT: Final = "-Output"
_DISABLED: Final[Json] = {
    "type": "object",
    "description": "one that is disabled need not be right",
    "properties": {"_meta": {"type": "object", "properties": {"disable": {"const": True}}, "required": ["disable"]}},
    "required": ["_meta"],
}


class Schemas:
    """Requests: without the times that only the gateway sets, secrets `writeOnly`. Answers: secrets
    are there for some callers, and there may be more members than these. Where the two do not differ they are one.
    """

    def __init__(self) -> None:
        self.ids: dict[str, Json] = {kind.name: _id(kind) for kind in KINDS.values()}
        """Of an object's id in a path."""
        self._plugins = [plugin for name in order.names() if (plugin := order.get(name)) is not None]
        types = [PluginTypes(each.name, each.conf, each.consumer_conf, each.metadata_conf) for each in self._plugins]
        structs = [struct for kind in KINDS.values() for struct in kind.types.values() or (kind.type,)]
        self._place, found = schema_components(structs, types)
        self._names = {self._name_in(self._place[conf]): name for conf, name in self._names_of_confs()}
        for schema in found.values():
            confs = schema["properties"].get("plugins", {}).get("properties", {})
            confs.update({name: {"anyOf": [conf, {"$ref": _LOCAL + "Disabled"}]} for name, conf in confs.items()})
        found["Disabled"] = _DISABLED
        answered = {name: _answered(schema) for name, schema in found.items()}
        self._differ = {name for name, schema in found.items() if answered[name] != schema}
        while more := {name for name in found.keys() - self._differ if self._refers_to_differing(found[name])}:
            self._differ |= more
        for struct in structs:
            schema = found[self._name_in(self._place[struct])]
            schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in TIMES}
        self._given = {self._named(name): self._linked(schema, "") for name, schema in found.items()}
        outputs = {self._named(name) + _OUTPUT: self._linked(answered[name], _OUTPUT) for name in self._differ}
        self._shown = {name: outputs[name] for name in sorted(outputs)}

    def all(self) -> Json:
        """By name."""
        shown = {kind.name: self.shown(kind) for kind in KINDS.values()}
        credential = self._shown[shown["credentials"]["$ref"].rpartition("/")[2]]
        properties = {**credential["properties"], "id": {"type": "string", "description": "<consumer>/credentials/<id>"}}
        whole = other_operations.set_schema(shown, {**credential, "properties": properties, "required": ["id"]})
        return {**self._given, **self._shown, "Set": whole, "Question": struct_schema(Question)}

    def given(self, kind: Kind) -> Json:
        """Of a value in a request."""
        return self._of(kind, "")

    def shown(self, kind: Kind) -> Json:
        """Of a value in an answer."""
        return self._of(kind, _OUTPUT)

    def _of(self, kind: Kind, form: str) -> Json:
        structs = [*(kind.types.values() or (kind.type,))]
        if kind.name == "plugin_metadata":
            structs = [*(each.metadata_conf for each in self._plugins if each.metadata_conf is not None), *structs]
        options = [self._linked(self._place[struct], form) for struct in structs]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _names_of_confs(self) -> list[tuple[type, str]]:
        """A plugin's configurations go by its name."""
        named = []
        for each in self._plugins:
            forms = {"": each.conf, ".consumer": each.consumer_conf, ".metadata": each.metadata_conf}
            named += [(conf, each.name + form) for form, conf in forms.items() if conf is not None]
        return named

    @staticmethod
    def _name_in(reference: Json) -> str:
        name: str = reference["$ref"]
        return name.removeprefix(_LOCAL)

    def _named(self, name: str) -> str:
        return self._names.get(name, name)

    def _refers_to_differing(self, schema: Any) -> bool:
        if isinstance(schema, dict):
            own = isinstance(schema.get("$ref"), str) and self._name_in(schema) in self._differ
            return own or any(map(self._refers_to_differing, schema.values()))
        return isinstance(schema, list) and any(map(self._refers_to_differing, schema))

    def _linked(self, schema: Any, form: str) -> Any:
        """The schema with its references as the document has them."""
        if isinstance(schema, list):
            return [self._linked(each, form) for each in schema]
        if not isinstance(schema, dict):
            return schema
        linked = {name: self._linked(each, form) for name, each in schema.items()}
        if isinstance(schema.get("$ref"), str):
            name = self._name_in(schema)
            linked |= ref(self._named(name) + (form if name in self._differ else ""))
        return linked


def _id(kind: Kind) -> Json:
    if kind.name == "plugin_metadata":
        return {"enum": list(order.names())}
    text: Json = msgspec.json.schema(Id)["anyOf"][0]  # in a path it is never a number
    schema: Json = text if kind.id_field == "id" else struct_schema(kind.type)["properties"][kind.id_field]
    return schema


def _answered(schema: Any) -> Any:
    """What an answer may hold of an object that a request has given."""
    if isinstance(schema, list):
        return [_answered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _answered(each) for name, each in schema.items() if name != "writeOnly"}
    if found.get("additionalProperties") is False:
        del found["additionalProperties"]
    if isinstance(schema.get("required"), list):
        secret = {name for name, member in schema["properties"].items() if _is_secret(member)}
        found["required"] = [name for name in schema["required"] if name not in secret]
    return found


def _is_secret(member: Json) -> bool:
    return bool(member.get("writeOnly")) or ("items" in member and _is_secret(member["items"]))
