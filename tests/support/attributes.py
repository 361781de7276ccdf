"""The tables of attributes in docs/plugins, made of each plugin's Structs: `python -m tests.support.attributes` writes them anew.

Owns how a table looks and where it stands on a page. Must not know what any attribute means: its docstring tells.

    <!-- attributes -->              the configuration on a route, but for what another table of the page has
    <!-- attributes consumer -->     the one on a consumer or in a credential; `metadata`: what all uses share
    <!-- attributes redis_* -->      those whose names fit; there may be several globs
    <!-- /attributes -->             the end of each

An attribute of an object inside has a dot before it, one of the objects in a list `[].`.
"""

import json
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as mi

from fastgw.plugins import order
from fastgw.plugins.contract import Plugin, PluginConf
from fastgw.schema.document import struct_schema
from tests.support.processes import ROOT

__all__ = ["PAGES", "Row", "faults", "rewritten", "rows"]

PAGES = ROOT / "docs" / "plugins"
REGION = re.compile(r"(<!-- attributes(?: (consumer|metadata))?((?: [\w*.\[\]]+)*) -->\n).*?(<!-- /attributes -->)", re.DOTALL)
HEAD = "| attribute | type | default | meaning |\n| --- | --- | --- | --- |\n"
NOT_SUPPORTED = "not supported"


class Row(NamedTuple):
    """One attribute."""

    name: str
    type: str
    default: str
    meaning: str


def rewritten(page: str, plugin: Plugin) -> str:
    """The page with its tables as they ought to be."""
    globs = [glob for match in REGION.finditer(page) if not match[2] for glob in match[3].split()]

    def table(match: re.Match[str]) -> str:
        conf = _conf(plugin, match[2])
        if conf is None:
            raise ValueError(f"{plugin.name} has no configuration of that kind: {match[1].strip()}")
        own = match[3].split()
        wanted = [row for row in rows(conf) if _fits(row.name, own) or not (own or (not match[2] and _fits(row.name, globs)))]
        lines = [f"| `{row.name}` | {row.type} | {row.default} | {row.meaning} |\n" for row in wanted]
        return f"{match[1]}\n{HEAD}{''.join(lines)}\n{match[4]}"

    return REGION.sub(table, page)


def faults(page: str, plugin: Plugin) -> Iterator[str]:
    """What is missing on a page, or not as it ought to be."""
    kinds = {match[2] for match in REGION.finditer(page)}
    for kind in (None, "consumer", "metadata"):
        if _conf(plugin, kind) is not None and kind not in kinds and rows(_conf(plugin, kind) or PluginConf):
            yield f"no table <!-- attributes{f' {kind}' if kind else ''} --> … <!-- /attributes -->"
    if rewritten(page, plugin) != page:
        yield "tables of attributes: not those of the Structs; run python -m tests.support.attributes"


def rows(conf: type[msgspec.Struct], prefix: str = "") -> list[Row]:
    """Those of a configuration, in the order in which its Struct has them."""
    schema = struct_schema(conf)
    found: list[Row] = []
    for field in msgspec.structs.fields(conf):
        name = field.encode_name
        if name == "_meta":
            continue
        inner, in_list = _inside(mi.type_info(field.type))
        if inner is None or in_list or issubclass(inner, PluginConf):
            required = name in schema.get("required", ())
            found.append(_row(prefix + name, schema["properties"][name], inner, required=required))
        if inner is not None and not issubclass(inner, PluginConf):
            found += rows(inner, f"{prefix}{name}{'[]' if in_list else ''}.")
    return found


def _conf(plugin: Plugin, kind: str | None) -> type[PluginConf] | None:
    return {None: plugin.conf, "consumer": plugin.consumer_conf, "metadata": plugin.metadata_conf}[kind]


def _fits(name: str, globs: list[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _inside(info: mi.Type) -> tuple[type[msgspec.Struct] | None, bool]:
    """The Struct that an attribute is, or is a list of."""
    if isinstance(info, mi.Metadata):
        return _inside(info.type)
    if isinstance(info, mi.UnionType):
        return next((found for each in info.types if (found := _inside(each))[0] is not None), (None, False))
    if isinstance(info, mi.VarTupleType | mi.ListType):
        return _inside(info.item_type)[0], True
    return (info.cls if isinstance(info, mi.StructType) else None), False


def _row(name: str, schema: dict[str, Any], inner: type | None, *, required: bool) -> Row:
    meaning = " ".join(schema.get("description", "").split())
    if meaning == NOT_SUPPORTED:
        return Row(name, "", "", "not supported: refused")
    default = "required" if required else _default(schema.get("default"))
    kind = "object, see its page" if inner is not None and issubclass(inner, PluginConf) else _type(schema)
    return Row(name, *(text.replace("|", "\\|") for text in (kind, default, meaning)))


def _default(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return _either([f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in schema["enum"]])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    match schema.get("type"):
        case "boolean":
            return "boolean"
        case "integer":
            return "integer" + _bounds(schema.get("minimum"), schema.get("maximum"), _above(schema))
        case "number":
            return "number" + _bounds(schema.get("minimum"), schema.get("maximum"), _above(schema))
        case "string":
            kind = re.sub("^an? ", "", schema.get("title") or "text")
            return f"secret {kind}" if schema.get("writeOnly") else kind + _length(schema, "Length", "characters", 1)
        case "array":
            unlike = ", all different" if schema.get("uniqueItems") else ""
            return f"list of {_type(schema.get('items', {}))}{_length(schema, 'Items', 'of them', 1)}{unlike}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object: name to {_type(schema['additionalProperties'])}" + _length(schema, "Properties", "of them", 0)
        case "object":
            return "object"
    return "any"


def _either(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _above(schema: dict[str, Any]) -> str:
    return f", above {schema['exclusiveMinimum']:,}" if "exclusiveMinimum" in schema else ""


def _length(schema: dict[str, Any], what: str, unit: str, usual: int) -> str:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if most is None and (least is None or least <= usual):
        return ""
    return f"{_bounds(least, most, '')} {unit}"


def _bounds(least: float | None, most: float | None, above: str) -> str:
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    if least is not None:
        return f", from {least:,}"
    return above + (f", at most {most:,}" if most is not None else "")


def _main() -> int:
    changed = 0
    for path in sorted(PAGES.glob("*.md")):
        plugin = order.get(path.stem)
        if plugin is None:
            continue
        before = path.read_text()
        after = rewritten(before, plugin)
        if after != before:
            path.write_text(after)
            print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
            changed += 1
    print(f"{changed} pages written anew")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
