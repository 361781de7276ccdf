"""The store: layers, revisions, change feed, lookups. Several processes: test_store_processes.py; the disk: test_sealed.py."""

import contextlib
import random
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw import store as store_module
from fastgw.store import DeclaredInFile, Edits, NotFound, Row, Store, StoreError, View


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "data" / "fastgw.db")
    yield opened
    opened.close()


def test_directory_and_files_are_private(store: Store) -> None:
    store.put("routes", "r", {"uri": "/"})
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    files = {each.name: stat.S_IMODE(each.stat().st_mode) for each in store.path.parent.iterdir()}
    assert files == dict.fromkeys(("fastgw.db", "fastgw.db-wal", "fastgw.db-shm", "fastgw.keys"), 0o600)


def test_commits_reach_the_disk_before_they_are_acknowledged(store: Store) -> None:
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_put_says_what_is_new_and_counts_revisions(store: Store) -> None:
    assert store.revision() == 0
    assert store.put("routes", "r", {"uri": "/a"}) == (
        Row("routes", "r", {"uri": "/a"}, "store", 1, 1),
        True,
        1,
    )
    assert store.put("routes", "r", {"uri": "/b"}) == (
        Row("routes", "r", {"uri": "/b"}, "store", 1, 2),
        False,
        2,
    )
    assert store.get("routes", "r") == Row("routes", "r", {"uri": "/b"}, "store", 1, 2)
    assert store.get("services", "r") is None


def test_values_come_back_as_they_were_sent(store: Store) -> None:
    value = {"z": [1, 1.5, True, None, "ü\u2028"], "a": {"9": -(2**63), "b": {}}, "k": 2**64 - 1}
    store.put("routes", "r", value)
    row = store.get("routes", "r")
    assert row is not None
    assert row.value == value
    assert list(row.value) == ["z", "a", "k"]


def test_list_is_in_order_of_creation_and_by_owner(store: Store) -> None:
    for name in ("b/1", "a/2", "ab/3", "a/1"):
        store.put("credentials", name, {})
    store.put("credentials", "b/1", {"again": True})
    assert [row.id for row in store.list("credentials")] == ["b/1", "a/2", "ab/3", "a/1"]
    assert [row.id for row in store.list("credentials", owner="a")] == ["a/2", "a/1"]
    assert store.list("routes") == []


def test_a_check_that_raises_leaves_nothing_behind(store: Store) -> None:
    def refuse(view: View) -> None:
        assert view.get("routes", "r") is None
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        store.put("routes", "r", {}, refuse)
    assert store.get("routes", "r") is None
    assert store.changes(0) == (0, [])
    assert store.put("routes", "r", {})[2] == 1


def test_update_sees_the_present_object(store: Store) -> None:
    for _ in range(3):
        store.update("routes", "r", lambda _, row: {"n": row.value["n"] + 1 if row else 1})
    row = store.get("routes", "r")
    assert row is not None
    assert row.value == {"n": 3}


def test_delete_of_nothing_and_delete_twice(store: Store) -> None:
    store.put("routes", "r", {})
    assert store.delete("routes", "r") == (None, 2)
    with pytest.raises(NotFound):
        store.delete("routes", "r")
    assert store.revision() == 2


def test_store_hides_file_until_it_is_deleted(store: Store) -> None:
    store.replace_file_layer({("routes", "r"): {"from": "file"}})
    with pytest.raises(DeclaredInFile):
        store.delete("routes", "r")
    row, created, revision = store.put("routes", "r", {"from": "store"})
    assert (row, created, revision) == (Row("routes", "r", {"from": "store"}, "store", 1, 2, True), False, 2)
    assert store.delete("routes", "r") == (Row("routes", "r", {"from": "file"}, "file", 1, 3), 3)
    assert [(change.value, change.revision) for change in store.changes(2)[1]] == [({"from": "file"}, 3)]


def test_file_layer_is_replaced_by_difference(store: Store) -> None:
    store.put("routes", "hidden", {"v": "store"})
    first = {("routes", name): {"v": name} for name in ("kept", "gone", "changed", "hidden")}
    revision, hidden = store.replace_file_layer(first)
    assert (revision, hidden) == (5, [("routes", "hidden")])
    assert store.replace_file_layer(first) == (5, [("routes", "hidden")])
    second = {
        ("routes", "kept"): {"v": "kept"},
        ("routes", "changed"): {"v": 2},
        ("routes", "hidden"): {"v": 2},
    }
    revision, _ = store.replace_file_layer(second)
    now, changes = store.changes(5)
    assert now == revision
    assert {(change.id, str(change.value)) for change in changes} == {
        ("gone", "None"),
        ("changed", "{'v': 2}"),
    }
    shown = store.get("routes", "hidden")
    assert shown is not None
    assert shown.value == {"v": "store"}


def test_true_is_not_one_for_the_file_layer(store: Store) -> None:
    store.replace_file_layer({("routes", "r"): {"v": 1}})
    assert store.replace_file_layer({("routes", "r"): {"v": True}})[0] == 2


def test_a_file_consumer_keeps_its_place_while_hidden(store: Store) -> None:
    store.replace_file_layer({("routes", "a"): {}, ("routes", "b"): {}})
    store.put("routes", "a", {"v": 1})
    assert [(row.id, row.created) for row in store.list("routes")] == [("a", 1), ("b", 2)]


def test_deleting_a_consumer_deletes_its_credentials(store: Store) -> None:
    for name in ("john", "johnny"):
        store.put("consumers", name, {"username": name})
        store.put("credentials", f"{name}/c1", {})
        store.put("credentials", f"{name}/c2", {})
    at = store.revision()
    store.delete("consumers", "john")
    assert [row.id for row in store.list("credentials")] == ["johnny/c1", "johnny/c2"]
    gone = [(change.kind, change.id, change.value) for change in store.changes(at)[1]]
    assert gone == [
        ("consumers", "john", None),
        ("credentials", "john/c1", None),
        ("credentials", "john/c2", None),
    ]


def test_deleting_an_override_brings_back_the_consumer_as_the_file_has_it(store: Store) -> None:
    file = {("consumers", "john"): {"v": "file"}, ("credentials", "john/f"): {"v": "file"}}
    store.replace_file_layer(file)
    store.put("consumers", "john", {"v": "store"})
    store.put("credentials", "john/s", {"v": "store"})
    store.put("credentials", "john/f", {"v": "store"})
    store.delete("consumers", "john")
    assert [(row.id, row.layer) for row in store.list("credentials")] == [("john/f", "file")]
    assert store.replace_file_layer(file)[1] == []


def test_no_later_consumer_inherits_credentials_of_one_dropped_from_the_file(store: Store) -> None:
    store.replace_file_layer({("consumers", "john"): {}})
    store.put("credentials", "john/s", {})
    store.replace_file_layer({})
    assert store.list("credentials") == []


def test_changes_tell_each_id_once_with_its_last_value(store: Store) -> None:
    for value in range(3):
        store.put("routes", "a", {"v": value})
    store.put("routes", "b", {})
    store.delete("routes", "b")
    assert store.changes(1) == (5, [("routes", "a", {"v": 2}, 3, 1), ("routes", "b", None, 5, 0)])
    assert store.changes(0) == (5, [("routes", "a", {"v": 2}, 3, 1)]), "a first load needs no tombstones"
    assert store.changes(5) == (5, [])


def test_a_first_load_has_no_tombstones_on_any_page(store: Store) -> None:
    for number in range(3 * store_module.FEED_ROWS):
        store.put("routes", f"r{number}", {})
        store.put("routes", f"gone{number}", {})
        store.delete("routes", f"gone{number}")
    loaded = store.changes(0)[1]
    assert [each.id for each in loaded] == [f"r{number}" for number in range(3 * store_module.FEED_ROWS)]


def test_an_object_keeps_the_time_of_its_creation_while_any_layer_has_it(store: Store) -> None:
    store.replace_file_layer({("routes", "a"): {}, ("routes", "b"): {}})
    store.put("routes", "a", {"v": 1})
    store.delete("routes", "a")
    store.put("routes", "c", {})
    store.delete("routes", "c")
    store.put("routes", "c", {})
    assert {change.id: change.created for change in store.changes(0)[1]} == {"a": 1, "b": 2, "c": 7}


def test_who_read_all_pages_has_the_state_of_the_last(store: Store) -> None:
    """Writes between the pages change what was read and what was not; none is lost, none stays half seen."""
    count = 3 * store_module.FEED_ROWS
    for number in range(count):
        store.put("routes", f"{number}", {"v": 0})
    feed = store_module.Feed(store, 0)
    seen: dict[str, dict[str, int] | None] = {}
    for number, change in enumerate(feed):
        seen[change.id] = change.value
        if number == store_module.FEED_ROWS + 1:
            store.put("routes", "0", {"v": 1})
            store.delete("routes", "1")
            store.put("routes", f"{count - 1}", {"v": 1})
            store.delete("routes", f"{count - 2}")
            store.put("routes", "new", {"v": 1})
    assert feed.revision == store.revision()
    assert {id: value for id, value in seen.items() if value is not None} == {row.id: row.value for row in store.list("routes")}


def test_old_tombstones_go_and_a_subscriber_behind_them_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "KEPT_REVISIONS", 10)
    monkeypatch.setattr(store_module, "PRUNE_EVERY", 1)
    for _ in range(20):
        store.put("routes", "r", {})
        store.delete("routes", "r")
        store.put("routes", "s", {})
    store.put("routes", "last", {})
    store.delete("routes", "last")
    kept = store._db.execute("SELECT count(*) FROM feed").fetchone()
    assert kept == (3,), "r deleted lately, last, and s which is there"
    for _ in range(20):
        store.put("routes", "t", {})
    with pytest.raises(StoreError, match=r"fastgw\.db: changes since 5 are gone"):
        store.changes(5)
    assert [change.id for change in store.changes(0)[1]] == ["s", "t"]


@pytest.mark.parametrize("indexed", [True, False])
def test_find_takes_numbers_and_texts_as_the_same_and_sees_only_what_is_effective(store: Store, indexed: bool) -> None:
    if indexed:
        store.index([("service_id",)])
    store.replace_file_layer({("routes", "hidden"): {"service_id": "1"}, ("routes", "file"): {"service_id": "1"}})
    store.put("routes", "hidden", {"service_id": "2"})
    store.put("routes", "number", {"service_id": 1})
    store.put("services", "other-kind", {"service_id": "1"})
    assert [row.id for row in store.find("routes", ("service_id",), "1")] == ["file", "number"]
    assert store.find("routes", ("service_id",), "3") == []


KEY = ("plugins", "jwt-auth", "key")


def holder(key: object) -> dict[str, object]:
    return {"plugins": {"jwt-auth": {"key": key}}}


def test_a_field_can_be_looked_for_whenever_it_was_indexed_and_until_its_object_goes(store: Store) -> None:
    store.put("consumers", "before", holder("k"))
    store.index([KEY])
    store.replace_file_layer({("consumers", "file"): holder("k"), ("consumers", "hidden"): holder("k")})
    store.put("consumers", "hidden", holder("other"))
    store.put("consumers", "odd", {"plugins": ["jwt-auth"]})
    store.put("consumers", "none", holder(None))
    store.update("consumers", "short", lambda *_: holder("k"), expires=1.0)
    again = Store(store.path)
    again.index([KEY, ("group_id",)])

    def found() -> list[str]:
        (rows,) = {tuple(row.id for row in each.find("consumers", KEY, "k")) for each in (store, again)}
        return list(rows)

    assert found() == ["before", "file", "short"]
    store.expire(2.0)
    store.put("consumers", "before", holder("j"))
    assert found() == ["file"]
    store.delete("consumers", "hidden")
    assert found() == ["file", "hidden"]
    store.replace_file_layer({})
    assert found() == []
    assert [row.id for row in store.find("consumers", KEY, "j")] == ["before"]
    assert store.find("credentials", KEY, "j") == []
    store.delete("consumers", "before")
    assert store._db.execute("SELECT count(*) FROM lookup").fetchone() == (0,)
    again.close()


def test_a_lookup_opens_nothing_but_what_it_finds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.index([KEY])
    for number in range(50):
        store.put("consumers", f"c{number}", holder(f"k{number}"))
    opened: list[str] = []
    open_row = store._open
    monkeypatch.setattr(store, "_open", lambda kind, id, *rest: opened.append(id) or open_row(kind, id, *rest))
    assert [row.id for row in store.find("consumers", KEY, "k7")] == ["c7"]
    assert opened == ["c7"]


def test_expiry(store: Store) -> None:
    store.update("routes", "short", lambda *_: {}, expires=100.0)
    store.update("routes", "long", lambda *_: {}, expires=200.0)
    store.put("routes", "for-ever", {})
    assert store.next_expiry() == 100.0
    assert store.expire(99.9) is None
    assert store.expire(100.0) == 4
    assert [row.id for row in store.list("routes")] == ["long", "for-ever"]
    store.put("routes", "long", {})
    assert store.next_expiry() is None, "a later write without one takes the expiry away"


def test_a_revision_of_an_object_never_stands_for_two_values(store: Store) -> None:
    """Whatever makes its effective value another: writes, ends of overrides and of ttls, the file."""
    chance = random.Random(4)
    ids = ("a", "b", "c")
    newest = dict.fromkeys(ids, 0)
    last: dict[str, tuple[int, object] | None] = dict.fromkeys(ids)
    for step in range(400):
        id, value = chance.choice(ids), {"v": chance.randrange(3)}
        act = chance.choice(("put", "put", "ttl", "expire", "delete", "file"))
        if act == "put":
            store.put("routes", id, value)
        elif act == "ttl":
            store.update("routes", id, lambda *_, value=value: value, expires=float(step))
        elif act == "expire":
            store.expire(float(step))
        elif act == "file":
            store.replace_file_layer({("routes", each): {"v": chance.randrange(3)} for each in chance.sample(ids, 2)})
        else:
            with contextlib.suppress(NotFound, DeclaredInFile):
                store.delete("routes", id)
        for each in ids:
            row = store.get("routes", each)
            shown = row and (row.modified, row.value)
            if row is not None and shown != last[each]:
                assert row.modified > newest[each]
                newest[each] = row.modified
            last[each] = shown
    assert min(newest.values()) > 100


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "fastgw.db").write_bytes(b"x" * 4096)
    with pytest.raises(StoreError, match=r"fastgw\.db: expected a fastgw database"):
        Store(tmp_path / "fastgw.db")


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "fastgw.db")
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="expected database version 2, found 99"):
        Store(tmp_path / "fastgw.db")


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with pytest.raises(OSError, match="plain"):
        Store(tmp_path / "plain" / "fastgw.db")


def test_a_witness_sees_what_a_write_does_to_effective_values(store: Store) -> None:
    store.replace_file_layer({("consumers", "c"): {"username": "c"}, ("routes", "r"): {"id": "r"}})
    seen: list[Any] = []
    store.witness = lambda _, revision, written: seen.append((revision, [tuple(each) for each in written]))
    _, _, revision = store.put("routes", "r", {"id": "r", "uri": "/"})
    assert seen.pop() == (revision, [("routes", "r", {"id": "r"}, {"id": "r", "uri": "/"})])
    _, revision = store.delete("routes", "r")
    assert seen.pop() == (revision, [("routes", "r", {"id": "r", "uri": "/"}, {"id": "r"})])
    store.put("consumers", "d", {"username": "d"})
    store.put("credentials", "d/1", {"id": "1"})
    store.delete("consumers", "d")
    assert seen.pop()[1] == [("consumers", "d", {"username": "d"}, None), ("credentials", "d/1", {"id": "1"}, None)]
    seen.clear()
    store.replace_file_layer({("consumers", "c"): {"username": "c"}, ("routes", "r"): {"id": "r"}})
    assert seen == [], "nothing has changed"


def test_a_witness_writes_along_or_prevents(store: Store) -> None:
    store.connection.execute("CREATE TABLE told (revision INTEGER)")
    store.witness = lambda db, revision, _: db.execute("INSERT INTO told VALUES (?)", (revision,)) and None
    _, _, revision = store.put("routes", "r", {"id": "r"})

    def refuses(*_: object) -> None:
        raise RuntimeError

    store.witness = refuses
    with pytest.raises(RuntimeError):
        store.put("routes", "s", {"id": "s"})
    assert store.connection.execute("SELECT revision FROM told").fetchall() == [(revision,)]
    assert store.get("routes", "s") is None
    assert store.revision() == revision


# ---- whole sets ----------------------------------------------------------------------------------


def test_apply_writes_and_removes_as_one(store: Store) -> None:
    store.replace_file_layer({("routes", "filed"): {"v": "file"}})
    store.put("routes", "filed", {"v": "store"})
    store.put("routes", "old", {})
    edits = Edits({("routes", "b"): {"n": 1}, ("routes", "a"): {"n": 2}}, [("routes", "old"), ("routes", "filed")], {})
    seen: list[list[str]] = []
    began = store.revision()

    def edit(view: View) -> Edits:
        seen.append([row.id for row in view.list("routes")])
        return edits

    revision = store.apply(edit, lambda view: seen.append([row.id for row in view.list("routes")]))
    assert seen == [["filed", "old"], ["filed", "b", "a"]]
    assert (revision, store.revision()) == (began + 4, began + 4)
    assert [(row.id, row.layer) for row in store.list("routes")] == [("filed", "file"), ("b", "store"), ("a", "store")]
    changed = store.changes(began)[1]
    assert sorted((each.id, each.value) for each in changed if each.id != "old") == [
        ("a", {"n": 2}),
        ("b", {"n": 1}),
        ("filed", {"v": "file"}),
    ]
    assert [each.value for each in changed if each.id == "old"] == [None]


def test_an_apply_that_is_refused_leaves_nothing_behind(store: Store) -> None:
    store.put("routes", "old", {})
    before = store.changes(0), store.versions()

    def refuse(view: View) -> None:
        assert view.get("routes", "new") is not None
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        store.apply(
            lambda view: Edits({("routes", "new"): {}}, [("routes", "old")], {"routes": 9}, "d"), refuse, {("a", "b"): {}}
        )
    assert (store.changes(0), store.versions()) == before


def test_changes_are_counted_by_kind(store: Store) -> None:
    assert (store.versions().counts, store.versions().changed) == ({}, 0)
    store.put("routes", "r", {})
    store.replace_file_layer({("consumers", "c"): {}, ("credentials", "c/1"): {}, ("credentials", "c/2"): {}})
    store.put("routes", "r", {"again": True})
    assert store.versions().counts == {"routes": 2, "consumers": 1}
    store.delete("routes", "r")
    store.put("credentials", "c/3", {})
    assert store.versions().counts == {"routes": 3, "consumers": 2}
    assert store.versions().changed > 1_700_000_000


def test_a_state_has_the_name_it_was_given_until_it_changes(store: Store) -> None:
    names = [store.versions().digest]
    store.apply(lambda view: Edits({}, (), {"routes": 7}, "mine"), lambda view: None)
    assert (store.versions().digest, store.versions().counts) == ("mine", {"routes": 7})
    other = Store(store.path)
    assert other.versions() == store.versions()
    other.close()
    for number in range(2):
        store.put("routes", "r", {"n": number})
        names.append(store.versions().digest)
    assert len({*names, "mine"}) == 4


def test_what_the_gateway_keeps_for_itself_is_nobodys_write(tmp_path: Path) -> None:
    store = Store(tmp_path / "fastgw.db")
    seen: list[Any] = []
    store.put("consumers", "a", {"username": "a"})
    store.witness = lambda *write: seen.append(write)
    before = store.versions()
    first = store.keep("fetched", "s", {"keys": [1]})
    assert [(change.kind, change.id, change.value) for change in store.changes(before.revision)[1]] == [
        ("fetched", "s", {"keys": [1]})
    ]
    second = store.keep("fetched", "s", {"keys": [2]})
    assert before.revision < first < second == store.revision()
    after = store.versions()
    assert (after.counts, after.changed, after.digest) == (before.counts, before.changed, before.digest)
    assert store.keep("fetched", "none", None) == second  # there was nothing to remove
    third = store.keep("fetched", "s", None)
    assert store.changes(second)[1][0].value is None
    assert store.versions().digest == before.digest
    assert not seen
    _, _, fourth = store.put("consumers", "a", {"username": "a", "desc": "b"})
    assert fourth > third
    assert store.versions().digest != before.digest
    assert len(seen) == 1
    store.close()
