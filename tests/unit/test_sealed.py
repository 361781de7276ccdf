"""What lies on the disk: nothing in the clear, nothing that can be swapped or left out, and old databases sealed whole."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.storage import database, rotation
from fastgw.storage.keyring import Key, Keyring
from fastgw.store import Store, StoreError

MARKER = "marker-that-must-not-be-seen"
FIELD = ("plugins", "key-auth", "key")


def secret(text: str = MARKER, **more: Any) -> dict[str, Any]:
    return {"plugins": {"key-auth": {"key": text}}, **more}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data" / "fastgw.db")
    opened.index([FIELD])
    yield opened
    opened.close()


def on_disk(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in path.parent.iterdir())


def values(store: Store) -> dict[tuple[str, str], Any]:
    return {(change.kind, change.id): change.value for change in store.changes(0)[1]}


# ---- nothing in the clear ------------------------------------------------------------------------


def test_no_byte_of_any_file_tells_a_value(store: Store) -> None:
    def look() -> None:
        assert MARKER.encode() not in on_disk(store.path)
        assert b'key-auth":' not in on_disk(store.path)

    store.put("consumers", "written", secret())
    look()
    store.put("consumers", "written", secret(f"{MARKER}-2", desc=MARKER * 500))
    store.replace_file_layer({("consumers", f"file-{number}"): secret(f"{MARKER}-{number}") for number in range(300)})
    store.update("consumers", "short", lambda *_: secret(f"{MARKER}-short"), expires=1.0)
    look()
    store.expire(2.0)
    store.delete("consumers", "written")
    store.replace_file_layer({})
    look()
    store.put("consumers", "last", secret())
    store.rotate(drop_old=True)
    look()
    assert [row.id for row in store.find("consumers", FIELD, MARKER)] == ["last"]
    store.close()
    look()


def test_what_a_search_would_find_is_there_at_all(store: Store) -> None:
    """So that the test above can fail: ids are in the clear, and are found by the same search."""
    store.put("consumers", MARKER, {})
    assert MARKER.encode() in on_disk(store.path)


# ---- nothing swapped, nothing left out -----------------------------------------------------------


@pytest.fixture
def two(store: Store) -> Store:
    store.replace_file_layer({("routes", "a"): {"v": "file"}})
    store.put("routes", "a", {"v": 1})
    store.put("routes", "b", {"v": 2})
    store.put("services", "a", {"v": 3})
    return store


UNREADABLE = r"fastgw\.db: {} \({}\) cannot be read: the row is damaged, or key [0-9a-f]{{8}} in .*fastgw\.keys is not the one"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("kind = 'routes' AND id = 'b'", "routes a"),
        ("kind = 'services' AND id = 'a'", "routes a"),
        ("kind = 'routes' AND id = 'a' AND layer = 'file'", "routes a"),
    ],
)
def test_a_row_cannot_be_put_in_the_place_of_another(two: Store, source: str, target: str) -> None:
    value = f"(SELECT value FROM object WHERE {source} ORDER BY layer LIMIT 1)"
    two._db.execute(f"UPDATE object SET value = {value} WHERE kind = 'routes' AND id = 'a' AND layer = 'store'")
    for read in (two.verify, lambda: two.get("routes", "a"), lambda: two.list("routes"), lambda: two.changes(0)):
        with pytest.raises(StoreError, match=UNREADABLE.format(target, "store")):
            read()
    got = two.get("routes", "b")
    assert got is not None
    assert got.value == {"v": 2}


@pytest.mark.parametrize("value", ["x'00'", "x''", "zeroblob(40)", "'text'", "7"])
def test_a_damaged_row_of_the_file_is_not_taken_for_a_changed_one(two: Store, value: str) -> None:
    two._db.execute(f"UPDATE object SET value = {value} WHERE layer = 'file'")
    for read in (two.verify, lambda: two.replace_file_layer({("routes", "a"): {"v": "file"}})):
        with pytest.raises(StoreError, match=UNREADABLE.format("routes a", "file")):
            read()


def test_a_database_without_its_keys_is_refused_and_none_are_made(two: Store) -> None:
    keys = two.path.with_suffix(".keys")
    two.close()
    held = keys.rename(keys.with_suffix(".away"))
    with pytest.raises(StoreError, match=r"fastgw\.keys: missing, and .*fastgw\.db cannot be read without it: put it back"):
        Store(two.path)
    assert not keys.exists()
    Keyring.made(keys)
    with pytest.raises(StoreError, match=r"fastgw\.keys: expected the key [0-9a-f]{8}, found"):
        Store(two.path)
    held.rename(keys)
    again = Store(two.path)
    again.verify()
    assert len(again.list("routes")) == 2
    again.close()


def test_another_secret_under_the_same_name_is_refused(two: Store) -> None:
    keys = two.path.with_suffix(".keys")
    other = Keyring.made(keys.with_name("other.keys"))
    text = keys.with_name("other.keys").read_text().replace(other.newest().id, Keyring(keys).newest().id)
    keys.write_text(text)
    again = Store(two.path)
    with pytest.raises(StoreError, match=UNREADABLE.format("routes a", "file")):
        again.verify()
    again.close()


# ---- rotation ------------------------------------------------------------------------------------


def keys_of(store: Store) -> set[str]:
    return {key for (key,) in store._db.execute("SELECT key FROM object")}


def test_rotation_seals_every_row_anew_and_changes_nothing_else(two: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROWS", 3)
    for number in range(10):
        two.put("consumers", f"c{number}", secret(f"k{number}"))
    elsewhere = Store(two.path)
    before, revision, rows = values(two), two.revision(), two._db.execute("SELECT count(*) FROM object").fetchone()[0]
    (old,) = keys_of(two)

    def digests() -> int:
        return int(two._db.execute("SELECT count(*) FROM lookup").fetchone()[0])

    done = two.rotate(drop_old=False)
    assert (done.rows, done.dropped, done.older) == (rows, [], [old])
    assert keys_of(two) == {done.key} != {old}
    assert digests() == 10
    for each in (two, elsewhere):
        assert [row.id for row in each.find("consumers", FIELD, "k7")] == ["c7"]
        assert (values(each), each.revision()) == (before, revision)
    again = two.rotate(drop_old=True)
    assert (again.dropped, again.older) == ([done.key, old], [])
    assert [key.id for key in Keyring(two.path.with_suffix(".keys"))] == [again.key]
    elsewhere.put("consumers", "late", secret("late"))
    assert keys_of(two) == {again.key}, "a writer that knew older keys takes the present one"
    assert [row.id for row in two.find("consumers", FIELD, "late")] == ["late"]
    elsewhere.close()


def test_what_is_half_rotated_is_whole_for_everybody(two: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that dies after any number of rows leaves some under each key; the next one goes on."""
    monkeypatch.setattr(rotation, "ROWS", 1)
    for number in range(4):
        two.put("consumers", f"c{number}", secret(f"k{number}"))
    before, seal = values(two), Key.seal
    for step in range(6):
        left = iter(range(step))

        def dies(key: Key, plain: bytes, place: bytes, left: Iterator[int] = left) -> bytes:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return seal(key, plain, place)

        monkeypatch.setattr(Key, "seal", dies)
        with pytest.raises(KeyboardInterrupt):
            two.rotate(drop_old=True)
        monkeypatch.setattr(Key, "seal", seal)
        fresh = Store(two.path)
        fresh.verify()
        for each in (two, fresh):
            assert values(each) == before
            assert [row.id for number in range(4) for row in each.find("consumers", FIELD, f"k{number}")] == [
                "c0",
                "c1",
                "c2",
                "c3",
            ]
        fresh.close()
    done = two.rotate(drop_old=True)
    assert keys_of(two) == {done.key}
    assert done.older == []


def test_a_key_that_a_row_needs_is_not_dropped(two: Store) -> None:
    (old,) = keys_of(two)
    path = two.path.with_suffix(".keys")
    two.rotate(drop_old=False)
    key = Keyring(path).get(old)
    sealed = key.seal(b"{}", database.place_of("routes", "b", "store"))
    two._db.execute("UPDATE object SET value = ?, key = ? WHERE id = 'b'", (sealed, old))
    assert rotation._drop(two._db, two._ring) == []
    two.verify()


def test_rotations_at_once_and_writers_meanwhile_lose_nothing(two: Store) -> None:
    faults: list[BaseException] = []
    running = threading.Event()

    def work(action: Callable[[Store, int], object]) -> None:
        own = Store(two.path)
        try:
            for number in range(12):
                action(own, number)
        except BaseException as exc:
            faults.append(exc)
        finally:
            own.close()
            running.set()

    def write(own: Store, number: int) -> None:
        own.put("consumers", f"w{number}", secret(f"w{number}"))
        assert own.find("consumers", FIELD, f"w{number}")[0].id == f"w{number}"
        own.changes(0)

    def turn(own: Store, number: int) -> None:
        own.rotate(drop_old=number % 2 == 0)

    threads = [threading.Thread(target=work, args=(action,)) for action in (write, write, turn, turn)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    fresh = Store(two.path)
    fresh.verify()
    assert len(fresh.list("consumers")) == 12
    done = fresh.rotate(drop_old=True)
    assert keys_of(fresh) == {done.key}
    assert len(list(Keyring(two.path.with_suffix(".keys")))) == 1
    fresh.close()


ROTATOR = """
import sys
from pathlib import Path
from fastgw.storage import rotation
from fastgw.store import Store
rotation.ROWS = 5
store = Store(Path(sys.argv[1]))
for number in range(1 << 30):
    store.rotate(drop_old=number % 2 == 1)
    print(number, flush=True)
"""


def test_a_rotation_that_is_killed_leaves_every_row_readable(two: Store) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for number in range(60):
        two.put("consumers", f"c{number}", secret(f"k{number}"))
    before = values(two)
    for _ in range(10):
        rotator = subprocess.Popen([sys.executable, "-c", ROTATOR, two.path], stdout=subprocess.PIPE)
        assert rotator.stdout is not None
        rotator.stdout.readline()
        # Not a wait for anything: it only spreads the moment of death over the steps.
        with pytest.raises(subprocess.TimeoutExpired):
            rotator.wait(timeout=chance.random() * 0.1)
        os.kill(rotator.pid, signal.SIGKILL)
        rotator.wait()
        rotator.stdout.close()
        fresh = Store(two.path)
        assert values(fresh) == before, f"seed {seed}"
        assert [row.id for row in fresh.find("consumers", FIELD, "k33")] == ["c33"], f"seed {seed}"
        fresh.close()


# ---- version 1 -----------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE object (
    kind TEXT NOT NULL, id TEXT NOT NULL, layer TEXT NOT NULL CHECK (layer IN ('file', 'store')),
    value TEXT NOT NULL, created INTEGER NOT NULL, modified INTEGER NOT NULL, expires REAL,
    PRIMARY KEY (kind, id, layer)
) WITHOUT ROWID;
CREATE INDEX object_expires ON object (expires) WHERE expires IS NOT NULL;
CREATE VIEW effective AS
    SELECT o.*, o.layer = 'store' AND EXISTS (
        SELECT 1 FROM object f WHERE f.kind = o.kind AND f.id = o.id AND f.layer = 'file') AS overrides
    FROM object o
    WHERE o.layer = 'store' OR NOT EXISTS (
        SELECT 1 FROM object s WHERE s.kind = o.kind AND s.id = o.id AND s.layer = 'store');
CREATE TABLE feed (
    kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX feed_revision ON feed (revision);
CREATE TABLE state (revision INTEGER NOT NULL, horizon INTEGER NOT NULL);
CREATE INDEX "find_plugins_key-auth_key" ON object (CAST(json_extract(value, '$."plugins"."key-auth"."key"') AS TEXT))
    WHERE CAST(json_extract(value, '$."plugins"."key-auth"."key"') AS TEXT) NOTNULL;
PRAGMA user_version = 1;
"""
OLD_ROWS = 200


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as version 1 left it when it was killed: values in rows, free pages, index and log."""
    made, path = tmp_path / "made", tmp_path / "data" / "fastgw.db"
    made.mkdir()
    path.parent.mkdir(mode=0o700)
    db = sqlite3.connect(made / "fastgw.db", isolation_level=None)
    for pragma in ("journal_mode = WAL", "secure_delete = OFF", "synchronous = OFF"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(VERSION_1)
    for number in range(4 * OLD_ROWS):
        value = f'{{"plugins":{{"key-auth":{{"key":"{MARKER}-{number}"}}}},"desc":"{MARKER * 9}"}}'
        row = ("consumers", f"c{number}", "store", value, number + 1, number + 1, None)
        db.execute("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO feed VALUES ('consumers', ?, ?)", (f"c{number}", number + 1))
    db.execute("INSERT INTO object VALUES ('consumers', 'c3', 'file', '{\"file\":true}', 4, 4, NULL)")
    db.execute("UPDATE object SET expires = 1.0 WHERE id = 'c2'")
    db.execute("INSERT INTO state VALUES (?, 7)", (5 * OLD_ROWS,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("DELETE FROM object WHERE modified > ?", (OLD_ROWS,))
    db.execute("PRAGMA wal_checkpoint(RESTART)")
    db.execute("UPDATE object SET value = value WHERE id = 'c1'")
    for name in ("fastgw.db", "fastgw.db-wal"):
        (path.parent / name).write_bytes((made / name).read_bytes())
    db.close()
    content = on_disk(path)
    assert any(f"{MARKER}-{number}".encode() in content for number in range(OLD_ROWS, 4 * OLD_ROWS)), "deleted, but in the file"
    return path


def check_new(path: Path) -> None:
    store = Store(path)
    store.verify()
    rows = store.list("consumers")
    assert [row.id for row in rows] == [f"c{number}" for number in range(OLD_ROWS)]
    assert all(row.value["plugins"]["key-auth"]["key"] == f"{MARKER}-{row.id[1:]}" for row in rows)
    assert (rows[3].created, rows[3].modified, rows[3].overrides) == (4, 4, True)
    assert (store.revision(), store.next_expiry()) == (5 * OLD_ROWS, 1.0)
    assert store._db.execute("SELECT horizon FROM state").fetchone() == (7,)
    store.index([FIELD])
    assert [row.id for row in store.find("consumers", FIELD, f"{MARKER}-9")] == ["c9"]
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert MARKER.encode() not in on_disk(path)
    store.close()
    assert MARKER.encode() not in on_disk(path)


def test_an_old_database_is_sealed_and_nothing_lingers(old: Path) -> None:
    for _ in range(2):
        check_new(old)


def test_an_old_database_that_cannot_be_sealed_stays_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, seal = iter(range(OLD_ROWS // 2)), Key.seal

    def fails(key: Key, plain: bytes, place: bytes) -> bytes:
        if next(left, None) is None:
            raise sqlite3.OperationalError("disk full")
        return seal(key, plain, place)

    monkeypatch.setattr(Key, "seal", fails)
    with pytest.raises(StoreError, match=r"fastgw\.db: cannot be brought from version 1 to 2, nothing was changed: disk full"):
        Store(old)
    monkeypatch.setattr(Key, "seal", seal)
    check_new(old)


def test_an_old_database_in_use_is_left_alone(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    user = sqlite3.connect(old)
    assert user.execute("SELECT count(*) FROM object").fetchone() == (OLD_ROWS + 1,)
    with pytest.raises(StoreError, match="nothing was changed: database is locked"):
        Store(old)
    user.close()
    check_new(old)


SEALER = (
    "import sys; from pathlib import Path; from fastgw.store import Store; print(flush=True); Store(Path(sys.argv[1])).close()"
)


def test_sealing_that_is_killed_is_done_again_from_the_whole(old: Path) -> None:
    chance = random.Random(random.randrange(1 << 30))
    for number in range(8):
        path = Path(shutil.copytree(old.parent, old.parent.with_name(f"copy-{number}"))) / old.name
        sealer = subprocess.Popen([sys.executable, "-c", SEALER, path], stdout=subprocess.PIPE)
        assert sealer.stdout is not None
        sealer.stdout.readline()
        try:
            sealer.wait(timeout=chance.random() * 0.03)
        except subprocess.TimeoutExpired:
            sealer.kill()
        sealer.wait()
        sealer.stdout.close()
        check_new(path)
