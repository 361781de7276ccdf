"""What a write changed, for people: the places that differ, each with its value before and after, without secrets.

Owns: the walk over two values, what is hidden in it (by the rule of redact.py: default deny), how long it may get.
Must not know: who writes, where the outcome goes.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fastgw.admin.redact import without_secrets
from fastgw.errors import ROOT, Path
from fastgw.store import Written

__all__ = ["HIDDEN", "changes_of"]

HIDDEN: Final = "***"
MOST_CHANGES: Final = 200  # of one write; the rest is counted
MOST_BYTES: Final = 256  # of one value as JSON
TIMES: Final = frozenset({"create_time", "update_time"})  # the gateway's own
_ABSENT: Final = object()


def changes_of(written: list[Written]) -> list[dict[str, Any]]:
    """One entry per place: `object`, `path`, and `before` and `after` as far as there was or is a value."""
    shown: list[dict[str, Any]] = []
    more = 0
    for each in written:
        for path, before, after in _differences(each):
            if len(shown) == MOST_CHANGES:
                more += 1
                continue
            entry: dict[str, Any] = {"object": f"{each.kind}/{each.id}", "path": str(path)}
            if before is not _ABSENT:
                entry["before"] = before
            if after is not _ABSENT:
                entry["after"] = after
            shown.append(entry)
    return [*shown, {"more": more}] if more else shown


def _differences(each: Written) -> Iterator[tuple[Path, Any, Any]]:
    opened = [None if value is None else without_secrets(each.kind, value) for value in (each.before, each.after)]
    before = _ABSENT if each.before is None else each.before
    after = _ABSENT if each.after is None else each.after
    for path in _places(before, after, ROOT):
        if path and path[0] in TIMES:
            continue
        yield path, _value(before, opened[0], path), _value(after, opened[1], path)


def _places(before: Any, after: Any, path: Path) -> Iterator[Path]:
    """The deepest places that hold all differences; lists of other lengths are one place."""
    sides = [value for value in (before, after) if value is not _ABSENT]
    if all(isinstance(value, dict) for value in sides) and any(sides):
        old, new = ({} if value is _ABSENT else value for value in (before, after))
        for name in {**old, **new}:
            one, other = old.get(name, _ABSENT), new.get(name, _ABSENT)
            if one != other or type(one) is not type(other):
                yield from _places(one, other, path.to(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one != other:
                yield from _places(one, other, path.to(index))
    else:
        yield path


def _value(whole: Any, opened: Any, path: Path) -> Any:
    """What stands at the path, if it may be shown; what is open of it, where only a part may."""
    if _at(whole, path) is _ABSENT:
        return _ABSENT
    found = _at(opened, path)
    if found is _ABSENT:
        return HIDDEN
    text = msgspec.json.encode(found)
    return found if len(text) <= MOST_BYTES else f"{text[:MOST_BYTES].decode(errors='ignore')}…"


def _at(value: Any, path: Path) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, _ABSENT)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return _ABSENT
    return _ABSENT if value is None else value
