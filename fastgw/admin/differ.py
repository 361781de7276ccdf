"""What a write changed, for people: the places that differ, each with its value before and after, without secrets.

Owns: what is hidden in it (by the rule of redact.py: default deny), how long it may get. The walk is objectset.py's.
Must not know: who writes, where the outcome goes.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fastgw.admin.redact import without_secrets
from fastgw.errors import Path
from fastgw.objectset import MISSING, places, value_at
from fastgw.store import Written

__all__ = ["HIDDEN", "changes_of"]

HIDDEN: Final = "***"
MOST_CHANGES: Final = 200  # of one write; the rest is counted
MOST_BYTES: Final = 256  # of one value as JSON


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
            if before is not MISSING:
                entry["before"] = before
            if after is not MISSING:
                entry["after"] = after
            shown.append(entry)
    return [*shown, {"more": more}] if more else shown


def _differences(each: Written) -> Iterator[tuple[Path, Any, Any]]:
    before, after = (MISSING if value is None else value for value in (each.before, each.after))
    opened = [value if value is MISSING else without_secrets(each.kind, value) for value in (before, after)]
    for path in places(before, after, leaves=True):
        yield path, _value(before, opened[0], path), _value(after, opened[1], path)


def _value(whole: Any, opened: Any, path: Path) -> Any:
    """What stands at the path, if it may be shown; what is open of it, where only a part may."""
    if value_at(whole, path) is MISSING:
        return MISSING
    found = value_at(opened, path)
    if found is MISSING:
        return HIDDEN
    text = msgspec.json.encode(found)
    return found if len(text) <= MOST_BYTES else f"{text[:MOST_BYTES].decode(errors='ignore')}…"
