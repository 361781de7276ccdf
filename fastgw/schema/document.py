"""The whole configuration file as one Struct, and JSON Schemas: of the file for editors, of any Struct for tools.

Owns which keys the file has, and how a Struct becomes a schema. Must not know plugins: their types are handed in.
Descriptions come from the `field: text` lines of the Structs' docstrings.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect as mi

from fastgw.schema.consumer import ConfigConsumer
from fastgw.schema.groups import ConsumerGroup, GlobalRule, PluginConfig, PluginMetadata
from fastgw.schema.kinds import KINDS
from fastgw.schema.proto import Proto
from fastgw.schema.revocation import Revocation
from fastgw.schema.route import Route
from fastgw.schema.secrets import Manager
from fastgw.schema.service import Service
from fastgw.schema.settings import Settings
from fastgw.schema.ssl import Ssl
from fastgw.schema.upstream import Upstream

__all__ = ["OBJECT_LISTS", "Document", "PluginTypes", "field_texts", "json_schema", "schema_components", "struct_schema"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FIELD_LINE: Final = re.compile(r"\s+([$\w-]+): (.+)")
_NOT_SUPPORTED: Final = "not supported"
"""The description of a member that is always refused."""


class Document(Settings, frozen=True, kw_only=True):
    """The configuration file of fastgw: settings, and objects as APISIX writes them.

    $schema: where editors find this schema; without effect
    routes: which requests are taken and what is done with them
    services: what several routes share
    upstreams: servers that answer requests
    consumers: who sends requests, with their credentials
    consumer_groups: plugins that consumers share
    plugin_configs: plugins that routes share
    global_rules: plugins that run on every request
    plugin_metadata: what all uses of a plugin share
    ssls: certificates
    secrets: secret managers, each with the id <manager>/<id>
    protos: definitions in Protocol Buffers
    revocations: tokens and credentials that are accepted no longer
    """

    schema_: str | None = msgspec.field(default=None, name="$schema")
    routes: tuple[Route, ...] = ()
    services: tuple[Service, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    consumers: tuple[ConfigConsumer, ...] = ()
    consumer_groups: tuple[ConsumerGroup, ...] = ()
    plugin_configs: tuple[PluginConfig, ...] = ()
    global_rules: tuple[GlobalRule, ...] = ()
    plugin_metadata: tuple[PluginMetadata, ...] = ()
    ssls: tuple[Ssl, ...] = ()
    secrets: tuple[Manager, ...] = ()
    protos: tuple[Proto, ...] = ()
    revocations: tuple[Revocation, ...] = ()


OBJECT_LISTS = tuple(name for name in Document.__struct_fields__ if name not in (*Settings.__struct_fields__, "schema_"))
"""The keys that hold lists of objects."""


class PluginTypes(NamedTuple):
    """What the schema must know of a plugin."""

    name: str
    conf: type[msgspec.Struct]
    consumer_conf: type[msgspec.Struct] | None
    metadata_conf: type[msgspec.Struct] | None = None


def json_schema(plugins: Iterable[PluginTypes]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration file, with these plugins in it."""
    managers = tuple(KINDS["secrets"].types.values())
    place, components = schema_components([Document, *managers], plugins)
    components["Document"]["properties"]["secrets"]["items"] = {"anyOf": [place[type_] for type_ in managers]}
    del components["Manager"]
    for name in OBJECT_LISTS:
        _require(components["Document"]["properties"][name], KINDS[name].id_field)
    _require(components["ConfigConsumer"]["properties"]["credentials"], "id")
    return {"$schema": _DIALECT, **place[Document], "$defs": components}


def schema_components(
    types: Iterable[type], plugins: Iterable[PluginTypes]
) -> tuple[dict[type, dict[str, Any]], dict[str, dict[str, Any]]]:
    """A reference to the schema of each type and of each plugin's configurations, `#/$defs/<name>`, and the schemas by name.

    In every member `plugins`, each plugin has its own.
    """
    known = list(plugins)
    confs = [each for plugin in known for each in (plugin.conf, plugin.consumer_conf, plugin.metadata_conf) if each]
    place, components = _components([*types, *confs])
    for name, schema in components.items():
        properties = schema["properties"]
        if "plugins" in properties:
            properties["plugins"] = {
                **properties["plugins"],
                "properties": {each.name: place[conf] for each in known if (conf := _conf_in(name, each))},
                "additionalProperties": False,
            }
    return place, components


@cache
def struct_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one Struct, with what it is made of in its place instead of referred to.

    What `Schema.rules` says is not in it: a value that it refuses is refused, one that it takes may still be.
    """
    place, components = _components([struct])
    whole: dict[str, Any] = _inlined(place[struct], components)
    return whole


def field_texts(struct: type) -> dict[str, str]:
    """The `field: text` lines in the docstrings of a Struct and its bases; lines that stand further in go on with the text."""
    texts: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        name, depth = "", 0
        for line in (base.__dict__.get("__doc__") or "").splitlines():
            inward = len(line) - len(line.lstrip())
            if name and line.strip() and inward > depth:
                texts[name] += f" {line.strip()}"
            elif match := _FIELD_LINE.fullmatch(line):
                name, depth = match[1], inward
                texts[name] = match[2]
            else:
                name = ""
    return texts


def _components(types: Sequence[type]) -> tuple[dict[type, dict[str, Any]], dict[str, dict[str, Any]]]:
    """A reference to each type's schema, and the schemas by name."""
    references, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    structs = _named(types)
    for name, schema in components.items():
        _describe(schema, structs[name])
        properties = schema["properties"]
        for member, described in properties.items():
            properties[member] = _without_null(described)
    return dict(zip(types, references, strict=True)), components


def _inlined(schema: Any, components: Mapping[str, Any]) -> Any:
    """The schema with every reference replaced; no Struct holds one of its own kind, so there is an end."""
    if isinstance(schema, list):
        return [_inlined(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    beside = {name: _inlined(item, components) for name, item in schema.items() if name != "$ref"}
    if "$ref" not in schema:
        return beside
    return {**_inlined(components[schema["$ref"].removeprefix("#/$defs/")], components), **beside}


def _named(types: Sequence[type]) -> dict[str, type]:
    """The Structs that these are made of, by the names msgspec may give them: the short one, or with its module."""
    found: dict[type, None] = {}
    waiting: list[mi.Type] = list(mi.multi_type_info(types))
    while waiting:
        info = waiting.pop()
        if isinstance(info, mi.StructType) and info.cls not in found:
            found[info.cls] = None
            waiting += [field.type for field in info.fields]
        elif isinstance(info, mi.UnionType):
            waiting += info.types
        elif isinstance(info, mi.Metadata):
            waiting.append(info.type)
        elif isinstance(info, mi.ListType | mi.VarTupleType):
            waiting.append(info.item_type)
        elif isinstance(info, mi.DictType):
            waiting.append(info.value_type)
    return {name: each for each in found for name in (each.__name__, f"{each.__module__}.{each.__qualname__}")}


def _describe(schema: dict[str, Any], struct: type) -> None:
    texts = field_texts(struct)
    schema["description"] = (struct.__doc__ or "").partition("\n\n")[0].strip()
    for member, described in schema["properties"].items():
        if member in texts:
            described["description"] = texts[member]
        if texts.get(member) == _NOT_SUPPORTED:
            described["not"] = {}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A member that may be left out may not be null, and then has no default to show."""
    kept = {name: item for name, item in schema.items() if name != "default" or item is not None}
    if isinstance(kept.get("default"), dict):
        kept["default"] = _given(kept["default"])
    options = [option for option in kept.pop("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        return {**options[0], **kept}
    return {**kept, "anyOf": options} if options else kept


def _given(default: dict[str, Any]) -> dict[str, Any]:
    return {name: _given(item) if isinstance(item, dict) else item for name, item in default.items() if item is not None}


def _conf_in(component: str, plugin: PluginTypes) -> type[msgspec.Struct] | None:
    """The type of a plugin's configuration in an object: none where the plugin has no place there."""
    if component == "Credential":
        return plugin.consumer_conf
    return (component in ("Consumer", "ConfigConsumer") and plugin.consumer_conf) or plugin.conf


def _require(objects: dict[str, Any], name: str) -> None:
    """Objects in a list of the file need an identity; an inline upstream does not."""
    objects["items"] = {**objects["items"], "required": [name]}
