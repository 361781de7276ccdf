"""Whole sets in and out as texts: what `fastgw export` writes, and `fastgw import` reads and shows.

Owns: the text that is written, the judgement of a file with its places in it, the difference that is shown before it counts.
Must not know: where objects are (places.py), how a set is applied, arguments, exit codes.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from fastgw import objectset
from fastgw.admin import redact
from fastgw.errors import ConfigError, Fault, Path
from fastgw.objectset import LISTS, TIMES, Format
from fastgw.places import Layer, Place, RefusedError
from fastgw.plugins.check import check_object
from fastgw.schema.decode import shown, type_name
from fastgw.schema.kinds import KINDS
from fastgw.schema.parse import SUFFIXES, parse

__all__ = ["difference", "export", "read_set", "summary"]

Object = dict[str, Any]
Key = tuple[str, str]

# -- export --------------------------------------------------------------------------------------------


def export(place: Place, layer: Layer, format: Format, *, times: bool) -> bytes:
    """The objects as one document: the same bytes for the same objects."""
    objects = ((kind, id, value if times else _timeless(kind, value)) for (kind, id), value in place.objects(layer).items())
    return objectset.write(objectset.document(objects, nested=True), format, indent=True)


def _timeless(kind: str, value: Object) -> Object:
    return value if kind == "plugin_metadata" else {name: member for name, member in value.items() if name not in TIMES}


# -- import --------------------------------------------------------------------------------------------


class ReadSet:
    """The set in a file, sound as far as each object by itself goes."""

    def __init__(self, source: str, data: Object, warnings: list[Fault]) -> None:
        self.source = source
        self.data = data
        self.warnings = warnings
        items = [item for item in objectset.items(data, flat=True) if not isinstance(item, Fault)]
        self.objects = {(item.kind, item.id or ""): item.value for item in items}

    def faults(self, refused: RefusedError) -> ConfigError:
        """What the gateway found wrong, with places in this file."""
        return ConfigError(self.source, [self._fault(problem) for problem in refused.problems])

    def _fault(self, problem: Mapping[str, Any]) -> Fault:
        kind, index, id = problem["resource_type"], problem.get("index"), problem.get("resource_id")
        message = str(problem["error"]).removeprefix(f"invalid {kind} at index {index}, err: ")
        return Fault(Path((kind,) if index is None else (kind, index)), message if id is None else f"{message} (id {shown(id)})")


def read_set(path: FilePath, environ: Mapping[str, str] | None) -> ReadSet:
    """ConfigError: with every fault of an object by itself. environ None: references to the environment are not followed."""
    source, suffix = os.fspath(path), path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(source, [Fault(Path(), f"expected a file that ends in one of {', '.join(SUFFIXES)}", "syntax")])
    data, faults = parse(path.read_bytes(), suffix)
    if not faults and not isinstance(data, dict):
        faults = [Fault(Path(), f"expected dict, found {type_name(data)}", "type")]
    if faults:
        raise ConfigError(source, faults)
    faults, warnings = list(objectset.faults_of_lists(data)), list[Fault]()
    for item in objectset.items(data, flat=True):
        if isinstance(item, Fault):
            faults.append(item)
            continue
        found, doubts = _judge(item, environ)
        faults += found
        warnings += doubts
    if faults:
        raise ConfigError(source, faults)
    # Counts are of the gateway that the set came from.
    return ReadSet(source, {name: data[name] for name in LISTS if name in data}, warnings)


def _judge(item: objectset.Item, environ: Mapping[str, str] | None) -> tuple[list[Fault], list[Fault]]:
    kind = KINDS[item.kind]
    verdict = check_object(kind, item.value, item.path, {} if environ is None else environ)
    faults, doubts = verdict.faults, verdict.warnings
    if environ is None:  # they are the gateway's to follow
        faults, doubts = ([each for each in found if each.code != "unresolved"] for found in (faults, doubts))
    if item.id is None and isinstance(item.value, dict) and kind.id_field not in item.value and kind.id_field == "id":
        faults = [*faults, Fault(item.path.to("id"), "missing", "required")]
    if item.name is not None:
        name = f" ({kind.singular} {shown(item.name)})"
        faults = [fault._replace(message=fault.message + name) for fault in faults]
    return faults, doubts


# -- what would be done --------------------------------------------------------------------------------


def summary(plan: Mapping[str, Any], config: str) -> Iterator[str]:
    """One line per list."""
    for name in LISTS:
        told = plan.get(name, {})
        counts = [f"{len(told[what])} {what}" for what in ("created", "updated", "deleted", "unchanged") if told.get(what)]
        if told.get("kept"):
            counts.append(f"{len(told['kept'])} not in the set and kept, as {config} declares them")
        if counts:
            yield f"{name}: {', '.join(counts)}"


def difference(plan: Mapping[str, Any], before: Mapping[Key, Object], after: Mapping[Key, Object], source: str) -> Iterator[str]:
    """Unified, object by object; secrets are left out, and that they change is said."""
    for name in LISTS:
        told = plan.get(name, {})
        for id in told.get("created", ()):
            yield from _unified(name, id, None, after, source)
        for updated in told.get("updated", ()):
            yield from _updated(name, updated, before, after, source)
        for id in told.get("deleted", ()):
            yield from _unified(name, id, before, None, source)


def _updated(
    name: str, told: Mapping[str, Any], before: Mapping[Key, Object], after: Mapping[Key, Object], source: str
) -> Iterator[str]:
    if objectset.key_of(name, told["id"]) in after:
        yield from _unified(name, told["id"], before, after, source)
    else:
        yield from _heads(name, told["id"], "served", "config file, comes back")
        for change in told["changes"]:
            for sign, side in (("-", "before"), ("+", "after")):
                if side in change:
                    yield f"{sign}{change['path']}: {json.dumps(change[side])}"
    for change in told["changes"]:
        if "before" not in change and "after" not in change:
            yield f"!{change['path']}: changes; it is, or holds, a secret and is not shown"


def _unified(
    name: str, id: str, before: Mapping[Key, Object] | None, after: Mapping[Key, Object] | None, source: str
) -> Iterator[str]:
    kind, own = objectset.key_of(name, id)
    old = [] if before is None else _lines(kind, before.get((kind, own), {}))
    new = [] if after is None else _lines(kind, after.get((kind, own), {}))
    yield from _heads(name, id, None if before is None else "served", None if after is None else source)
    yield from list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]


def _heads(name: str, id: str, before: str | None, after: str | None) -> Iterator[str]:
    yield "--- /dev/null" if before is None else f"--- {name}/{id} ({before})"
    yield "+++ /dev/null" if after is None else f"+++ {name}/{id} ({after})"


def _lines(kind: str, value: Object) -> list[str]:
    open_members = redact.without_secrets(kind, _timeless(kind, value))
    return json.dumps(open_members, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
