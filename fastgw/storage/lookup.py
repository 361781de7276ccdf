"""Finding sealed objects by the text of a field: a table of keyed digests instead of an index on values.

Owns: which fields can be looked for, and the digests of every row. Must not know: what a field means. A row's digests are
made with the key that the row is sealed with, in the transaction that writes it.
"""

import sqlite3
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from fastgw.storage.keyring import Key, Keyring

__all__ = ["Field", "Lookup", "texts_at"]

Field = tuple[str, ...]
"""Names of members, from the outside in; "*" stands for every item of a list."""


class Lookup:
    """The table as one transaction sees it; fields as they were when it began."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        found = db.execute("SELECT field FROM lookup_field").fetchall()
        self.fields: set[Field] = {_field(text) for (text,) in found}

    def add_field(self, field: Field) -> None:
        self._db.execute("INSERT OR IGNORE INTO lookup_field VALUES (?)", (msgspec.json.encode(field).decode(),))
        self.fields.add(field)

    def put(self, key: Key, kind: str, id: str, layer: str, value: dict[str, Any], fields: Iterable[Field] = ()) -> None:
        """Adds a row's digests; of all fields, unless some are named."""
        for field in fields or self.fields:
            for text in texts_at(value, field):
                row = (key.digest(_term(kind, field, text)), kind, id, layer)
                self._db.execute("INSERT OR IGNORE INTO lookup VALUES (?, ?, ?, ?)", row)

    def drop(self, kind: str, id: str, layer: str) -> None:
        self._db.execute("DELETE FROM lookup WHERE kind = ? AND id = ? AND layer = ?", (kind, id, layer))

    def ids(self, ring: Keyring, kind: str, field: Field, text: str) -> list[str]:
        """Of the rows that may have this text there, in either layer. Rows under older keys are found too."""
        digests = [key.digest(_term(kind, field, text)) for key in ring]
        marks = ", ".join("?" * len(digests))
        query = f"SELECT DISTINCT id FROM lookup WHERE digest IN ({marks}) AND kind = ?"  # noqa: S608 (marks alone)
        return [id for (id,) in self._db.execute(query, (*digests, kind))]


def texts_at(value: Any, field: Field) -> set[str]:
    """The members as text, so that the ids 1 and "1" are the same; not what is no text and no whole number."""
    found = [value]
    for name in field:
        if name == "*":
            found = [item for each in found if isinstance(each, list) for item in each]
        else:
            found = [each[name] for each in found if isinstance(each, dict) and name in each]
    return {str(each) for each in found if isinstance(each, str | int) and not isinstance(each, bool)}


@cache
def _field(text: str) -> Field:
    return tuple(msgspec.json.decode(text))


def _term(kind: str, field: Field, text: str) -> bytes:
    return msgspec.json.encode((kind, field, text))
