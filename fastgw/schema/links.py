"""What objects are to each other: no identity twice, no link into nothing, no key or global plugin twice.

Owns the rules over all objects of a configuration. Must not know where the objects come from, nor plugins:
which member of which plugin is a key is handed in.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fastgw.errors import ROOT, Fault, Path
from fastgw.schema.decode import shown
from fastgw.schema.kinds import EACH, Kind, Reference

__all__ = ["Entry", "link_faults", "links"]


class Entry(NamedTuple):
    """One object among all."""

    kind: Kind
    id: str
    owner: str | None
    """The consumer of a credential."""
    path: Path
    value: dict[str, Any] | None
    """Its members, references to the environment replaced; None for one that is not in use."""


def links(value: Any, reference: Reference) -> Iterator[tuple[Path, str]]:
    """Every id that a raw object gives at a reference, with its place there; what is not lawful is none."""
    yield from _links(value, reference.path, ROOT)


def _links(here: Any, way: tuple[str, ...], path: Path) -> Iterator[tuple[Path, str]]:
    if not way:
        if not isinstance(here, bool) and isinstance(here, str | int):
            yield path, str(here)
    elif way[0] == EACH:
        for index, each in enumerate(here) if isinstance(here, list) else ():
            yield from _links(each, way[1:], path.to(index))
    elif isinstance(here, Mapping) and way[0] in here and not _off(here):
        yield from _links(here[way[0]], way[1:], path.to(way[0]))


def _off(conf: Mapping[str, Any]) -> bool:
    """Whether it is a plugin's configuration that switches it off: nothing of it is looked at then."""
    meta = conf.get("_meta")
    return isinstance(meta, Mapping) and meta.get("disable") is True


def link_faults(entries: Iterable[Entry], key_fields: Mapping[str, str], group_fields: Mapping[str, str]) -> list[Fault]:
    """Every fault between objects.

    `key_fields`: auth plugin to the member consumers are found by. `group_fields`: plugin to the member by
    which configurations share state.
    """
    known = list(entries)
    return [
        *_identities(known),
        *_dangling(known),
        *_keys(known, key_fields),
        *_groups(known, group_fields),
        *_global_plugins(known),
    ]


def _confs(entry: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
    plugins = (entry.value or {}).get("plugins")
    for name, conf in plugins.items() if isinstance(plugins, dict) else ():
        if isinstance(conf, dict):
            yield name, conf


def _identities(entries: list[Entry]) -> Iterator[Fault]:
    first: dict[tuple[str, str | None, str], Path] = {}
    for entry in entries:
        before = first.setdefault((entry.kind.name, entry.owner, entry.id), entry.path)
        if before is not entry.path:
            field = entry.kind.id_field
            message = f"duplicate {field} {shown(entry.id)}, first at {before}"
            yield Fault(entry.path.to(field), message, "duplicate", before)


def _dangling(entries: list[Entry]) -> Iterator[Fault]:
    by_id = {(entry.kind.name, entry.id): entry for entry in entries}
    for entry in entries:
        for reference in entry.kind.references:
            for place, target in links(entry.value or {}, reference):
                found = by_id.get((reference.kind, target))
                path = entry.path.to(*place)
                if found is None:
                    message = f"no {reference.noun} with id {shown(target)} in this file"
                    yield Fault(path, message, "reference", reference.kind, target)
                elif reference.kind == "ssls" and (found.value or {}).get("type", "server") != "client":
                    message = f'expected an ssl of type "client", found {shown(target)} of type "server"'
                    yield Fault(path, message, "reference", reference.kind, target)


def _keys(entries: list[Entry], key_fields: Mapping[str, str]) -> Iterator[Fault]:
    """Two credentials of one key: which consumer is meant would depend on the order of loading."""
    first: dict[tuple[str, str], Path] = {}
    for entry in entries:
        if entry.kind.name not in ("consumers", "credentials"):
            continue
        for name, conf in _confs(entry):
            key = conf.get(key_fields[name]) if name in key_fields else None
            if not isinstance(key, str):
                continue
            path = entry.path.to("plugins", name, key_fields[name])
            before = first.setdefault((name, key), path)
            if before is not path:
                yield Fault(path, f"the same {key_fields[name]} as at {before}", "duplicate", before)


def _groups(entries: list[Entry], group_fields: Mapping[str, str]) -> Iterator[Fault]:
    """Configurations that share state must agree on what it means."""
    first: dict[tuple[str, str], tuple[Path, dict[str, Any]]] = {}
    for entry in entries:
        for name, conf in _confs(entry):
            group = conf.get(group_fields[name]) if name in group_fields else None
            if not isinstance(group, str):
                continue
            own = {member: value for member, value in conf.items() if member != "_meta"}
            path = entry.path.to("plugins", name)
            before, other = first.setdefault((name, group), (path, own))
            if own != other:
                at = path.to(group_fields[name])
                message = f"expected the same configuration as at {before}, whose group it shares"
                yield Fault(at, message, apisix="group conf mismatched")


def _global_plugins(entries: list[Entry]) -> Iterator[Fault]:
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind.name != "global_rules":
            continue
        for name, _ in _confs(entry):
            before = first.setdefault(name, entry)
            if before is not entry:
                reason = f"plugin '{name}' already exists in global rule with id '{before.id}'"
                path = entry.path.to("plugins", name)
                yield Fault(
                    path,
                    f"already in global rule {shown(before.id)}",
                    "duplicate",
                    before.path,
                    apisix=reason,
                )
