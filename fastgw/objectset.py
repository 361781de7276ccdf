"""A whole set of objects as one document: what the config file, `fastgw export` and the Admin API's /configs have in common.

Owns: the lists and where credentials stand in them (nested below their consumer, as in the config file; or flat among the
consumers by the id `<consumer>/credentials/<id>`, as in APISIX), texts in JSON and YAML, where two objects differ. Must not know:
whether an object is sound, stores, HTTP.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from fastgw.errors import ROOT, Fault, Path
from fastgw.schema.decode import nearest, type_name
from fastgw.schema.kinds import KINDS, object_id
from fastgw.schema.yaml_text import write_yaml

__all__ = [
    "LISTS",
    "MAX_COUNT",
    "MISSING",
    "TIMES",
    "Item",
    "changes",
    "content",
    "document",
    "faults_of_lists",
    "items",
    "key_of",
    "name_of",
    "places",
    "value_at",
    "version_of",
    "write",
]

Object = dict[str, Any]
Format = Literal["json", "yaml"]

LISTS: Final = tuple(name for name in KINDS if name != "credentials")
"""The names under which a document has objects, in the order in which they are written."""
TIMES: Final = ("create_time", "update_time")
_INDEXES: Final = ("createdIndex", "modifiedIndex")  # of APISIX's items; the store keeps its own
_VERSION: Final = "_conf_version"
MAX_COUNT: Final = 2**53  # what every JSON reader can hold
_BETWEEN: Final = "/credentials/"
_NOT_SERVED: Final = frozenset({"protos", "secrets", "stream_routes"}.difference(LISTS))
MISSING: Final[Any] = object()
"""Nothing stands there."""


class Item(NamedTuple):
    """One object of a document."""

    kind: str
    id: str | None
    """In the store: of a credential `<consumer>/<id>`; None where the object claims none."""
    value: Any
    """As it is to be stored."""
    path: Path
    """Where it stands."""

    @property
    def name(self) -> str | None:
        """As APISIX's documents call it."""
        return None if self.id is None else name_of(self.kind, self.id)


class Change(NamedTuple):
    """One place where two objects differ, and what of it may be told: a side that has nothing there, or a secret, is left out."""

    path: Path
    before: Any = MISSING
    after: Any = MISSING

    def told(self) -> dict[str, Any]:
        sides = {"before": self.before, "after": self.after}
        return {"path": str(self.path), **{side: value for side, value in sides.items() if value is not MISSING}}


def name_of(kind: str, id: str) -> str:
    """What APISIX's documents call an object of the store."""
    return id.replace("/", _BETWEEN, 1) if kind == "credentials" else id


def key_of(name: str, id: str) -> tuple[str, str]:
    """The kind and id in the store of what a document has in the list `name` and calls `id`."""
    if name == "consumers" and _BETWEEN in id:
        return "credentials", id.replace(_BETWEEN, "/", 1)
    return name, id


# -- reading -------------------------------------------------------------------------------------------


def version_of(name: str) -> str | None:
    """The list whose count of changes a name of a document holds, if it does."""
    kind = name.removesuffix(_VERSION)
    return kind if kind != name and (kind in LISTS or kind in _NOT_SERVED) else None


def faults_of_lists(data: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a set apart from its objects."""
    for name, value in data.items():
        if version_of(name) is not None:
            if isinstance(value, bool) or not isinstance(value, int):
                yield Fault(Path((name,)), f"expected int, found {type_name(value)}", apisix=f"{name} must be a number")
            elif not 0 <= value < MAX_COUNT:
                said = "greater than or equal to (0)" if value < 0 else f"less than ({MAX_COUNT})"
                yield Fault(Path((name,)), f"expected 0 to {MAX_COUNT - 1}, found {value}", apisix=f"{name} must be {said}")
        elif name in _NOT_SERVED:
            if value != []:
                yield Fault(Path((name,)), "not available in this release; expected no objects here", "unsupported")
        elif name not in LISTS:
            yield Fault(Path((name,)), nearest("key", name, LISTS), "unknown", LISTS, name)
        elif not isinstance(value, list):
            yield Fault(Path((name,)), f"expected list, found {type_name(value)}", "type", ("list",), type_name(value))


def items(data: Mapping[str, Any], *, flat: bool) -> Iterator[Item | Fault]:
    """The objects of a document in its order. flat: also in APISIX's forms, which the config file does not have."""
    for name in LISTS:
        values = data.get(name)
        for index, value in enumerate(values if isinstance(values, list) else ()):
            path = Path((name, index))
            if flat:
                value = _without_indexes(value)
            if name == "consumers" and isinstance(value, dict):
                yield from _consumer(value, path, flat)
            else:
                yield _item(name, value, path)


def _consumer(value: Object, path: Path, flat: bool) -> Iterator[Item | Fault]:
    id = value.get("id")
    if flat and isinstance(id, str) and _BETWEEN in id:
        kind, key = key_of("consumers", id)
        yield Item(kind, key, {**value, "id": key.partition("/")[2]}, path)
        return
    consumer = {name: member for name, member in value.items() if name != "credentials"}
    yield _item("consumers", consumer, path)
    credentials, at = value.get("credentials", []), path.to("credentials")
    if not isinstance(credentials, list):
        yield Fault(at, f"expected list, found {type_name(credentials)}", "type", ("list",), type_name(credentials))
        return
    owner = object_id(KINDS["consumers"], consumer)
    for index, credential in enumerate(credentials):
        yield _item("credentials", _without_indexes(credential) if flat else credential, at.to(index), f"{owner}/")


def _without_indexes(value: Any) -> Any:
    if not isinstance(value, dict) or value.keys().isdisjoint(_INDEXES):
        return value
    return {name: member for name, member in value.items() if name not in _INDEXES}


def _item(kind: str, value: Any, path: Path, owner: str = "") -> Item:
    id = object_id(KINDS[kind], value) if isinstance(value, dict) else None
    return Item(kind, None if id is None else owner + id, value, path)


# -- writing -------------------------------------------------------------------------------------------


def document(objects: Iterable[tuple[str, str, Object]], *, nested: bool) -> dict[str, list[Object]]:
    """Objects (kind, id in the store, value) as one document; lists that would be empty are left out.

    nested: credentials stand below their consumers, except for those whose consumer is not there.
    """
    found: dict[str, list[Object]] = {name: [] for name in LISTS}
    below: dict[str, Object] = {}
    flat: list[Object] = []
    credentials: list[tuple[str, Object]] = []
    for kind, id, value in objects:
        if kind == "credentials":
            credentials.append((id, value))
        else:
            found[kind].append(value)
    if nested:
        found["consumers"] = [dict(each) for each in found["consumers"]]
        below = {each["username"]: each for each in found["consumers"]}
    for id, value in credentials:
        owner, _, own = id.partition("/")
        if owner in below:
            below[owner].setdefault("credentials", []).append(value)
        else:
            flat.append({**value, "id": f"{owner}{_BETWEEN}{own}"})
    found["consumers"] += flat
    return {name: values for name, values in found.items() if values}


def write(data: Mapping[str, Any], format: Format, *, indent: bool = False) -> bytes:
    if format == "yaml":
        return write_yaml(dict(data)).encode()
    text = msgspec.json.encode(data)
    return (msgspec.json.format(text, indent=2) if indent else text) + b"\n"


# -- comparing -----------------------------------------------------------------------------------------


def content(value: Object) -> bytes:
    """What an object says: without its id, times and the order of members. Equal for two that need no change."""
    own = {name: member for name, member in value.items() if name != "id" and name not in TIMES}
    return msgspec.json.encode(own, order="sorted")


def changes(before: Object, after: Object, shown: tuple[Object, Object]) -> Iterator[Change]:
    """Every place at which two objects differ. shown: the same two without their secrets; what they lack is not told."""
    for path in places(before, after, leaves=False):
        sides = value_at(shown[0], path), value_at(shown[1], path)
        yield Change(path) if MISSING not in sides and _same(*sides) else Change(path, *sides)


def places(before: Any, after: Any, *, leaves: bool, path: Path = ROOT) -> Iterator[Path]:
    """The deepest places that hold all differences, the gateway's times aside; lists of other lengths are one place.

    leaves: what only one side has is gone into as well. A side may be MISSING.
    """
    sides = [side for side in (before, after) if side is not MISSING]
    if len(sides) == 2 and _same(before, after):
        return
    if all(isinstance(side, dict) for side in sides) and (len(sides) == 2 or (leaves and sides[0])):
        for name in dict.fromkeys(name for side in sides for name in side):
            if path or name not in TIMES:
                yield from places(_member(before, name), _member(after, name), leaves=leaves, path=path.to(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from places(one, other, leaves=leaves, path=path.to(index))
    else:
        yield path


def value_at(value: Any, path: Path) -> Any:
    """What stands at a place; MISSING if nothing does."""
    for part in path:
        value = _member(value, part)
    return value


def _same(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1, and 1 is not 1.0."""
    if not isinstance(one, dict | list) or not isinstance(other, dict | list):
        return type(one) is type(other) and bool(one == other)
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")


def _member(value: Any, name: str | int) -> Any:
    if isinstance(value, list) and isinstance(name, int) and name < len(value):
        return value[name]
    return value.get(name, MISSING) if isinstance(value, dict) else MISSING
