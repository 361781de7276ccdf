"""The store: where the gateway's objects live, in one SQLite database that several processes share.

Owns: the two layers (`file`: what the config file declares; `store`: what the Admin API wrote; it hides the file's object of the
same kind and id), the one global revision that never goes back, and the change feed that workers follow. Must not know:
plugins, HTTP, what an object means (but whose a credential is, and which objects say when they are to go); nor how
values are sealed and kept (storage/). A connection must not be carried over a fork: each process opens its own Store.

Durability: WAL with synchronous=FULL and one transaction per write, so a write whose call returned
survives kill -9 and power loss, and no reader ever sees half of one.

A row of `feed` says at which revision the effective value of an id last changed; one whose object is
gone is a tombstone. Tombstones older than KEPT_REVISIONS are dropped, and `horizon` remembers it.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fastgw import versions
from fastgw.errors import ChangesGone, DeclaredInFile, Full, NotFound, StoreError
from fastgw.storage import feed
from fastgw.storage.database import open_database, place_of, transaction
from fastgw.storage.keyring import Key, Keyring, WrongKey
from fastgw.storage.lookup import Field, Lookup, texts_at
from fastgw.storage.rotation import Rotated, rotate
from fastgw.versions import Versions

__all__ = [
    "Change",
    "ChangesGone",
    "DeclaredInFile",
    "Edits",
    "Feed",
    "Full",
    "NotFound",
    "Row",
    "Store",
    "StoreError",
    "View",
    "Witness",
    "Written",
]

Object = dict[str, Any]

KEPT_REVISIONS: Final = 100_000  # tombstones: a worker is at most one publish deadline (5 s) behind, far less
PRUNE_EVERY: Final = 1_000  # revisions between two looks for old tombstones
FEED_ROWS: Final = 32  # changes read at once: 0.15 ms, no request waits longer for it
OWNED: Final = {"consumers": "credentials"}  # ids of the owned kind are "<owner id>/<own id>"
OWNER_OF: Final = {owned: owner for owner, owned in OWNED.items()}
EXPIRES: Final = {"revocations": "expires"}  # the member by which an object of the kind says itself when it is to go

_ROW: Final = "SELECT kind, id, layer, key, value, created, modified, overrides FROM effective"


class Row(NamedTuple):
    """One effective object; created and modified are revisions, overrides tells of a hidden file object."""

    kind: str
    id: str
    value: Object
    layer: str
    created: int
    modified: int
    overrides: bool = False


class Change(NamedTuple):
    """What an id is now; value None says it is gone. revision: of this change; created: of the object's first appearance."""

    kind: str
    id: str
    value: Object | None
    revision: int
    created: int = 0


class Written(NamedTuple):
    """What a write did to the effective value of an id; None: there was, or is, none."""

    kind: str
    id: str
    before: Object | None
    after: Object | None


Witness = Callable[[sqlite3.Connection, int, list[Written]], None]
"""Sees a write before it is committed, with the revision that it leads to. What it writes is committed along; what it raises
prevents the write."""


class Edits(NamedTuple):
    """What makes the store layer another: objects to write, in this order, and to remove."""

    puts: Mapping[tuple[str, str], Object]
    drops: Collection[tuple[str, str]]
    counts: Mapping[str, int]
    """Kinds whose count of changes is set instead of raised."""
    digest: str = ""
    """What the state is called from then on; empty: a name is made for it."""


Rows = list[Row]
Changes = list[Change]
Ids = list[tuple[str, str]]


class View:
    """The effective objects as one transaction, or one statement, sees them."""

    def __init__(self, db: sqlite3.Connection, ring: Keyring, path: Path) -> None:
        self._db = db
        self._ring = ring
        self.path = path

    def revision(self) -> int:
        (revision,) = self._db.execute("SELECT revision FROM state").fetchone()
        return int(revision)

    def get(self, kind: str, id: str) -> Row | None:
        found = self._db.execute(f"{_ROW} WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return self._row(*found) if found else None

    def list(self, kind: str, owner: str | None = None) -> Rows:
        """All of a kind in order of creation; with an owner only those below it."""
        where, values = "kind = ?", [kind]
        if owner is not None:
            where, values = where + " AND id > ? AND id < ?", [kind, f"{owner}/", f"{owner}0"]  # "0" follows "/"
        found = self._db.execute(f"{_ROW} WHERE {where} ORDER BY created, id", values)
        return [self._row(*each) for each in found]

    def ids(self, kind: str) -> set[str]:
        """All of a kind."""
        return {id for (id,) in self._db.execute("SELECT DISTINCT id FROM object WHERE kind = ?", (kind,))}

    def declared(self, kind: str) -> dict[str, Object]:
        """What the config file declares of a kind by id, also where the store's object hides it."""
        query = "SELECT kind, id, layer, key, value FROM object WHERE kind = ? AND layer = 'file'"
        return {row[1]: msgspec.json.decode(self._open(*row)) for row in self._db.execute(query, (kind,))}

    def expiries(self, kind: str) -> dict[str, float]:
        """When objects of a kind are to go that do not stay, by id."""
        return dict(self._db.execute("SELECT id, expires FROM object WHERE kind = ? AND expires NOTNULL", (kind,)))

    def versions(self) -> Versions:
        return versions.read(self._db, self.revision())

    def modified(self) -> dict[str, int]:
        """Of each kind the revision of its last change."""
        return dict(self._db.execute("SELECT kind, MAX(revision) FROM feed GROUP BY kind"))

    def find(self, kind: str, field: Field, value: str) -> Rows:
        """Objects one of whose fields, as text, equals value; `Store.index` makes it fast."""
        self._key()  # digests under one that this process has not met yet would be missed
        lookup = Lookup(self._db)
        if field in lookup.fields:
            found = [self.get(kind, id) for id in lookup.ids(self._ring, kind, field, value)]
            rows = sorted((row for row in found if row is not None), key=lambda row: row.created)
        else:
            rows = self.list(kind)
        return [row for row in rows if value in texts_at(row.value, field)]

    def _key(self) -> Key:
        """What is written now is sealed with it."""
        (key,) = self._db.execute("SELECT key FROM state").fetchone()
        return self._ring.get(key)

    def _open(self, kind: str, id: str, layer: str, key: str, value: bytes) -> bytes:
        try:
            return self._ring.get(key).open(value, place_of(kind, id, layer))
        except WrongKey as exc:
            reason = f"the row is damaged, or key {key} in {self._ring.path} is not the one it was sealed with"
            raise StoreError(f"{self.path}: {kind} {id} ({layer}) cannot be read: {reason}") from exc

    def _row(self, kind: str, id: str, layer: str, key: str, value: bytes, created: int, modified: int, overrides: int) -> Row:
        decoded = msgspec.json.decode(self._open(kind, id, layer, key, value))
        return Row(kind, id, decoded, layer, created, modified, bool(overrides))


class Store(View):
    """One process's connection; calls may come from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        """Opens the database, making it and its directory (mode 0600, 0700) if there is none."""
        db, ring = open_database(path)
        versions.prepare(db)
        super().__init__(db, ring, path)
        self.witness: Witness | None = None
        """For writes from now on."""
        self.bounds: Mapping[str, int] = {}
        """How many objects of a kind there may be: Full is what a write that adds another one meets."""

    @property
    def connection(self) -> sqlite3.Connection:
        """For tables of others in the same database."""
        return self._db

    def close(self) -> None:
        self._db.close()

    def verify(self) -> None:
        """StoreError: a row cannot be read. None is ever left out for that."""
        for row in self._db.execute("SELECT kind, id, layer, key, value FROM object"):
            self._open(*row)

    def rotate(self, *, drop_old: bool) -> Rotated:
        """Seals every row with a new key, also while other processes read and write."""
        return rotate(self._db, self._ring, self._open, drop_old=drop_old)

    @contextmanager
    def reading(self) -> Iterator[View]:
        """All that the view tells is of one moment."""
        with transaction(self._db, "DEFERRED"):
            yield View(self._db, self._ring, self.path)

    def index(self, fields: Iterable[Field]) -> None:
        """Makes `find` by these fields a lookup instead of a scan, from now on and for every process."""
        wanted = set(fields)
        if wanted <= Lookup(self._db).fields:
            return
        with transaction(self._db, "IMMEDIATE"):
            lookup = Lookup(self._db)
            new = wanted - lookup.fields
            for field in new:
                lookup.add_field(field)
            for kind, id, layer, key, value in self._db.execute("SELECT kind, id, layer, key, value FROM object"):
                decoded = msgspec.json.decode(self._open(kind, id, layer, key, value))
                lookup.put(self._ring.get(key), kind, id, layer, decoded, new)

    def put(self, kind: str, id: str, value: Object, check: Callable[[View], None] | None = None) -> tuple[Row, bool, int]:
        """Writes value to the store layer; check sees the state before and may raise to prevent it."""

        def change(view: View, _: Row | None) -> Object:
            if check is not None:
                check(view)
            return value

        return self.update(kind, id, change)

    def update(
        self,
        kind: str,
        id: str,
        change: Callable[[View, Row | None], Object],
        expires: float | None = None,
    ) -> tuple[Row, bool, int]:
        """Writes what change makes of the present object; returns the row, whether it is new, the revision.

        change runs inside the transaction and may raise to prevent the write. expires is Unix time.
        """
        with self._writer() as writer:
            before = writer.get(kind, id)
            writer.set(kind, id, "store", change(writer, before), expires)
            after = writer.get(kind, id)
        assert after is not None  # noqa: S101 (written above, in the same transaction)
        return after, before is None, after.modified

    def keep(self, kind: str, id: str, value: Object | None) -> int:
        """Writes, or removes (None), what the gateway itself found out; returns the revision.

        It is nobody's write: no witness sees it, no count of changes rises, and the state keeps its name.
        """
        with transaction(self._db, "IMMEDIATE"):
            writer = _Writer(self._db, self._ring, self.path, self.bounds)
            before = writer.get(kind, id)
            if value is not None:
                writer.set(kind, id, "store", value)
            elif before is not None:
                writer.unset(kind, id, "store")
            writer.finish(quiet=True)
            return writer.at

    def delete(
        self,
        kind: str,
        id: str,
        check: Callable[[View, Row | None], None] | None = None,
        require: Callable[[Row], None] | None = None,
    ) -> tuple[Row | None, int]:
        """Removes the store's object and what it owns; returns the file's that comes back, the revision.

        Both may raise to prevent it: require sees what would go, check the state after, with what comes back.
        """
        with self._writer() as writer:
            before = writer.get(kind, id)
            if before is None:
                raise NotFound(f"{kind} {id}")
            if before.layer == "file":
                raise DeclaredInFile(f"{kind} {id}")
            if require is not None:
                require(before)
            writer.unset(kind, id, "store")
            writer.unset_owned(kind, id)
            back = writer.get(kind, id)
            if check is not None:
                check(writer, back)
            return back, writer.at

    def expire(self, now: float) -> int | None:
        """Removes objects whose time has come; returns the revision if there were any."""
        due = "SELECT kind, id FROM object WHERE expires <= ?"
        if self._db.execute(due, (now,)).fetchone() is None:
            return None
        with self._writer() as writer:
            for kind, id in self._db.execute(due, (now,)).fetchall():
                writer.unset(kind, id, "store")
                writer.unset_owned(kind, id)
            return writer.at

    def next_expiry(self) -> float | None:
        (moment,) = self._db.execute("SELECT min(expires) FROM object WHERE expires NOTNULL").fetchone()
        return None if moment is None else float(moment)

    def replace_file_layer(self, objects: Mapping[tuple[str, str], Object]) -> tuple[int, Ids]:
        """Makes the file layer exactly objects, touching only what differs.

        Returns the revision and the ids which the store goes on hiding. A consumer that no layer has any
        more takes the store's credentials with it, lest a later one of that name inherit them.
        """
        with self._writer() as writer:
            self._declare(writer, objects)
            hidden = self._db.execute("SELECT kind, id FROM effective WHERE overrides ORDER BY kind, id")
            return writer.at, [(kind, id) for kind, id in hidden]

    def _declare(self, writer: "_Writer", objects: Mapping[tuple[str, str], Object]) -> None:
        texts = {key: msgspec.json.encode(value) for key, value in objects.items()}
        found = self._db.execute("SELECT kind, id, layer, key, value FROM object WHERE layer = 'file'")
        present = {(row[0], row[1]): self._open(*row) for row in found}
        for kind, id in present.keys() - texts.keys():
            writer.unset(kind, id, "file")
            if writer.get(kind, id) is None:
                writer.unset_owned(kind, id)
        for (kind, id), text in texts.items():
            if present.get((kind, id)) != text:
                writer.set(kind, id, "file", objects[kind, id])

    def apply(
        self,
        edit: Callable[[View], Edits],
        check: Callable[[View], None],
        declared: Mapping[tuple[str, str], Object] | None = None,
    ) -> int:
        """Makes the edits of the store layer that `edit` finds right, all or none; returns the revision.

        check sees the state after and may raise to prevent it. declared: the file layer comes to this first.
        """
        with self._writer() as writer:
            if declared is not None:
                self._declare(writer, declared)
            edits = edit(writer)
            for kind, id in edits.drops:
                writer.unset(kind, id, "store")
            for (kind, id), value in edits.puts.items():
                writer.set(kind, id, "store", value)
            check(writer)
            writer.counts, writer.digest = edits.counts, edits.digest
        return writer.at

    def changes(self, since: int) -> tuple[int, Changes]:
        """The revision now and every id whose effective value changed after `since`, oldest change first.

        since 0 asks for all that is there.
        """
        feed = Feed(self, since)
        changes = list(feed)
        return feed.revision, changes

    def _page(self, since: int, known: int, kind: str | None) -> tuple[int, int, list[tuple[Any, ...]]]:
        """Revision and horizon now, and the first changes after `since`, of all kinds or one; tombstones only from `known` on."""
        query = """
            SELECT f.kind, f.id, e.layer, e.key, e.value, f.revision, e.created FROM feed f
            LEFT JOIN effective e ON e.kind = f.kind AND e.id = f.id
            WHERE f.revision > ? AND (e.value NOTNULL OR f.revision > ?) AND (?3 ISNULL OR f.kind = ?3)
            ORDER BY f.revision LIMIT ?4"""
        with transaction(self._db, "DEFERRED"):
            revision, horizon = self._db.execute("SELECT revision, horizon FROM state").fetchone()
            return revision, horizon, self._db.execute(query, (since, known, kind, FEED_ROWS)).fetchall()

    @contextmanager
    def _writer(self) -> "Iterator[_Writer]":
        with transaction(self._db, "IMMEDIATE"):
            writer = _Writer(self._db, self._ring, self.path, self.bounds)
            yield writer
            writer.finish()
            if self.witness is not None and writer.written:
                self.witness(self._db, writer.at, writer.written)


class Feed:
    """The changes after `since`, as `Store.changes` has them, read page by page as they are asked for.

    A page is one transaction, all of them are not; still, who took all changes has the state of `revision`: an id that changes
    after its page was read has a newer revision then, and comes again on a later page.
    """

    def __init__(self, store: Store, since: int, kind: str | None = None) -> None:
        """kind: only of objects of this kind. Iterating meets ChangesGone where tombstones after `since` were dropped."""
        self.revision = since
        """Of the store, when the last page was read."""
        self._store = store
        self._since = since
        self._kind = kind

    def __iter__(self) -> Iterator[Change]:
        at, more = self._since, True
        known = at or self._store.revision()  # who begins with nothing misses nothing that was gone by then
        while more:
            self.revision, horizon, page = self._store._page(at, known, self._kind)
            if at == self._since and 0 < at < horizon:
                text = f"changes since {at} are gone, expected {horizon} or later"
                raise ChangesGone(f"{self._store.path}: {text}")
            more = len(page) == FEED_ROWS
            for kind, id, layer, key, value, revision, created in page:
                decoded = None if value is None else msgspec.json.decode(self._store._open(kind, id, layer, key, value))
                yield Change(kind, id, decoded, revision, created or 0)
                at = revision


class _Writer(View):
    """The write side of one transaction: each changed row takes the next revision."""

    def __init__(self, db: sqlite3.Connection, ring: Keyring, path: Path, bounds: Mapping[str, int]) -> None:
        super().__init__(db, ring, path)
        self._bounds = bounds
        self._grown: set[str] = set()
        self._began = self.at = self.revision()
        self.written: list[Written] = []
        self._touched: set[str] = set()
        self.counts: Mapping[str, int] = {}
        self.digest = ""
        self._sealing = self._key()
        self._lookup = Lookup(db)

    def set(self, kind: str, id: str, layer: str, value: Object, expires: float | None = None) -> None:
        before = self.get(kind, id)
        self.at += 1
        created = before.created if before else self.at
        if before is None:
            self._grown.add(kind)
        own = value.get(EXPIRES.get(kind, "")) if layer == "store" else None
        if own is not None:
            expires = own if expires is None else min(own, expires)
        sealed = self._sealing.seal(msgspec.json.encode(value), place_of(kind, id, layer))
        self._db.execute(
            "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (kind, id, layer, sealed, created, self.at, expires, self._sealing.id),
        )
        self._lookup.drop(kind, id, layer)
        self._lookup.put(self._sealing, kind, id, layer, value)
        if layer == "store" or before is None or before.layer == "file":
            self._publish(kind, id)
            self.written.append(Written(kind, id, before.value if before else None, value))

    def unset(self, kind: str, id: str, layer: str) -> None:
        before = self.get(kind, id)
        self.at += 1
        self._db.execute("DELETE FROM object WHERE kind = ? AND id = ? AND layer = ?", (kind, id, layer))
        self._lookup.drop(kind, id, layer)
        if before is not None and before.layer == layer:
            # The file's object that comes back is a change of the effective value, so it counts as modified.
            self._db.execute("UPDATE object SET modified = ? WHERE kind = ? AND id = ?", (self.at, kind, id))
            self._publish(kind, id)
            back = self.get(kind, id)
            self.written.append(Written(kind, id, before.value, back.value if back else None))

    def unset_owned(self, kind: str, id: str) -> None:
        owned = OWNED.get(kind)
        if owned is not None:
            for row in self.list(owned, owner=id):
                if row.layer == "store":
                    self.unset(owned, row.id, "store")

    def finish(self, *, quiet: bool = False) -> None:
        """quiet: the change is nobody's, see `Store.keep`."""
        for kind in self._grown & self._bounds.keys():
            most = self._bounds[kind]
            if (count := feed.count(self._db, kind, most)) > most:
                raise Full(f"{kind}: expected at most {most} (shared_memory.{kind}), found {count}: nothing was changed")
        if quiet:
            versions.carry(self._db, self._began, self.at)
        else:
            versions.bump(self._db, self._touched, self.counts)
        if self.digest:
            versions.note(self._db, self.digest, self.at)
        if self.at == self._began:
            return
        self._db.execute("UPDATE state SET revision = ?", (self.at,))
        horizon = self._began - KEPT_REVISIONS
        if horizon > 0 and self._began // PRUNE_EVERY != self.at // PRUNE_EVERY:
            feed.drop_tombstones(self._db, horizon)

    def _publish(self, kind: str, id: str) -> None:
        feed.publish(self._db, kind, id, self.at)
        self._touched.add(OWNER_OF.get(kind, kind))  # a change of a credential is one of the consumers
