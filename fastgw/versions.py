"""How often what is served has changed, by kind, and what the last whole set called itself.

Owns: the two tables in which the store keeps that, beside its objects and in the same transactions. Must not know: objects.
A count never goes back: whoever applies a whole set may raise it, every other change adds one.
"""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

__all__ = ["Versions", "bump", "carry", "note", "prepare", "read"]

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS conf_version "
    "(kind TEXT PRIMARY KEY, version INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS last_set (one INTEGER PRIMARY KEY CHECK (one = 1), seed TEXT NOT NULL, "
    "digest TEXT NOT NULL, revision INTEGER NOT NULL)",
)


class Versions(NamedTuple):
    """As one transaction sees them."""

    counts: dict[str, int]
    """By kind; a kind that is not there has never changed."""
    changed: int
    """When anything changed last, in Unix seconds; 0: never."""
    revision: int
    digest: str
    """The name of this state: what the last whole set was called if nothing has changed since, else one of our own."""


def prepare(db: sqlite3.Connection) -> None:
    """Makes the tables where they are not there yet."""
    for table in _TABLES:
        db.execute(table)
    if db.execute("SELECT 1 FROM last_set").fetchone() is None:
        db.execute("INSERT OR IGNORE INTO last_set VALUES (1, ?, '', -1)", (secrets.token_hex(16),))


def read(db: sqlite3.Connection, revision: int) -> Versions:
    rows = db.execute("SELECT kind, version, changed FROM conf_version").fetchall()
    seed, digest, named = db.execute("SELECT seed, digest, revision FROM last_set").fetchone()
    if named != revision:
        # Of the revision and not of the objects: a digest of those would let their secrets be guessed at.
        digest = hashlib.sha256(f"{seed}:{revision}".encode()).hexdigest()
    return Versions({kind: version for kind, version, _ in rows}, max((row[2] for row in rows), default=0), revision, digest)


def bump(db: sqlite3.Connection, touched: Collection[str], given: Mapping[str, int]) -> None:
    """Counts a change of the kinds touched; those given take that count instead."""
    now = int(time.time())
    write = "INSERT INTO conf_version VALUES (?, ?, ?) ON CONFLICT (kind) DO UPDATE SET version = {}, changed = ?3"
    db.executemany(write.format("version + 1"), [(kind, 1, now) for kind in touched if kind not in given])
    db.executemany(write.format("?2"), [(kind, count, now) for kind, count in given.items()])


def carry(db: sqlite3.Connection, before: int, now: int) -> None:
    """The state goes by the name that it had at the revision before: nobody's write led from there to now."""
    note(db, read(db, before).digest, now)


def note(db: sqlite3.Connection, digest: str, revision: int) -> None:
    """The state of this revision is called so by the one who wrote it."""
    db.execute("UPDATE last_set SET digest = ?, revision = ?", (digest, revision))
