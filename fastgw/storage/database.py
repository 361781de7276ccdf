"""The database file: its tables, how it is made and opened, how an older one is brought up to date.

Owns: the schema and its versions. Must not know: what rows mean.

Values are sealed before SQLite sees them, so neither the file nor its log nor a free page ever holds one in the clear.
What is in the clear: kinds, ids, revisions, times of expiry, the length of each value, and which looked-up fields of two
objects are equal.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from fastgw import files
from fastgw.errors import StoreError
from fastgw.storage.keyring import Keyring

__all__ = ["open_database", "place_of", "transaction"]

VERSION: Final = 2
BUSY_TIMEOUT_S: Final = 30.0  # a writer waits this long for another one; each holds the lock for milliseconds

_FEED: Final = """
CREATE TABLE feed (
    kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX feed_revision ON feed (revision);
"""
# key: the one that value, and the row's digests, are sealed with. state.key: the one that writers take.
_OBJECTS: Final = """
CREATE TABLE object (
    kind TEXT NOT NULL, id TEXT NOT NULL, layer TEXT NOT NULL CHECK (layer IN ('file', 'store')),
    value BLOB NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, expires REAL, key TEXT NOT NULL,
    PRIMARY KEY (kind, id, layer)
) WITHOUT ROWID;
CREATE INDEX object_expires ON object (expires) WHERE expires IS NOT NULL;
CREATE VIEW effective AS
    SELECT o.*, o.layer = 'store' AND EXISTS (
        SELECT 1 FROM object f WHERE f.kind = o.kind AND f.id = o.id AND f.layer = 'file') AS overrides
    FROM object o
    WHERE o.layer = 'store' OR NOT EXISTS (
        SELECT 1 FROM object s WHERE s.kind = o.kind AND s.id = o.id AND s.layer = 'store');
CREATE TABLE lookup_field (field TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE lookup (
    digest BLOB NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, layer TEXT NOT NULL, PRIMARY KEY (digest, kind, id, layer)
) WITHOUT ROWID;
CREATE INDEX lookup_object ON lookup (kind, id, layer);
CREATE TABLE state (revision INTEGER NOT NULL, horizon INTEGER NOT NULL, key TEXT NOT NULL);
"""


def open_database(path: Path) -> tuple[sqlite3.Connection, Keyring]:
    """The database and its keys; it, its directory (mode 0600, 0700) and a first key are made if there is none."""
    keys = path.with_suffix(".keys")
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path, Keyring.made(keys))  # the key first: a database never is without
    db = _connect(path)
    try:
        if _version(db) == 1:
            _seal_version_1(path, db, Keyring.made(keys))
        if _version(db) != VERSION:
            raise StoreError(f"{path}: expected database version {VERSION}, found {_version(db)}")
        if not keys.exists():
            text = f"missing, and {path} cannot be read without it: put it back from the backup"
            raise StoreError(f"{keys}: {text} (or move the database away, to begin with nothing)")
        db.execute("PRAGMA journal_mode = WAL")  # it is, but for a crash while version 1 was sealed
        ring = Keyring(keys)
        (key,) = db.execute("SELECT key FROM state").fetchone()
        ring.get(key)
    except BaseException:
        db.close()
        raise
    return db, ring


def place_of(kind: str, id: str, layer: str) -> bytes:
    """What binds a sealed value to its row."""
    return msgspec.json.encode((kind, id, layer))


@contextmanager
def transaction(db: sqlite3.Connection, mode: str) -> Iterator[None]:
    db.execute(f"BEGIN {mode}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _create(path: Path, ring: Keyring) -> None:
    """Makes the database beside its place and links it there whole, so that racing processes agree on one."""
    with files.unnamed(path) as name:
        with closing(_connect(name)) as db:  # the last one that closes folds the log into the file
            db.execute("PRAGMA journal_mode = WAL")
            with transaction(db, "IMMEDIATE"):
                _run(db, _FEED + _OBJECTS)
                db.execute("INSERT INTO state VALUES (0, 0, ?)", (ring.newest().id,))
                db.execute(f"PRAGMA user_version = {VERSION}")
        files.link(name, path)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as exc:
        db.close()
        raise StoreError(f"{path}: expected a fastgw database: {exc}") from exc
    return db


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def _run(db: sqlite3.Connection, script: str) -> None:
    """executescript would commit first."""
    for statement in script.split(";"):
        if statement.strip():
            db.execute(statement)


def _seal_version_1(path: Path, db: sqlite3.Connection, ring: Keyring) -> None:
    """Version 1 held values in the clear. All are sealed in one transaction, and none lingers anywhere.

    With a rollback journal instead of the log the new content is in the file itself when the transaction has ended, and the
    journal with the old content is gone. VACUUM before: free pages would keep what was deleted in version 1; the pages that
    the transaction sets free are overwritten, and later writes use them.
    """
    try:
        for pragma in ("secure_delete = ON", "temp_store = MEMORY", "journal_mode = DELETE"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("VACUUM")
        with transaction(db, "EXCLUSIVE"):
            if _version(db) == 1:  # else another process was first
                _rebuild(db, ring)
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as exc:
        raise StoreError(f"{path}: cannot be brought from version 1 to {VERSION}, nothing was changed: {exc}") from exc


def _rebuild(db: sqlite3.Connection, ring: Keyring) -> None:
    key = ring.newest()
    _run(
        db, "DROP VIEW effective; DROP INDEX object_expires; ALTER TABLE object RENAME TO plain; ALTER TABLE state RENAME TO past"
    )
    _run(db, _OBJECTS)
    for kind, id, layer, value, *rest in db.execute("SELECT kind, id, layer, value, created, modified, expires FROM plain"):
        sealed = key.seal(value.encode(), place_of(kind, id, layer))
        db.execute("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (kind, id, layer, sealed, *rest, key.id))
    db.execute("INSERT INTO state SELECT revision, horizon, ? FROM past", (key.id,))
    _run(db, f"DROP TABLE plain; DROP TABLE past; PRAGMA user_version = {VERSION}")
