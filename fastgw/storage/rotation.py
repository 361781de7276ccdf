"""Rotation: every row under a new key, while others read and write, and no moment at which one cannot be read.

Owns: the order of steps. Must not know: what rows mean.

    1  a new key is added to the file, and is on the disk
    2  writers are told to take it (state.key; they look it up in each transaction)
    3  rows are sealed anew, some at a time, each together with its digests
    4  if asked: keys that no row needs leave the file, and what they sealed leaves the database's free pages

All keys stay in the file until 4, so a crash leaves rows under several keys, all readable; the next rotation goes on with
them. 1 and 4 hold the write lock: nobody else changes the file, nobody takes a key that goes.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from fastgw.storage.database import place_of, transaction
from fastgw.storage.keyring import Keyring
from fastgw.storage.lookup import Lookup

__all__ = ["Rotated", "rotate"]

ROWS: Final = 200  # sealed anew in one transaction; a write of the gateway waits for 3 ms of it

Open = Callable[[str, str, str, str, bytes], bytes]
"""Opens a row: kind, id, layer, key, value."""


class Rotated(NamedTuple):
    """What was done."""

    key: str
    rows: int
    dropped: list[str]
    older: list[str]
    """Keys that are in the file still."""


def rotate(db: sqlite3.Connection, ring: Keyring, open_row: Open, *, drop_old: bool) -> Rotated:
    with transaction(db, "IMMEDIATE"):
        key = ring.add()
        db.execute("UPDATE state SET key = ?", (key.id,))
    rows, last = 0, ("", "", "")
    while page := _seal_some(db, ring, open_row, last):
        rows, last = rows + len(page), page[-1]
    dropped = _drop(db, ring) if drop_old else []
    return Rotated(key.id, rows, dropped, [each.id for each in ring if each.id != key.id])


def _seal_some(db: sqlite3.Connection, ring: Keyring, open_row: Open, last: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    """The next rows under other keys than the present one, which is what everybody writes with by now."""
    query = """
        SELECT kind, id, layer, key, value FROM object
        WHERE (kind, id, layer) > (?, ?, ?) AND key <> ? ORDER BY kind, id, layer LIMIT ?"""
    with transaction(db, "IMMEDIATE"):
        (present,) = db.execute("SELECT key FROM state").fetchone()
        key, lookup, done = ring.get(present), Lookup(db), []
        for kind, id, layer, old, value in db.execute(query, (*last, present, ROWS)).fetchall():
            plain = open_row(kind, id, layer, old, value)
            sealed = key.seal(plain, place_of(kind, id, layer))
            db.execute(
                "UPDATE object SET value = ?, key = ? WHERE kind = ? AND id = ? AND layer = ?", (sealed, key.id, kind, id, layer)
            )
            decoded: dict[str, Any] = msgspec.json.decode(plain)
            lookup.drop(kind, id, layer)
            lookup.put(key, kind, id, layer, decoded)
            done.append((kind, id, layer))
    return done


def _drop(db: sqlite3.Connection, ring: Keyring) -> list[str]:
    with transaction(db, "IMMEDIATE"):
        used = db.execute("SELECT DISTINCT key FROM object UNION SELECT key FROM state").fetchall()
        dropped = ring.keep({id for (id,) in used})
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # as far as readers let it
    return dropped
