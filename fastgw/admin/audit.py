"""The audit log: who changed what, from where, with what outcome; and who was refused.

Owns: the entries, their table in the store's database, the file they are written to. Must not know: resources, HTTP,
who may do what.

A write's entry is committed in the write's own transaction, so there is none without the other, whenever a process is
killed. The lines of the file come from the table, before the write is answered; those that a killed process did not
write any more are written at the next start. The file is synced at most once in a second, and only what was synced is
not written again, so that a power cut costs no line either. A refusal changes nothing: its line goes to the file
only.
"""

import errno
import json
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from fastgw.admin.differ import changes_of
from fastgw.storage.database import transaction
from fastgw.store import Store, Witness, Written

__all__ = ["Actor", "Audit", "prepare", "witness_of"]

MODE: Final = 0o600
SYNC_S: Final = 1.0
PAGE: Final = 500  # entries in memory at once
PRUNE_EVERY: Final = 100  # entries between two looks for those that are too old
TAIL_BYTES: Final = 1 << 20  # of the file, in which its last entry is looked for; one is 200 KiB at most
MOST_PATH: Final = 256  # characters; refusals may name anything
STRANGERS: Final = 100  # lines about clients without a key in a window; the rest is counted
STRANGERS_S: Final = 60.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit_synced (seq INTEGER NOT NULL);
INSERT INTO audit_synced SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM audit_synced);
"""

log = logging.getLogger("fastgw.admin")
T = TypeVar("T")


class Actor(NamedTuple):
    """Who does something: a key's name and role (None: nobody with a key), an address (None: nobody at all), and the call."""

    key: str | None
    role: str | None
    address: str | None
    method: str
    path: str
    status: int | None = None
    """With which a write is answered; None: as its method has it."""

    def entry(self) -> dict[str, Any]:
        path = self.path if len(self.path) <= MOST_PATH else self.path[:MOST_PATH] + "…"
        known = {"key": self.key, "role": self.role, "address": self.address}
        return {"time": _stamp(), **known, "method": self.method, "path": path}


class Audit:
    """One per admin process. `during` and `since` are for the store's thread, as is the start."""

    def __init__(self, store: Store, path: Path, keep: int, clock: Callable[[], float] = time.monotonic) -> None:
        """keep: how many entries stay in the table."""
        self._store = store
        self._path = path
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()  # lines come from two threads, and either may find the file moved away
        self._fd = _open(path)
        self._written = self._synced = 0  # the last entry's number
        self._sync_due = clock() + SYNC_S
        self._strangers = self._unsaid = 0
        self._strangers_until = 0.0
        self._broken = False

    def start(self) -> None:
        """Makes the tables if they are not there, and writes what was committed and is not in the file."""
        db = self._store.connection
        _make_tables(db)
        (self._synced,) = db.execute("SELECT seq FROM audit_synced").fetchone()
        self._written = max(self._synced, self._last_in_file())
        self._emit()

    def close(self) -> None:
        try:
            self._sync()
            self._store.connection.execute("UPDATE audit_synced SET seq = ?", (self._synced,))
        except (OSError, sqlite3.Error) as exc:
            log.warning("%s: the next start may write its last lines again: %s", self._path, exc)
        with self._lock:
            os.close(self._fd)

    def reopen(self) -> None:
        """After the file was moved away: goes on in a new one under the old name."""
        try:
            new = _open(self._path)
        except OSError as exc:
            log.error("%s: cannot be opened anew: %s", self._path, exc.strerror)
            return
        with self._lock:
            os.fdatasync(self._fd)  # what is in it counts as synced from now on
            old, self._fd = self._fd, new
        os.close(old)

    def during(self, actor: Actor, work: Callable[[], T]) -> T:
        """Does the work; writes in it are the actor's."""
        self._store.witness = partial(self._witness, actor)
        try:
            return work()
        finally:
            self._store.witness = None
            try:
                self._emit()
            except (OSError, sqlite3.Error) as exc:  # what was committed stays so; the next write tries again
                log.error("%s: cannot be brought up to date: %s", self._path, exc)

    def note(self, actor: Actor, kind: str, id: str, changes: list[dict[str, Any]]) -> None:
        """Of what is changed beside the store, before it is. For the store's thread."""
        entry = {"kind": kind, "id": id, "outcome": "committed", "status": actor.status or 200}
        with transaction(self._store.connection, "IMMEDIATE"):
            told = {**actor.entry(), **entry, "revision": self._store.revision(), "changes": changes}
            self._store.connection.execute("INSERT INTO audit (entry) VALUES (?)", (json.dumps(told),))
        self._emit()

    def refused(self, actor: Actor, status: int, reason: str | None = None) -> None:
        """Somebody with a key was refused, or somebody without one, of whom only so many are told."""
        if actor.key is None and not self._tells_of_strangers():
            return
        entry = {**actor.entry(), "outcome": "refused", "status": status}
        if reason is not None:
            entry["reason"] = reason
        if self._unsaid:
            entry["not_logged_before"] = self._unsaid
            self._unsaid = 0
        self._append(_line(entry))

    def since(self, seq: int | None, limit: int) -> list[dict[str, Any]]:
        """Entries after that one, or the newest, in order of their numbers."""
        db = self._store.connection
        if seq is None:
            rows = db.execute("SELECT seq, entry FROM audit ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()[::-1]
        else:
            rows = db.execute("SELECT seq, entry FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)).fetchall()
        return [_numbered(*row) for row in rows]

    # -- in the transaction ------------------------------------------------------------------------

    def _witness(self, actor: Actor, db: sqlite3.Connection, revision: int, written: list[Written]) -> None:
        seq = _record(actor, db, revision, written)
        db.execute("UPDATE audit_synced SET seq = ?", (self._synced,))
        if seq % PRUNE_EVERY == 0:
            oldest = min(seq - self._keep, self._synced)
            db.execute("DELETE FROM audit WHERE seq <= ?", (oldest,))

    # -- from the table to the file ----------------------------------------------------------------

    def _emit(self) -> None:
        query = "SELECT seq, entry FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
        while rows := self._store.connection.execute(query, (self._written, PAGE)).fetchall():
            for seq, entry in rows:
                if not self._append(_line(_numbered(seq, entry))):
                    return  # the next write tries again
                self._written = seq
        if self._written != self._synced and self._clock() >= self._sync_due:
            self._sync()

    def _sync(self) -> None:
        written = self._written
        with self._lock:
            os.fdatasync(self._fd)
        self._synced = written
        self._sync_due = self._clock() + SYNC_S

    def _append(self, line: bytes) -> bool:
        """Whether the line is in the file, whole; one that is not is cut off again."""
        with self._lock:
            try:
                size = os.fstat(self._fd).st_size
                if os.write(self._fd, line) < len(line):
                    os.ftruncate(self._fd, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as exc:
                if not self._broken:
                    log.error("%s: cannot be written: %s; entries wait in the store", self._path, exc.strerror)
                self._broken = True
                return False
        self._broken = False
        return True

    def _last_in_file(self) -> int:
        """The number of the last entry that the file has; 0 if there is none, or none that the table has too."""
        with open(self._path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")
        if lines[-1]:  # cut short by a power cut
            self._append(b"\n")
        for line in reversed(lines):
            try:
                seq = json.loads(line)["seq"]
            except (ValueError, LookupError, TypeError):
                continue
            same = self._store.connection.execute("SELECT entry FROM audit WHERE seq = ?", (seq,)).fetchone()
            return int(seq) if same is not None and _line(_numbered(seq, same[0])) == line + b"\n" else 0
        return 0

    def _tells_of_strangers(self) -> bool:
        now = self._clock()
        if now >= self._strangers_until:
            self._strangers, self._strangers_until = 0, now + STRANGERS_S
        self._strangers += 1
        if self._strangers > STRANGERS:
            self._unsaid += 1
            return False
        return True


def witness_of(actor: Actor, store: Store) -> Witness:
    """For writes without an admin process: the entry is committed along, and its line is written at the next start of one."""
    _make_tables(store.connection)

    def witness(db: sqlite3.Connection, revision: int, written: list[Written]) -> None:
        _record(actor, db, revision, written)

    return witness


def _make_tables(db: sqlite3.Connection) -> None:
    db.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")


def _record(actor: Actor, db: sqlite3.Connection, revision: int, written: list[Written]) -> int:
    """The entry's number."""
    first = written[0]
    created = actor.method in ("PUT", "POST") and first.before is None
    entry = {
        **actor.entry(),
        "kind": first.kind,
        "id": first.id,
        "outcome": "committed",
        "status": actor.status or (201 if created else 200),
        "revision": revision,
        "changes": changes_of(written),
    }
    (seq,) = db.execute("INSERT INTO audit (entry) VALUES (?) RETURNING seq", (json.dumps(entry),)).fetchone()
    return int(seq)


def prepare(path: Path) -> None:
    """Makes the file if it is not there; OSError: it cannot be written."""
    os.close(_open(path))


def _open(path: Path) -> int:
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, MODE)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "expected a regular file", str(path))  # its end is read at the next start
    return opened


def _numbered(seq: int, entry: str) -> dict[str, Any]:
    return {"seq": seq, **json.loads(entry)}


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _stamp() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03d}Z"
